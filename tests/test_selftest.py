"""``python -m mlx.selftest``: what it prints, and that it notices what is wrong."""

import os
import pathlib
import re
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
from mlx._version import STOCK_VERSION
from mlx.selftest import commands as selftest
from mlx.selftest import cpu_checks, perf, use_checks

from cases import HAS_EMULATOR
from metal_kernels import ROOT, emulator, library, write_kernels

EMULATED = [sys.executable, str(ROOT / "tests" / "emulated_selftest.py")]
DTYPES = ["--dtypes", "float32", "int64"]

needs_emulator = pytest.mark.skipif(not HAS_EMULATOR, reason="needs the emulator")


def run(command, **variables):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MLX_")}
    return subprocess.run(
        command, capture_output=True, text=True, env={**clean, **variables}
    )


def run_selftest(*arguments, **variables):
    return run([sys.executable, "-m", "mlx.selftest", *arguments], **variables)


def masked(text):
    """Replaces numbers and versions by N, and several spaces by one."""
    return re.sub(r" +", " ", re.sub(r"\d+(\.\d+)*", "N", text))


# ---- support and perf ----------------------------------------------------------


SUPPORT = r"""mlx N\+topk\.N
contract N
libmlx N \(.+\)
folder /.+
platform .+, Python N
instructions [\w-]+( \(also possible: [\w, -]+\))?
threads N
metal (kernels on|no kernels: .+)
cuda (kernels on|no kernels: .+)
kernel cache /.*/mlx-topk, N bytes
variable MLX_TOPK_GPU=N
variable MLX_TOPK_THREADS=N
"""


def test_support_prints_one_screen(tmp_path):
    done = run_selftest(
        "support",
        MLX_TOPK_GPU="0",
        MLX_TOPK_THREADS="3",
        XDG_CACHE_HOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(SUPPORT, masked(done.stdout)), done.stdout
    assert re.search(r"^threads +3$", done.stdout, re.MULTILINE)


def test_support_says_why_there_are_no_kernels_of_a_gpu():
    if mx.is_available(mx.gpu):
        pytest.skip("there is a GPU")
    info = mx.selection_info()
    for name, gpu in info["gpu"].items():
        installed = any(f"mlx-{name}" in package for package in info["back_ends"])
        assert gpu["why_not"] == (
            "its back end finds no such GPU"
            if installed
            else "the back end for it is not installed"
        )
    printed = run_selftest("support").stdout
    assert re.search(r"^metal +no kernels: .* back end .*$", printed, re.MULTILINE)


def test_selection_info_has_the_facts_that_support_prints(tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "a.cubin").write_bytes(b"12345")
    monkeypatch.setenv("MLX_TOPK_CACHE", str(folder))
    info = mx.selection_info()
    assert set(info) == {
        "mlx",
        "contract",
        "libmlx",
        "folder",
        "back_ends",
        "platform",
        "instruction_sets",
        "threads",
        "gpu",
        "cache",
        "variables",
    }
    assert info["mlx"] == mx.__version__
    assert info["libmlx"] == STOCK_VERSION
    assert set(info["back_ends"].values()) == {STOCK_VERSION}
    assert pathlib.Path(info["folder"], "mlx").samefile(
        pathlib.Path(mx.__file__).parent
    )
    assert info["threads"] == mx.selection_threads()
    assert info["cache"] == {"folder": str(folder), "bytes": 5}
    assert info["variables"]["MLX_TOPK_CACHE"] == str(folder)
    for gpu in info["gpu"].values():
        assert gpu["kernels"] == (gpu["why_not"] is None)
    monkeypatch.setenv("MLX_TOPK_CACHE", "0")
    assert mx.selection_info()["cache"]["folder"] is None


def test_the_version_of_the_contract_is_that_of_its_page():
    page = (ROOT / "docs" / "topk.md").read_text()
    assert f"\nThis is version {mx.selection_info()['contract']} of " in page


def test_perf_prints_a_table_in_markdown(monkeypatch, capsys):
    monkeypatch.setattr(perf, "CPU_SHAPES", [(8, 160, 8, "float32")])
    assert selftest.main(["perf", "--device", "cpu", "--seconds", "0"]) == 0
    title, empty, *table, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"mlx N\+topk\.N, CPU, [\w-]+, N threads\. Microseconds per call:",
        re.sub(r"\d+(\.\d+)*", "N", title).replace("avxN", "avx"),
    )
    assert empty == last == ""
    assert masked("\n".join(table)) == (
        "| rows x n, k | topk, values and indices | topk, values | "
        "stock: argpartition, take_along_axis | stock: topk, values | argpartition | "
        "stock: argpartition | one read (max) |\n"
        "|---|---|---|---|---|---|---|---|\n"
        "| N x N, N floatN | N | N | N | N | N | N | N |"
    )


