"""Runs mlx.selftest on kernels that metal.emulator built, as if they were a GPU's.

Usage: emulated_selftest.py LIBRARY [options of mlx.selftest]
"""

import contextlib
import sys

import hooks
import mlx.core as mx
from mlx.selftest import commands, gpu_checks


def force(kernel):
    hooks.force_metal_kernel(kernel and getattr(hooks.MetalKernel, kernel))


def main(library):
    @contextlib.contextmanager
    def active():
        hooks.emulate_metal(library)
        try:
            yield
        finally:
            hooks.emulate_metal("")
        errors = hooks.take_emulated_errors()
        if errors:
            raise AssertionError(errors)

    def route(logits, k, *, stream, **options):
        return hooks.emulate_route(logits, k, **options)

    def route_gradient(logits, k, cotangents, *, stream, **options):
        _, indices, scores = hooks.emulate_route(logits, k, **options)
        return hooks.emulate_route_gradient(
            logits, indices, scores, cotangents[0], of_scores=cotangents[1], **options
        )

    gpu = gpu_checks.Device(
        mx.cpu,
        active,
        force,
        hooks.metal_kernel_report,
        route,
        route_gradient,
        lambda: mx.new_stream(mx.cpu),
    )
    return commands.main(["test", "--device", "gpu", *sys.argv[1:]], gpu)


if __name__ == "__main__":
    sys.exit(main(sys.argv.pop(1)))
