"""For tests: builds the Metal kernels for the emulator and has MLX's CPU ops use them.

Also re-exports the emulator's modules, so that tests need not change sys.path.
"""

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
    """Returns the emulator's Library of metal/topk.metal."""
    source = ROOT / "metal" / "topk.metal"
    return emulator.build(source, tracked=tracked, include_dirs=[ROOT])


@contextlib.contextmanager
def emulated(kernel=None, tracked=False, seed=0, missing="", path=None):
    """A context in which selections on the CPU device run the Metal kernels.

    An array uses the kernels if it is evaluated inside the context. On exit, fails if
    the emulator found a mistake or a kernel could not be used.

    kernel: a member of _selection.MetalKernel to use; None to use the planned one.
    seed: of a random order of threads; 0 for threads in order.
    missing: kernels whose names begin so fail to compile.
    path: the emulator's library, if not that of metal/topk.metal.
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
    assert not errors, f"the emulator reports:\n{errors}"
    _, broken = _selection.metal_kernel_report()
    assert missing or not broken, f"kernels that could not be used: {broken}"


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
