"""Runs Metal kernel source, unchanged, on a CPU. README.md in this folder tells how."""

from functools import cache

from .builder import BuildError, build_library
from .library import Counts, KernelError, Library
from .tokens import SourceError

__all__ = ["BuildError", "Counts", "KernelError", "Library", "SourceError", "build"]


@cache
def _load(path):
    return Library(path)


def build(path, tracked=False, include_dirs=(), defines=()):
    """Returns the Library of a Metal source file. Builds it if no earlier build fits.

    path: a .metal file.
    tracked: whether to check and count each memory access, which is much slower.
    include_dirs, defines: like the Metal compiler's -I and -D.

    Raises SourceError or BuildError if the source cannot be built.
    """
    return _load(build_library(path, tracked, tuple(include_dirs), tuple(defines)))
