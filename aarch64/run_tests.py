"""Runs tests with the aarch64 wheel, in QEMU.

    python -m aarch64.run_tests [OPTIONS]

OPTIONS are pytest's. ``make test-aarch64`` calls this after it has prepared everything.
"""

import os
import subprocess
import sys

from aarch64 import guest, toolchain

TESTS = toolchain.ROOT / "tests"
# The contract, gradients, transforms, errors and quantiles, with each algorithm forced.
QUICK = [
    "test_topk.py",
    "test_gradients.py",
    "test_transforms.py",
    "test_compile.py",
    "test_errors.py",
    "test_quantile.py",
]
# These need some minutes more, test_families.py most of them.
LONG = [
    "test_families.py",
    "test_index_gradient.py",
    "test_searchsorted_types.py",
    "test_threads.py",
    "test_memory.py",
    "test_route.py",
    "test_descending.py",
    "test_kthvalue.py",
    "test_lexsort.py",
    "test_quantile_gradients.py",
    "test_searchsorted_rows.py",
]
# The emulator of Metal is tested on x86-64 only.
SELECTED = "not metal"


def folder():
    """Returns the folder with the packages that the tests import."""
    return toolchain.ROOT / "build" / f"aarch64-{guest.version()}" / "site"


def build_folder():
    """Returns CMake's folder, with what only tests need."""
    return toolchain.ROOT / "build/wheels/linux-aarch64" / f"cmake-{guest.version()}"


def missing():
    """Returns why the tests cannot run, or nothing if they can."""
    if guest.UNAVAILABLE.exists():
        return guest.UNAVAILABLE.read_text().strip()
    if not (guest.PYTHON.exists() and (folder() / "mlx").exists()):
        return "make test-aarch64 has not been run"
    return ""


def run(*command, env=None, **options):
    """Runs a script of ``guest.PROGRAMS``, with the packages that the tests import.

    env: variables to set besides. options: those of subprocess.run.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder()),
        "MLX_TOPK_TESTING": str(build_folder()),
        **(env or {}),
    }
    # An instruction set of x86-64 would stop the import.
    environment.pop("MLX_TOPK_CPU", None)
    return subprocess.run(
        list(map(str, command)),
        cwd=toolchain.ROOT,
        env=environment,
        text=True,
        **options,
    )


def python(*arguments, **options):
    """Runs the aarch64 Python with these arguments."""
    return run(guest.PYTHON, *arguments, **options)


def pytest(*arguments, **options):
    """Runs pytest with these arguments, without the engines that aarch64 lacks."""
    # The slow tests of a file would take hours in QEMU.
    fixed = ["-p", "no:cacheprovider", "--timeout", "1800", "-m", "not slow"]
    fixed += ["-k", SELECTED]
    return python("-m", "pytest", *fixed, *arguments, **options)


def cpp_tests(**options):
    """Runs the C++ tests."""
    return run(guest.RUN, build_folder() / "selection_tests", **options)


def main():
    if missing():
        sys.exit(f"No tests: {missing()}.")
    files = [TESTS / name for name in QUICK + LONG]
    codes = [cpp_tests().returncode, pytest(*sys.argv[1:], *files).returncode]
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