# ---- test, on the CPU ----------------------------------------------------------

# What ``test --device cpu`` prints after the lines of ``support``.
TEST = """\
gradient under ties                  ok
jvp under ties                       ok
vmap                                 ok
compile                              ok
chains of 300 selections, memory     ok
8 threads, a stream each             ok
cpu bool_       ok    224 checks, 0 failed
cpu uint8       ok    224 checks, 0 failed
cpu uint16      ok    224 checks, 0 failed
cpu uint32      ok    224 checks, 0 failed
cpu uint64      ok    224 checks, 0 failed
cpu int8        ok    224 checks, 0 failed
cpu int16       ok    224 checks, 0 failed
cpu int32       ok    224 checks, 0 failed
cpu int64       ok    224 checks, 0 failed
cpu float16     ok    224 checks, 0 failed
cpu bfloat16    ok    224 checks, 0 failed
cpu float32     ok    224 checks, 0 failed
cpu float64     ok    224 checks, 0 failed
cpu complex64   ok    224 checks, 0 failed
cpu large rows  ok    2 checks, 0 failed
selftest passed. cpu: 3144 checks, 0 failed.
"""


def test_the_whole_output_of_a_test_of_the_cpu():
    done = run_selftest("test", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("mlx  ")
    _, printed = done.stdout.split("variables      none that begins with MLX_\n")
    assert printed == TEST
    assert done.stderr == ""


def test_the_cpu_passes_and_the_last_line_is_the_summary(monkeypatch, capsys):
    monkeypatch.setattr(cpu_checks, "DTYPES", ["bfloat16", "int64", "complex64"])
    assert selftest.main(["test", "--device", "cpu"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert masked(last) == "selftest passed. cpu: N checks, N failed."
    assert int(re.search(r"(\d+) checks", last)[1]) > 600


class Replaced:
    """``mlx.core``, with another ``topk``."""

    def __init__(self, topk):
        self.topk = topk

    def __getattr__(self, name):
        return getattr(mx, name)


def last_of_equals(a, k, **options):
    """Selects the greatest like ``topk``, but the last of equal elements."""
    found = mx.topk(a[..., ::-1], k, **options)
    indices = (a.shape[-1] - 1 - found.indices.astype(mx.int64)).astype(mx.uint32)
    return mx.TopKResult(found.values, indices)


def beyond_the_row(a, k, **options):
    found = mx.topk(a, k, **options)
    return mx.TopKResult(found.values, found.indices + a.shape[-1])


@pytest.mark.parametrize("wrong", [last_of_equals, beyond_the_row])
def test_a_wrong_op_is_a_failed_check_with_exit_status_1(wrong, monkeypatch, capsys):
    monkeypatch.setattr(cpu_checks, "DTYPES", ["int8"])
    monkeypatch.setattr(cpu_checks, "mx", Replaced(wrong))
    assert selftest.main(["test", "--device", "cpu"]) == 1
    printed = capsys.readouterr().out
    assert "cpu int8 WRONG" in masked(printed).replace("intN", "int8")
    assert "selftest FAILED" in printed.splitlines()[-1]


def test_a_chain_of_selections_that_leaks_memory_is_reported(monkeypatch):
    kept = []

    def leaking(a, stream):
        kept.append(mx.zeros((len(kept) + 1, 100_000)))
        mx.eval(kept)
        return mx.sort(a, axis=-1, stream=mx.cpu)

    monkeypatch.setattr(use_checks, "chain", leaking)
    failures = []
    use_checks.check_use(cpu_checks.Cpu(), failures)
    assert [failure.split(":")[0] for failure in failures] == [
        f"chains of {use_checks.CHAIN} selections, memory"
    ]
    assert "bytes more in use" in failures[0]


def test_the_shapes_of_the_cpu_checks_are_on_both_sides_of_each_limit():
    names = {tuple(np.sign([n - 256, k - 16])) for n, k in cpu_checks.SHAPES}
    assert {(0, 0), (1, 0), (0, 1)} <= names
    assert {(1024, 64), (1025, 64), (1024, 65)} <= set(cpu_checks.SHAPES)
    assert {(3000, 375), (3000, 376), (40, 40)} <= set(cpu_checks.SHAPES)


# ---- test, on a GPU ------------------------------------------------------------


@needs_emulator
def test_the_emulated_kernels_pass_and_what_the_time_did_not_allow_is_named():
    done = run([*EMULATED, library().path, *DTYPES, "--seconds", "1"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert masked(done.stdout.splitlines()[-1]) == (
        "selftest passed. gpu: N checks, N failed."
    )
    assert "threads, a stream each" in done.stdout
    (line,) = (x for x in done.stdout.splitlines() if x.startswith("Not run:"))
    assert "split int64" in line


@needs_emulator
@pytest.mark.slow
def test_all_emulated_kernels_pass():
    done = run([*EMULATED, library().path, *DTYPES])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Not run" not in done.stdout


def test_without_a_gpu_a_gpu_that_was_asked_for_is_not_tested():
    if mx.is_available(mx.gpu):
        pytest.skip("there is a GPU")
    for task, said in (("test", "no GPU was tested"), ("perf", "nothing was timed")):
        done = run_selftest(task, "--device", "gpu")
        assert done.returncode == 2
        assert said in done.stdout


def test_without_numpy_the_cpu_cannot_be_tested(monkeypatch, capsys):
    monkeypatch.setattr(selftest.importlib.util, "find_spec", lambda name: None)
    assert selftest.main(["test", "--device", "cpu"]) == 2
    assert "NumPy is not installed" in capsys.readouterr().out


def test_the_summary_names_a_device_that_was_not_tested(monkeypatch, capsys):
    def passes(gpu, dtypes, seconds):
        return 3, [], []

    monkeypatch.setattr(selftest.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(selftest.gpu_checks, "run", passes)
    assert selftest.main(["test"], gpu="a GPU") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "selftest passed. cpu: not tested; gpu: 3 checks, 0 failed."
    )


def test_perf_says_that_it_timed_no_gpu(monkeypatch, capsys):
    monkeypatch.setattr(selftest.mx, "is_available", lambda device: False)
    monkeypatch.setattr(perf, "CPU_SHAPES", [])
    assert selftest.main(["perf"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "There is no GPU here: only the CPU was timed."


def test_the_first_failures_are_printed_and_the_others_counted(monkeypatch, capsys):
    failures = [f"failure {i}" for i in range(23)]
    monkeypatch.setattr(cpu_checks, "run", lambda: (30, failures))
    assert selftest.main(["test", "--device", "cpu"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-4:-1] == ["failure 18", "failure 19", "and 3 more failures"]
    assert printed[-1] == "selftest FAILED. cpu: 30 checks, 23 failed."


def test_a_limit_of_no_seconds_runs_no_check_of_kernels(monkeypatch, capsys):
    limits = []

    def run(gpu, dtypes, seconds):
        limits.append(seconds)
        return 0, [], ["all"]

    monkeypatch.setattr(selftest.gpu_checks, "run", run)
    for options in ([], ["--seconds", "0"], ["--seconds", "9"]):
        selftest.main(["test", "--device", "gpu", *options], gpu="a GPU")
    assert limits == [float("inf"), 0, 9]


def test_a_wrong_option_has_exit_status_2_and_help_has_0():
    done = run_selftest("measure")
    assert done.returncode == 2 and "invalid choice: 'measure'" in done.stderr
    done = run_selftest("--help")
    assert done.returncode == 0
    for task in ("test", "perf", "support"):
        assert f"python -m mlx.selftest {task}" in done.stdout


@needs_emulator
@pytest.mark.slow
def test_a_wrong_kernel_is_noticed(tmp_path):
    # In partitions of short rows, the kernel writes index 0 in place of the indices
    # that are not among the k best. All indices stay inside the row, so no check reads
    # or writes outside an array.
    right = "rank + popcount(votes & below), position(i)"
    wrong = right.replace("position(i)", "0u")
    # Only the kernels of the types that are tested, since to build all takes long.
    tested = tuple(f"_{dtype}" for dtype in DTYPES[1:])
    names = [n for n in library().kernels if any(t in n for t in tested)]
    source = write_kernels(tmp_path, right, wrong, names=names)
    built = emulator.build(source, include_dirs=[tmp_path])
    done = run([*EMULATED, built.path, *DTYPES])
    assert done.returncode == 1
    assert "in_registers" in done.stdout
    assert "since a kernel is wrong" in done.stdout
