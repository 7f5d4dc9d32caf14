"""The wheel: its files, its use, and how pip installs and removes it."""

import email
import importlib.metadata
import os
import pathlib
import subprocess
import sys
import textwrap
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
STOCK = ROOT / "build" / "stock"
(WHEEL,) = (ROOT / "dist").glob("mlx-*.whl")
STOCK_VERSION = "0.32.4"
EXTRA = "[cpu]" if sys.platform == "linux" else ""

ADDITIONS = {
    "mlx/_overlay/__init__.py",
    "mlx/_overlay/back_ends.py",
    "mlx/_overlay/export.py",
    "mlx/_overlay/index_outputs.py",
    "mlx/_overlay/info.py",
    "mlx/_overlay/load.py",
    "mlx/_overlay/ops.py",
    "mlx/_overlay/originals.py",
    "mlx/_overlay/transforms.py",
    "mlx/_overlay/vmap.py",
    "mlx/_selection.{soabi}",
    "mlx/_version.py",
    "mlx/core/__init__.py",
    "mlx/include/mlx/index_gradient.h",
    "mlx/include/mlx/index_marks.h",
    "mlx/include/mlx/index_output.h",
    "mlx/include/mlx/portable_graph.h",
    "mlx/include/mlx/selection.h",
    "mlx/include/mlx/selection_primitives.h",
    "mlx/include/mlx/topk.h",
    "mlx/include/mlx/topk_ops.h",
    "mlx/include/mlx/topk_primitive.h",
    "mlx/include/mlx/topk_threads.h",
    "mlx/include/overlay/index_output.h",
    "mlx/include/overlay/kth_value.h",
    "mlx/include/overlay/order_statistics.h",
    "mlx/include/overlay/portable_graph.h",
    "mlx/include/overlay/quantile.h",
    "mlx/include/overlay/route.h",
    "mlx/include/overlay/route_settings.h",
    "mlx/include/overlay/selection.h",
    "mlx/include/overlay/sort_direction.h",
    "mlx/include/overlay/stable_arg_reduce.h",
    "mlx/include/overlay/stable_sort.h",
    "mlx/lib/libmlx_topk.{library}",
    "mlx/selftest/__init__.py",
    "mlx/selftest/__main__.py",
    "mlx/selftest/commands.py",
    "mlx/selftest/cpu_checks.py",
    "mlx/selftest/gpu_checks.py",
    "mlx/selftest/oracle.py",
    "mlx/selftest/perf.py",
    "mlx/selftest/route_checks.py",
    "mlx/selftest/support.py",
    "mlx/selftest/use_checks.py",
    "mlx/nn/routing/__init__.py",
    "mlx/nn/routing/_checks.py",
    "mlx/nn/routing/_choice.py",
    "mlx/nn/routing/_chosen.py",
    "mlx/nn/routing/_gate_forms.py",
    "mlx/nn/routing/_mlx_lm_gates.py",
    "mlx/nn/routing/_mlx_lm_mixtures.py",
    "mlx/nn/routing/_mlx_lm_sources.py",
    "mlx/nn/routing/_route.py",
    "mlx/nn/routing/balance.py",
    "mlx/nn/routing/estimators.py",
    "mlx/nn/routing/expert_parallel.py",
    "mlx/nn/routing/gates.py",
    "mlx/nn/routing/layers.py",
    "mlx/nn/routing/quantile.py",
    "mlx/nn/routing/relaxation.py",
    "mlx/nn/routing/router.py",
    "mlx/nn/routing/sharded.py",
}


# The fork, MLX, nanobind, and robin_map, which is compiled into the bindings.
LICENSE_OWNERS = ["mlx-topk", "Apple", "Wenzel Jakob", "Goetghebuer"]


def stock_distribution():
    (found,) = importlib.metadata.distributions(name="mlx", path=[str(STOCK)])
    return found


def metadata():
    with zipfile.ZipFile(WHEEL) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(wheel.read(name))


