"""The Metal kernels, built for the emulator once and put to work for a test."""

import contextlib
import functools
import pathlib
import sys

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
    """Until its end, what the CPU selects is selected by the Metal kernels.

    Arrays have to be evaluated inside. Raises if the emulator found anything wrong.
    path: of another library than that of metal/topk.metal.
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
