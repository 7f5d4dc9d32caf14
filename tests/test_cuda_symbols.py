# Copyright © 2026 the mlx-topk authors. MIT licence.

"""The wheel's only libmlx_topk works with every back end of MLX.

Each back end has its own libmlx, which must export the symbols that ours needs.

Needs no GPU. ``make test-all`` downloads the CUDA back ends, 90 MB each, into
build/cuda-12 and build/cuda-13. Without them, the tests that need them are skipped.
"""

import pathlib
import subprocess

import mlx.core as mx
import pytest

ROOT = pathlib.Path(__file__).parent.parent
CUDA_BACK_ENDS = ["cuda-12", "cuda-13"]

pytestmark = pytest.mark.slow


def symbols(library, *options):
    """Pairs of a symbol's kind, as ``nm`` writes it, and its name."""
    command = ["nm", "-D", *options, str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [tuple(line.split()[-2:]) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def needed():
    """What libmlx_topk takes from libmlx: names by kind, "U" strong and "w" weak."""
    library = pathlib.Path(mx.__file__).parent / "lib" / "libmlx_topk.so"
    found = {"U": set(), "w": set()}
    for kind, name in symbols(library, "--undefined-only"):
        name = name.split("@")[0]
        if "mlx" in name:
            found[kind].add(name)
    return found


def exported(library):
    kinds = symbols(library, "--defined-only")
    return {name.split("@")[0] for _, name in kinds}


def libmlx_of(back_end):
    library = ROOT / "build" / back_end / "mlx" / "lib" / "libmlx.so"
    if not library.exists():
        pytest.skip(f"make test-all fetches build/{back_end}")
    return library


def test_cuda_functions_are_weak(needed):
    assert {name for name in needed["w"] if "CommandEncoder" in name}
    assert not {name for name in needed["U"] if "4core2cu" in name}


@pytest.mark.parametrize("back_end", CUDA_BACK_ENDS)
def test_cuda_back_ends_export_all_that_is_needed(needed, back_end):
    names = exported(libmlx_of(back_end))
    assert needed["U"] - names == set()
    assert needed["w"] - names == set()


def test_the_cpu_back_end_exports_all_but_the_cuda_functions(needed):
    names = exported(libmlx_of("stock"))
    assert needed["U"] - names == set()
    assert needed["w"] & names == set()