def run(*command, **kwargs):
    """Runs a command outside the repository and returns what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        **{"cwd": "/", "timeout": 280, **kwargs},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", f"{WHEEL}{EXTRA}")
    return python


# ---- its files ---------------------------------------------------------------


def test_the_files_are_those_of_stock_and_the_listed_additions():
    with zipfile.ZipFile(WHEEL) as wheel:
        names = {n for n in wheel.namelist() if n.startswith("mlx/")}
    stock = {
        str(f)
        for f in stock_distribution().files
        if f.parts[0] == "mlx" and f.suffix != ".pyc"
    }
    soabi = next(n for n in stock if n.startswith("mlx/core.")).split(".", 1)[1]
    library = "so" if sys.platform == "linux" else "dylib"
    ours = {n.format(soabi=soabi, library=library) for n in ADDITIONS}
    assert names - stock == ours
    assert stock - names == set()


def test_stocks_files_are_unchanged_but_for_the_stubs():
    with zipfile.ZipFile(WHEEL) as wheel:
        changed = {
            str(f)
            for f in stock_distribution().files
            if f.parts[0] == "mlx"
            and f.suffix != ".pyc"
            and wheel.read(str(f)) != (STOCK / f).read_bytes()
        }
    assert changed == {"mlx/core/__init__.pyi"}


@pytest.mark.skipif(sys.platform != "linux", reason="needs nm of Linux")
def test_what_only_tests_need_is_not_in_it(tmp_path):
    with zipfile.ZipFile(WHEEL) as wheel:
        (library,) = (n for n in wheel.namelist() if n.endswith("/libmlx_topk.so"))
        (bindings,) = (n for n in wheel.namelist() if n.startswith("mlx/_selection."))
        wheel.extractall(tmp_path, [library, bindings])
    symbols = run("nm", "--dynamic", "--demangle", tmp_path / library)
    assert "mlx::core::TopK::eval_cpu" in symbols
    words = ("emulate", "force_", "use_selection_kernels", "metal_sources")
    assert [word for word in words if word in symbols] == []
    text = (tmp_path / bindings).read_bytes()
    assert b"portable_graph" in text
    assert [word for word in words if word.encode() in text] == []


def test_dependencies_extras_and_entry_points_equal_those_of_stock():
    ours, theirs = metadata(), stock_distribution().metadata
    assert ours["Name"] == "mlx" and ours["Version"] == f"{STOCK_VERSION}+topk.1"
    assert ours["Requires-Python"] == theirs["Requires-Python"]
    for field in ("Provides-Extra", "Requires-Dist"):
        normal = [
            {line.replace(" ", "").replace('"', "'") for line in m.get_all(field)}
            for m in (ours, theirs)
        ]
        assert normal[0] == normal[1]
    with zipfile.ZipFile(WHEEL) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
        scripts = wheel.read(name).decode()
    for point in stock_distribution().entry_points:
        assert f"{point.name} = {point.value}" in scripts


def test_all_files_name_the_same_version_of_mlx():
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert f'"mlx=={STOCK_VERSION}"' in pyproject
    assert f'"mlx-cpu=={STOCK_VERSION}; ' in pyproject
    assert (
        f'STOCK_VERSION = "{STOCK_VERSION}"'
        in (ROOT / "python/mlx/_version.py").read_text()
    )


# ---- using it ----------------------------------------------------------------


def test_it_works_in_a_clean_environment(python):
    program = """
        import importlib, pickle
        import mlx.core as mx
        import mlx.core.random, mlx.nn, mlx.optimizers, mlx.utils
        from mlx.core import topk
        import importlib.metadata
        assert mx.__version__ == importlib.metadata.version("mlx")
        x = mx.array([[3.0, 1, 2, 3]])
        values, indices = mx.topk(x, 2, return_indices=True, sorted=True)
        assert values.tolist() == [[3, 3]] and indices.tolist() == [[0, 3]]
        g = mx.grad(lambda x: mx.take_along_axis(x, mx.argsort(x), -1).sum())(x)
        assert g.tolist() == [[1, 1, 1, 1]]
        assert topk is mx.topk and "top_k" in dir(mx)
        assert "return_indices" in mx.topk.__doc__
        assert isinstance(mx.top_k(x, 1), mx.TopKResult)
        assert pickle.loads(pickle.dumps(mx.TopKResult)) is mx.TopKResult
        again = importlib.reload(mx)
        assert again is mx and again.top_k(x, 1).values.tolist() == [[3]]
        print("used")
    """
    assert run(python, "-c", textwrap.dedent(program)) == "used"
    run(python, "-m", "pip", "check")


IDENTITY = """
import importlib, sys
import mlx.core as mx
import mlx.core.random, mlx.core.linalg
facts = {name: getattr(mx, name, None) for name in ("__name__", "__package__")}
facts["is a package"] = hasattr(mx, "__path__")
facts["file"] = mx.__file__.rsplit("/", 1)[1]
facts["spec"] = mx.__spec__.name, mx.__spec__.origin.rsplit("/", 1)[1]
facts["loader"] = type(mx.__loader__).__name__
facts["modules"] = sorted(m for m in sys.modules if m.startswith("mlx.core"))
facts["same"] = mx is sys.modules["mlx.core"] is importlib.import_module("mlx.core")
facts["functions"] = [
    (getattr(mx, n).__module__, getattr(mx, n).__name__)
    for n in ("topk", "argsort", "grad", "checkpoint", "custom_function")
]
facts["array"] = mx.array.__module__, mx.array.argmax.__name__
print(facts)
"""


def test_mlx_core_is_the_same_kind_of_module_as_stocks(python):
    ours = run(python, "-c", IDENTITY)
    stock = run(sys.executable, "-c", IDENTITY, env={"PYTHONPATH": str(STOCK)})
    assert ours == stock


def test_every_public_name_of_stock_is_there(python):
    names = "import mlx.core as mx; print(sorted(dir(mx)))"
    ours = set(eval(run(python, "-c", names)))
    stock = set(eval(run(sys.executable, "-c", names, env={"PYTHONPATH": str(STOCK)})))
    added = {
        "TopKResult",
        "default_index_gradient",
        "index_gradient",
        "kthvalue",
        "lexsort",
        "quantile",
        "selection_info",
        "selection_threads",
        "set_default_index_gradient",
        "set_selection_threads",
        "top_k",
    }
    assert ours - stock == added and stock <= ours


CPP_PROGRAM = """
#include <cstdio>
#include "mlx/mlx.h"
#include "mlx/selection.h"
namespace mx = mlx::core;
int main() {
  mx::IndexGradientScope scope(mx::IndexGradient::stop);
  auto result = mx::selection::top_k(mx::array({1.0f, 3.0f, 2.0f}), 2);
  mx::eval(result.values, result.indices);
  auto indices = result.indices.data<uint32_t>();
  std::printf("%u %u", indices[0], indices[1]);
}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="written for a Linux linker")
def test_a_cpp_program_builds_against_the_installed_wheel(python, tmp_path):
    where = "import mlx.core, os; print(os.path.dirname(mlx.core.__file__))"
    package = run(python, "-c", where)
    (tmp_path / "main.cpp").write_text(CPP_PROGRAM)
    libraries = [f"-L{package}/lib", "-lmlx_topk", "-lmlx", f"-Wl,-rpath,{package}/lib"]
    run(
        os.environ.get("CXX", "c++"),
        "-std=c++20",
        f"-I{package}/include",
        tmp_path / "main.cpp",
        *libraries,
        "-o",
        tmp_path / "main",
    )
    assert run(tmp_path / "main") == "1 2"


