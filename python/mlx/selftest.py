# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Checks every selection kernel of the GPU against the CPU: ``python -m mlx.selftest``.

Prints a report, which is useful in a bug report. The exit status is 0 if every check
passed, 1 if one failed, and 2 if there is no GPU to test. ``--bench`` then measures
the kernels and MLX's sort.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import os
import platform
import sys
import time
import traceback

import mlx.core as mx
from mlx import _selection

# Sizes of rows. They lie just below and just above the sizes at which the plan changes
# to another kernel, and at which a loop of a kernel runs once more.
SIZES = [1, 2, 31, 33, 160, 256, 1000, 1024, 1025, 2049, 8192, 8193, 50000]
KERNELS = ("in_registers", "bound", "bound_split", "resident", "split")
DTYPES = ["bool_", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32"]
DTYPES += ["int64", "float16", "bfloat16", "float32"]
FLOATS = ("float16", "bfloat16", "float32")
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1.5, float("inf"), -float("inf"), float("nan")]
BENCH = [
    (1, 151936, 50, "bfloat16"),
    (1, 151936, 50, "float32"),
    (1, 248320, 20, "float32"),
    (32, 151936, 64, "float32"),
    (16, 200000, 400, "float32"),
    (1, 256, 8, "float32"),
    (1, 160, 8, "float32"),
    (8192, 160, 8, "float32"),
    (32768, 256, 8, "float32"),
    (1024, 896, 16, "float32"),
    (2048, 8192, 32, "bfloat16"),
    (32, 435000, 512, "float32"),
    (64, 131072, 2048, "float32"),
    (256, 65536, 512, "float32"),
]


def force_kernel(kernel):
    _selection.set_gpu_tuning(f"only={kernel}" if kernel else "")


@dataclasses.dataclass
class Device:
    """The device under test. Ops on ``stream`` run in the context ``active()``."""

    stream: object
    active: object = contextlib.nullcontext
    # Called with the name of a kernel, which is then used wherever it can be. Called
    # with None, lets the plan choose kernels as usual.
    force: object = force_kernel
    # Returns how many kernels were launched, and which cannot be used and why.
    report: object = _selection.metal_kernel_report


def gpu():
    return Device(mx.gpu)


# ---- what is checked -------------------------------------------------------------


def array_of(dtype, rows, n, kind, layout):
    key = mx.random.key(n + rows)
    with mx.stream(mx.cpu):
        if kind == "ties" and dtype in FLOATS:
            chosen = mx.random.randint(0, len(SPECIAL), (rows, n), key=key)
            a = mx.array(SPECIAL)[chosen]
        elif kind == "ties" or dtype == "bool_":
            a = mx.random.randint(0, 2, (rows, n), key=key)
        elif dtype in FLOATS:
            a = mx.random.normal((rows, n), key=key)
        else:
            # Draws two words, so that all 64 bits of the widest types vary.
            words = mx.random.randint(-(2**31), 2**31 - 1, (2, rows, n), key=key)
            high, low = words.view(mx.uint32).astype(mx.uint64)
            a = (high << 32) | low
        a = a.astype(getattr(mx, dtype))
        if layout == "transposed":
            a = mx.contiguous(a.T).T
        elif layout == "reversed":
            a = a[:, ::-1]
        mx.eval(a)
    return a


def same(found, expected):
    """Returns whether all pairs of arrays are equal, bit by bit."""
    with mx.stream(mx.cpu):
        pairs = zip(found, expected, strict=True)
        return all(mx.array_equal(bits(a), bits(b)).item() for a, b in pairs)


def bits(a):
    sizes = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32, 8: mx.uint64}
    return a if a.dtype == mx.bool_ else mx.contiguous(a).view(sizes[a.dtype.size])


def check_topk(device, a, k, largest):
    def select(stream):
        found = mx.topk(
            a, k, largest=largest, sorted=True, return_indices=True, stream=stream
        )
        mx.eval(found)
        return found

    expected = select(mx.cpu)
    with device.active():
        found = select(device.stream)
    return same(found, expected)


def check_partition(device, a, kth):
    with device.active():
        indices = mx.argpartition(a, kth, stream=device.stream)
        values = mx.partition(a, kth, stream=device.stream)
        mx.eval(indices, values)
    with mx.stream(mx.cpu):
        # With such an index take_along_axis would read memory outside the array.
        if indices.size and mx.max(indices).item() >= a.shape[-1]:
            return False
        order = mx.argsort(a)
        parts = [slice(0, kth), slice(kth, kth + 1), slice(kth + 1, None)]
        pairs = [
            (mx.sort(indices[:, part]), mx.sort(order[:, part]))
            for part in parts
            if order[:, part].size
        ]
        pairs.append((values, mx.take_along_axis(a, indices, -1)))
        mx.eval(pairs)
    return same(*zip(*pairs, strict=True))


def cases(dtype, kernel):
    """Yields a description, an array and a ``k`` for each check."""
    for n in SIZES:
        rows = 5 if n <= 1025 else 2
        for kind in ("ties", "spread"):
            for layout in ("contiguous", "transposed", "reversed"):
                if layout != "contiguous" and n not in (33, 1025, 8193):
                    continue
                a = array_of(dtype, rows, n, kind, layout)
                wanted = {1, min(n, 8), min(n, 32), min(n, 64), min(n, 600)}
                if kernel == "in_registers":
                    wanted = {k for k in wanted if k <= 32 and n <= 1024}
                for k in sorted(wanted):
                    yield f"n={n} k={k} {kind} {layout}", a, k


