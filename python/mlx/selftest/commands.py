# Copyright © 2026 the mlx-topk authors. MIT licence.

"""The tasks of ``python -m mlx.selftest``, and its options."""

import argparse
import importlib.util

import mlx.core as mx
from mlx.selftest import gpu_checks, perf, support

WORDS = ("test", "perf", "support")


def parse(arguments, description):
    parser = argparse.ArgumentParser(
        prog="python -m mlx.selftest",
        description=description,
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


def test(names, gpu, options, summary):
    """Checks the devices ``names`` and returns the exit status.

    ``summary`` has what is to be said of the devices that cannot be tested.
    """
    support.run()
    failures = []
    left_out = []
    for name in names:
        if name == "gpu":
            seconds = float("inf") if options.seconds is None else options.seconds
            total, wrong, left = gpu_checks.run(gpu, options.dtypes, seconds)
            left_out += left
        else:
            from mlx.selftest import cpu_checks

            total, wrong = cpu_checks.run()
        failures += wrong
        summary.append(f"{name}: {total} checks, {len(wrong)} failed")
    for failure in failures[:20]:
        print(failure)
    if len(failures) > 20:
        print(f"and {len(failures) - 20} more failures")
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


def main(arguments=None, gpu=None, description=None):
    """Runs the task and returns the exit status.

    If ``gpu`` is given, it is tested in place of MLX's GPU.
    """
    options = parse(arguments, description)
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
        if "gpu" in names and gpu is None:
            print("There is no GPU here: only the CPU was timed.")
        return 0
    summary = []
    for name in list(names):
        reason = cannot_be_tested(name, gpu)
        if reason:
            print(reason)
            names.remove(name)
            summary.append(f"{name}: not tested")
    if not names:
        return 2
    return test(names, gpu, options, summary)
