"""Builds the Metal kernels for the emulator, once, and runs tests on them."""

import contextlib
import functools
import multiprocessing
import pathlib
import sys

import mlx.core  # noqa: F401  loads mlx._selection, which cannot be imported first
from mlx import _selection

ROOT = pathlib.Path(__file__).parent.parent
sys.path.append(str(ROOT))

from metal import emulator  # noqa: E402
from metal.emulator import cuda  # noqa: E402, F401
from metal.emulator.check import check as check_source  # noqa: E402, F401


@functools.cache
def library(tracked=False):
    source = ROOT / "metal" / "topk.metal"
    return emulator.build(source, tracked=tracked, include_dirs=[ROOT])


@contextlib.contextmanager
def emulated(kernel=None, tracked=False, seed=0, missing="", path=None):
    """A context in which emulated Metal kernels do the selections of the CPU.

    Arrays have to be evaluated inside it. It raises if the emulator found an error.

    Args:
        kernel: The one to use wherever it can be used; else as the plan chooses.
        tracked: Whether the emulator checks each access to memory.
        seed: Shuffles the order in which the emulator runs threads.
        missing: Kernels with this in their names fail to compile.
        path: A library to use in place of that of metal/topk.metal.
    """
    path = str(path or library(tracked).path)
    _selection.force_metal_kernel(kernel)
    _selection.take_emulated_counts()
    _selection.emulate_metal(path, seed=seed, missing=missing)
    try:
        yield
    finally:
        _selection.emulate_metal("")
        _selection.force_metal_kernel(None)
        errors = _selection.take_emulated_errors()
    assert not errors, errors
    _, broken = _selection.metal_kernel_report()
    assert missing or not broken, broken


if __name__ == "__main__":
    # Builds both libraries, so that test processes do not build them side by side.
    processes = [
        multiprocessing.Process(target=library, args=(tracked,))
        for tracked in (False, True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))
