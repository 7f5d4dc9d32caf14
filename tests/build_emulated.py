"""Builds the Metal kernels for the emulator, with and without tracking.

make runs it before the tests, so that test processes do not build them side by side.
"""

import multiprocessing
import sys

import mlx.core  # noqa: F401  must be imported before mlx._selection

from cases import HAS_EMULATOR
from metal_kernels import library

if __name__ == "__main__":
    if not HAS_EMULATOR:
        sys.exit(0)
    builds = [
        multiprocessing.Process(target=library, args=(tracked,))
        for tracked in (False, True)
    ]
    for build in builds:
        build.start()
    for build in builds:
        build.join()
    sys.exit(any(build.exitcode for build in builds))
