# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Tests, measures or describes selection on this machine.

    python -m mlx.selftest test       compares with the contract; a minute per device
    python -m mlx.selftest perf       times selection against MLX's own functions
    python -m mlx.selftest support    prints what is active, for a report of a problem

The exit status is 0 if every check that was run passed, and 1 if one failed. It is 2 if
nothing could be run: there is no such device, an option is wrong, or this mlx cannot be
imported. If no task is given, ``test`` is run.
"""

import importlib
import sys

from mlx._overlay.load import require_own_core


def main():
    try:
        require_own_core()
        importlib.import_module("mlx.core")
    except ImportError as error:
        print(error)
        return 2
    # Only now, because these import mlx.core.
    from mlx.selftest import commands

    return commands.main(description=__doc__)


if __name__ == "__main__":
    sys.exit(main())
