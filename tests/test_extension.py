"""An extension module that was built against stock MLX runs on this MLX."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import mlx.core
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SOURCE = ROOT / "tests/extension"
STOCK = ROOT / "build/stock/mlx"
PACKAGES = {"stock": STOCK, "fork": pathlib.Path(mlx.core.__file__).parent}
INDEX_ERROR = "ValueError: [gather_axis] Cannot calculate VJP with respect to indices."

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="written for Linux's loader"),
]


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """Builds the extension in a folder and returns its file."""
    folder = tmp_path_factory.mktemp("extension")
    programs = pathlib.Path(sys.executable).parent
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    options = [f"-DMLX_DIR={STOCK}/share/cmake/MLX", "-DCMAKE_BUILD_TYPE=Release"]
    options.append(f"-DPython_EXECUTABLE={sys.executable}")
    for command in (
        ["cmake", "-G", "Ninja", "-S", SOURCE, "-B", folder, *options],
        ["cmake", "--build", folder],
    ):
        done = subprocess.run(
            command, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    (file,) = folder.glob("example_extension*.so")
    return file


@pytest.fixture(scope="module", params=["extension", "mlx"])
def outcomes(request, module, tmp_path_factory):
    """Returns what use.py prints on stock MLX and on the fork, by the names of both.

    use.py imports ``request.param`` first.
    """
    found = {}
    for name, package in PACKAGES.items():
        site = tmp_path_factory.mktemp(name)
        (site / "mlx").symlink_to(package)
        shutil.copy(module, site)
        done = subprocess.run(
            [sys.executable, SOURCE / "use.py", request.param],
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
    return found


def test_its_primitive_works(outcomes):
    ours = outcomes["fork"]
    assert ours["call"] == [54, 2, 16]
    assert ours["strided"] == [[54, 128], [2, 16], [16, 54]]
    assert ours["grad"] == ours["checkpoint"] == [54, 6, 24]
    assert ours["second grad"] == [36, 12, 24]
    assert ours["jvp"] == ours["vjp"] == [[[54, 2, 16]], [[54, 6, 24]]]
    assert ours["vmap"] == [[54, 2, 16], [128, 16, 54]]
    assert ours["compile"] == [54, 2, 16]
    assert ours["selection of it"] == [2, 16, 54]
    assert ours["stream"] == [27, 1, 8]


def test_it_works_as_on_stock(outcomes):
    ours, stock = outcomes["fork"], outcomes["stock"]
    differing = {name for name in ours if ours[name] != stock[name]}
    assert differing == {
        "gather, from Python",
        "tied topk, from Python",
        # Stock has no mx.index_gradient.
        "mode stop, from C++",
        "version",
        "loaded",
    }


def test_the_extension_and_mlx_core_load_the_same_libmlx(outcomes):
    assert "+topk." in outcomes["fork"]["version"]
    names = {
        name: [pathlib.Path(file).name for file in found["loaded"]]
        for name, found in outcomes.items()
    }
    assert names["stock"] == ["libmlx.so"]
    assert names["fork"] == ["libmlx.so", "libmlx_topk.so"]


def test_selection_of_its_results_is_differentiated(outcomes):
    assert outcomes["fork"]["gather, from Python"] == [0, 6, 24]
    assert outcomes["fork"]["tied topk, from Python"] == [0, 0, 2, 0]
    assert outcomes["stock"]["gather, from Python"].startswith(INDEX_ERROR)


def test_selections_that_its_cpp_calls_are_those_of_stock(outcomes):
    """libmlx is stock's, so C++ that calls mlx::core::argsort gets stock's."""
    ours = outcomes["fork"]
    assert ours["argsort, from C++"] == [1, 2, 0]
    assert ours["gather, from C++"].startswith(INDEX_ERROR)
    assert ours["mode stop, from C++"].startswith(INDEX_ERROR)
    assert ours["stopped gather, from C++"] == [0, 6, 24]
    assert ours["tied topk, from C++"] == [0, 0, 0, 2]
