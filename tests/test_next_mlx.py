"""tools/next_mlx.py: each way in which another MLX can differ is found, and named."""

import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tools"))

import mlx_changes as changes

LOG = """
[1/3] Building CXX object CMakeFiles/mlx_topk.dir/mlx/topk_ops.cpp.o
FAILED: CMakeFiles/mlx_topk.dir/mlx/topk_ops.cpp.o
/home/me/build/next/9.9.9/mlx/topk_ops.cpp:12:3: error: 'flatten' was not declared
../../mlx/topk_ops.cpp:15:3: error: another one
../../overlay/selection.cpp:1:2: error: a third one
/home/me/build/next/9.9.9/mlx/topk.h:3:10: fatal error: mlx/api.h: No such file
"""


def test_the_first_error_of_each_source_file_is_reported():
    assert changes.compile_errors(LOG) == [
        ("line 12: 'flatten' was not declared", ["mlx/topk_ops.cpp"]),
        ("line 1: a third one", ["overlay/selection.cpp"]),
        ("line 3: mlx/api.h: No such file", ["mlx/topk.h"]),
    ]


def test_a_symbol_that_libmlx_lost_is_reported_with_all_files_that_need_it():
    needed = {"mlx/b.cpp": {"copy", "sort"}, "mlx/a.cpp": {"copy"}, "mlx/c.cpp": set()}
    assert changes.missing_symbols(needed, {"sort"}) == [
        ("libmlx does not export copy", ["mlx/a.cpp", "mlx/b.cpp"])
    ]
    assert changes.missing_symbols(needed, {"sort", "copy"}) == []


def test_the_newest_version_is_read_from_what_pip_prints():
    printed = "WARNING: pip index is experimental\nmlx (0.33.0)\nAvailable versions: "
    assert changes.first_version(f"{printed}0.33.0, 0.32.4\n") == "0.33.0"
    with pytest.raises(ValueError, match="no version of mlx"):
        changes.first_version("ERROR: No matching distribution found for mlx\n")


def test_symbols_that_an_object_can_do_without_are_not_needed():
    names = """
                     U mlx::core::copy(array const&)
                     U std::terminate()
                     w mlx::core::cu::get_command_encoder(mlx::core::Stream)
    """
    assert changes.needed_symbols(names) == {"mlx::core::copy(array const&)"}


def test_nanobind_of_another_version_or_domain_is_reported():
    ours = b"..\0mlx\0..\0nanobind_system_libstdcpp_gxx_abi_1xxx_a1_v22\0"
    older = ours.replace(b"_a1_v22", b"_v19")
    other = ours.replace(b"\0mlx\0", b"\0other\0")
    assert changes.nanobind_differences(ours, ours) == []
    ((what, files),) = changes.nanobind_differences(older, ours)
    assert "_v19, ours in" in what and "pyproject.toml" in files
    ((what, files),) = changes.nanobind_differences(other, ours)
    assert "domain" in what and files == ["CMakeLists.txt"]


OLD_STUBS = """
def topk(a: array, k: int) -> array:
    "The largest."
def grad(fun): ...
def sort(a): ...
"""


def test_a_stub_that_ours_replaces_and_that_changed_is_reported():
    additions = "def topk(a, k, largest): ...\ndef top_k(a, k): ...\n"
    same = OLD_STUBS.replace("The largest", "The greatest").replace(
        "sort(a)", "sort(b)"
    )
    assert changes.changed_stubs(OLD_STUBS, same, additions) == []
    new = OLD_STUBS.replace("k: int", "k: int = 1") + "def top_k(a, k, axis): ...\n"
    found = [what for what, _ in changes.changed_stubs(OLD_STUBS, new, additions)]
    assert len(found) == 2 and "k: int=1" in found[0] and "top_k" in found[1]
    gone = changes.changed_stubs(OLD_STUBS, "", additions)
    assert gone == [(f"topk in {changes.STUBS}: gone", [changes.ADDITIONS])]


def test_a_function_that_we_use_and_that_changed_is_reported():
    sources = {
        "python/mlx/_overlay/transforms.py": "stock.grad(fun); stock.vmap",
        "python/mlx/nn/routing/layers.py": "mx.sort(a) + mx.expand; a.max()",
        "python/src/topk.cpp": 'm.def("topk", &topk)',
    }
    old = {
        "grad": [["def grad(f: Callable[P, R], n: int = 0) -> R", "doc"]],
        "vmap": [["def vmap(f)", "doc"]],
        "sort": [["def sort(a: array, axis: int = \\0)", "doc"]],
        "topk": [["def topk(a)", "doc"]],
        "exp": [["def exp(a)", "doc"]],
        "array.max": [["def max(self)", "doc"]],
    }
    assert changes.changed_signatures(old, old, sources) == []
    new = {
        "grad": [["def grad(f: object, n: int | None = 0)", "doc"]],
        "vmap": [["def vmap(f, axis)", "doc"]],
        "sort": [["def sort(a: array, axis: int = \\0)", "other"]],
    }
    assert changes.changed_signatures(old, new, sources) == [
        ("mlx.core.vmap(f) is now (f, axis)", ["python/mlx/_overlay/transforms.py"]),
        ("mlx.core.topk is gone", ["python/src/topk.cpp"]),
    ]
    new["topk"] = [["def topk(a: array)", "other"]]
    assert changes.changed_signatures(old, new, sources)[1:] == [
        ("mlx.core.topk has another docstring", ["python/src/topk.cpp"])
    ]


def test_failed_tests_are_reported_by_name():
    log = "FAILED tests/test_a.py::test_x[1-2] - assert 1 == 2\nERROR tests/test_b.py\n"
    assert changes.failed_tests(log) == [
        ("test_x[1-2]: assert 1 == 2", ["tests/test_a.py"]),
        (": ", ["tests/test_b.py"]),
    ]


def test_the_first_error_is_neither_pips_own_line_nor_the_name_of_a_file():
    log = "  error: subprocess-exited-with-error\n\n  [1/2] Building error.cpp.o\n"
    log += "  CMake Error at x:3\nmake: Error 1\n"
    assert changes.first_error(log) == "CMake Error at x:3"
    assert changes.first_error("one\ntwo\n") == "two"
    assert changes.first_error("") == "no output"
