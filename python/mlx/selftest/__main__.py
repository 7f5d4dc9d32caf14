# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Tests, measures or describes selection on this machine.

    python -m mlx.selftest test       compares with the contract; a minute per device
    python -m mlx.selftest perf       times selection against MLX's own functions
    python -m mlx.selftest support    prints what is active, for a report of a problem

The exit status is 0 if every check passed, 1 if one failed, and 2 if the device that
was asked for cannot be tested. If no task is given, ``test`` is run.
"""

import argparse
import importlib.util
import sys

import mlx.core as mx
from mlx.selftest import gpu_checks, perf, support

WORDS = ("test", "perf", "support")


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m mlx.selftest",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("task", nargs="?", choices=WORDS, default="test")
    add("--device", choices=("cpu", "gpu"), help="default: both, if there is a GPU")
    add(
        "--seconds",
        type=float,
        help="with test: start no more checks of a GPU's kernels after this many "
        "seconds; with perf: how long to measure each number (default: 0.1)",
    )
    add(
        "--dtypes",
        nargs="+",
        choices=gpu_checks.DTYPES,
        default=gpu_checks.DTYPES,
        metavar="DTYPE",
        help="with test: the types with which a GPU's kernels are checked",
    )
    return parser.parse_args(arguments)


def test(names, gpu, options):
    """Checks the devices ``names`` and returns the exit status."""
    support.run()
    failures = []
    left_out = []
    summary = []
    for name in names:
        if name == "gpu":
            seconds = options.seconds or float("inf")
            total, wrong, left = gpu_checks.run(gpu, options.dtypes, seconds)
            left_out += left
        else:
            from mlx.selftest import cpu_checks

            total, wrong = cpu_checks.run()
        failures += wrong
        summary.append(f"{name}: {total} checks, {len(wrong)} failed")
    for failure in failures[:20]:
        print(failure)
    if left_out:
        print("Not run:", ", ".join(left_out))
    word = "FAILED" if failures else "passed"
    print(f"selftest {word}. {'; '.join(summary)}.")
    return 1 if failures else 0


def cannot_be_tested(name, gpu):
    """Returns why a device cannot be tested, or None if it can."""
    if name == "gpu" and gpu is None:
        return "There is no GPU here: no GPU was tested."
    if name == "cpu" and importlib.util.find_spec("numpy") is None:
        return "NumPy is not installed: the CPU was not tested. pip install numpy"
    return None


def main(arguments=None, gpu=None):
    """Runs the task. If ``gpu`` is given, it is tested in place of MLX's GPU."""
    options = parse(arguments)
    if gpu is None and mx.is_available(mx.gpu):
        gpu = gpu_checks.Device(mx.gpu)
    if options.task == "support":
        support.run()
        return 0
    names = [options.device] if options.device else ["cpu", "gpu"]
    if options.task == "perf":
        if names == ["gpu"] and gpu is None:
            print("There is no GPU here: nothing was timed.")
            return 2
        devices = [getattr(mx, name) for name in names if name == "cpu" or gpu]
        perf.run(devices, 0.1 if options.seconds is None else options.seconds)
        return 0
    for name in list(names):
        reason = cannot_be_tested(name, gpu)
        if reason:
            print(reason)
            names.remove(name)
    if not names:
        return 2
    return test(names, gpu, options)


if __name__ == "__main__":
    sys.exit(main())
