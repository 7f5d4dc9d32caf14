"""Runs Metal kernel source, unchanged, on a CPU. See README.md beside this file."""

from functools import cache

from .builder import BuildError, build_library
from .library import Counts, KernelError, Library
from .tokens import SourceError

__all__ = ["BuildError", "Counts", "KernelError", "Library", "SourceError", "build"]


@cache
def _load(path):
    return Library(path)


def build(path, tracked=False, include_dirs=(), defines=()):
    """The library of a Metal source file, built unless it was before.

    path: a .metal file.
    tracked: whether each access to memory is checked and counted: much slower.
    include_dirs, defines: as the Metal compiler's -I and -D.

    Raises SourceError or BuildError for source that cannot be built.
    """
    return _load(build_library(path, tracked, tuple(include_dirs), tuple(defines)))
