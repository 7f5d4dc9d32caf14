"""``python -m mlx.selftest``: what it prints, and that it notices what is wrong."""

import os
import re
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
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
    assert info["threads"] == mx.selection_threads()
    assert info["cache"] == {"folder": str(folder), "bytes": 5}
    assert info["variables"]["MLX_TOPK_CACHE"] == str(folder)
    for gpu in info["gpu"].values():
        assert gpu["kernels"] == (gpu["why_not"] is None)
    monkeypatch.setenv("MLX_TOPK_CACHE", "0")
    assert mx.selection_info()["cache"]["folder"] is None


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
        "| rows x n, k | topk, values and indices | "
        "stock: argpartition, take_along_axis | stock: topk, values | argpartition | "
        "stock: argpartition | one read (max) |\n"
        "|---|---|---|---|---|---|---|\n"
        "| N x N, N floatN | N | N | N | N | N | N |"
    )


# ---- test, on the CPU ----------------------------------------------------------


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


@needs_emulator
@pytest.mark.slow
def test_a_wrong_kernel_is_noticed(tmp_path):
    # In partitions of short rows, the kernel writes index 0 in place of the indices
    # that are not among the k best. All indices stay inside the row, so no check reads
    # or writes outside an array.
    right = "rank + popcount(votes & below), position(i)"
    source = write_kernels(tmp_path, right, right.replace("position(i)", "0u"))
    built = emulator.build(source, include_dirs=[tmp_path])
    done = run([*EMULATED, built.path, *DTYPES])
    assert done.returncode == 1
    assert "in_registers" in done.stdout
    assert "since a kernel is wrong" in done.stdout