# ---- another back end --------------------------------------------------------


def import_error(site):
    """Returns the error of importing mlx.core when only ``site`` has packages."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import mlx.core"],
        env={"PYTHONPATH": str(site)},
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr.strip().splitlines()[-1]


def target(folder, *packages):
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
    run(*command, "--target", folder, *packages)
    return folder


def test_importing_without_a_back_end_says_what_to_install(tmp_path):
    message = import_error(target(tmp_path, WHEEL))
    assert f"needs a back end of exactly version {STOCK_VERSION}" in message
    assert "Installed: none" in message and "pip install" in message


@pytest.mark.skipif(
    sys.platform != "linux", reason="installs mlx-cpu, which is for Linux"
)
def test_importing_with_another_back_end_names_it(tmp_path):
    message = import_error(target(tmp_path, WHEEL, "mlx-cpu==0.32.3"))
    assert f"needs a back end of exactly version {STOCK_VERSION}" in message
    assert "Installed: mlx-cpu 0.32.3" in message


def test_building_against_another_version_is_refused(tmp_path):
    done = subprocess.run(
        [
            "cmake",
            "-S",
            ROOT,
            "-B",
            tmp_path,
            f"-DMLX_DIR={STOCK}/mlx/share/cmake/MLX",
            "-DMLX_TOPK_STOCK_VERSION=0.31.0",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "builds against MLX 0.31.0" in " ".join(done.stderr.split())


# ---- installing and removing -------------------------------------------------


@pytest.mark.slow  # pip downloads what mlx-lm requires
def test_installing_mlx_lm_keeps_this_mlx(python):
    """Installing mlx-lm and what it requires makes pip take no other mlx."""
    pinned = (ROOT / "requirements-clients.txt").read_text().strip()
    report = run(python, "-m", "pip", "install", "--dry-run", pinned)
    (line,) = (x for x in report.splitlines() if x.startswith("Would install"))
    names = {package.rsplit("-", 1)[0] for package in line.split()[2:]}
    assert "mlx-lm" in names and not names & {"mlx", "mlx-cpu", "mlx-metal"}


# Must be the last, because it uninstalls what the fixture installed.
def test_pip_exchanges_it_with_stock_and_removes_every_file(python):
    pip = (python, "-m", "pip", "-q")
    version = (python, "-c", "import mlx.core; print(mlx.core.__version__)")
    where = "import sysconfig; print(sysconfig.get_paths()['platlib'])"
    package = pathlib.Path(run(python, "-c", where), "mlx")
    backend = "mlx-cpu" if sys.platform == "linux" else "mlx-metal"

    run(*pip, "install", "--force-reinstall", "--no-deps", f"mlx=={STOCK_VERSION}")
    assert run(*version) == STOCK_VERSION
    assert not (package / "_overlay").exists()
    run(*pip, "install", "--force-reinstall", "--no-deps", WHEEL)
    assert run(*version) == f"{STOCK_VERSION}+topk.1"
    run(*pip, "uninstall", "-y", "mlx", backend)
    # Empty folders may remain, because several packages share them.
    assert [file for file in package.rglob("*") if file.is_file()] == []