def check_kernel(device, kernel, dtype, failures):
    """Runs all checks of a kernel and returns their number. Appends to ``failures``."""
    made = 0
    device.force(kernel)
    for name, a, k in cases(dtype, kernel):
        n = a.shape[1]
        checks = {
            "topk largest": lambda a=a, k=k: check_topk(device, a, k, True),
            "topk smallest": lambda a=a, k=k: check_topk(device, a, k, False),
            "partition": lambda a=a, k=k: check_partition(device, a, k - 1),
            "partition from right": lambda a=a, k=k, n=n: check_partition(
                device, a, n - k
            ),
        }
        for what, check in checks.items():
            made += 1
            try:
                wrong = None if check() else "a wrong result"
            except Exception:
                wrong = traceback.format_exc()
            if wrong:
                failures.append(f"{kernel} {dtype} {what} {name}: {wrong}")
    device.force(None)
    return made


def check_gradient(device, failures):
    """Checks a gradient through values and indices of a row with equal elements."""

    def loss(x):
        values, indices = mx.topk(
            x, 2, sorted=True, return_indices=True, stream=device.stream
        )
        gathered = mx.take_along_axis(x, indices, -1)
        return (values * mx.array([1.0, 10.0])).sum() + gathered.sum()

    with device.active():
        gradient = mx.grad(loss)(mx.array([0.0, 3.0, 1.0, 3.0]))
        mx.eval(gradient)
    if gradient.tolist() != [0.0, 2.0, 0.0, 11.0]:
        failures.append(f"gradient under ties: {gradient.tolist()}")


# ---- the report ------------------------------------------------------------------


def describe(device):
    def installed(name):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{name} {importlib.metadata.version(name)}"

    packages = ("mlx", "mlx-metal", "mlx-cpu", "mlx-cuda-13")
    print("mlx.selftest", ", ".join(filter(None, map(installed, packages))))
    mac = platform.mac_ver()[0]
    system = f"macOS {mac}" if mac else platform.platform()
    print(f"{system}, {platform.machine()}, Python {platform.python_version()}")
    if device.stream == mx.gpu:
        info = mx.device_info(mx.gpu)
        print(", ".join(f"{name}: {info[name]}" for name in sorted(info)))
    for name in ("MLX_TOPK_GPU", "MLX_TOPK_METAL"):
        if name in os.environ:
            print(f"{name}: {os.environ[name]!r}")


def run(device, dtypes):
    """Checks each kernel and dtype, prints a line for each, returns the failures."""
    failures = []
    total = 0
    started, _ = device.report()
    for kernel in KERNELS:
        for dtype in dtypes:
            before = len(failures)
            launches, _ = device.report()
            made = check_kernel(device, kernel, dtype, failures)
            launched = device.report()[0] - launches
            failed = len(failures) - before
            if launched == 0:
                failures.append(f"{kernel} {dtype}: no kernel was launched")
            total += made
            word = "ok" if len(failures) == before else "WRONG"
            print(
                f"{kernel:12} {dtype:9} {word:5} {made} checks, {failed} failed, "
                f"{launched} launches",
                flush=True,
            )
    check_gradient(device, failures)
    launches, broken = device.report()
    for name, reason in broken:
        failures.append(f"{name} cannot be used: {reason}")
    for failure in failures[:20]:
        print(failure)
    print(f"{total} checks, {len(failures)} failed, {launches - started} launches.")
    return failures


def median_time(call, seconds=0.5):
    call()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def bench(stream):
    """Measures topk against a sort, both returning values and indices."""
    print(
        "\nMedian times in microseconds. The kernel and the sort both return values "
        "and indices, best first."
    )
    print(f"{'rows x n, k':36} {'kernel':>10} {'sort':>10} {'ratio':>7}")
    for rows, n, k, dtype in BENCH:
        with mx.stream(stream):
            a = mx.random.normal((rows, n)).astype(getattr(mx, dtype))
            mx.eval(a)

            def ours(a=a, k=k):
                mx.eval(mx.topk(a, k, sorted=True, return_indices=True))

            def sort(a=a, k=k):
                indices = mx.argsort(-a)[:, :k]
                mx.eval(indices, mx.take_along_axis(a, indices, -1))

            mine, theirs = median_time(ours), median_time(sort)
        name = f"{rows} x {n}, {k} {dtype}"
        times = f"{mine * 1e6:10.1f} {theirs * 1e6:10.1f} {theirs / mine:7.2f}"
        print(f"{name:36} {times}", flush=True)


def main(device=None):
    parser = argparse.ArgumentParser(prog="python -m mlx.selftest")
    parser.add_argument(
        "--bench", action="store_true", help="also time topk and a sort"
    )
    parser.add_argument(
        "--dtypes", nargs="+", choices=DTYPES, default=DTYPES, metavar="DTYPE"
    )
    arguments = parser.parse_args()
    if device is None and mx.is_available(mx.gpu):
        device = gpu()
    if device is None:
        describe(Device(mx.cpu))
        print("There is no GPU here: nothing was tested.")
        return 2
    describe(device)
    failures = run(device, arguments.dtypes)
    if arguments.bench:
        bench(device.stream)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
