"""The C++ code that launches the Metal kernels, in the emulator.

Tests which kernels it launches, and what it runs where a kernel cannot be used.
"""

import json
import os
import subprocess
import sys

import hooks
import mlx.core as mx
import numpy as np
import pytest

from cases import METAL, bits, laid_out, values_of
from metal_kernels import (
    ROOT,
    SOURCE,
    check_source,
    emulated,
    emulator,
)

K = hooks.MetalKernel


# ---- counts of work ------------------------------------------------------------


@pytest.mark.slow
def test_top_k_moves_fewer_bytes_than_a_sort_in_no_more_launches(tmp_path):
    file = tmp_path / "counts.json"
    command = [sys.executable, ROOT / "benchmarks" / "metal_counts.py"]
    subprocess.run([*command, "--json", file], check=True, capture_output=True)
    results = json.loads(file.read_text())
    assert len(results) > 12
    for result in results:
        ours, stock = result["ours"], result["stock"]
        is_split = result["n"] > 8192
        assert ours["launches"] == (2 if is_split else 1), result["case"]
        most = (1.5 if is_split else 1.1) * result["least_bytes"]
        assert ours["bytes"] <= most, result["case"]
        if result["n"] <= 1024:
            assert ours["barriers"] == 0, result["case"]
        assert ours["launches"] <= stock["launches"], result["case"]
        assert ours["bytes"] < stock["bytes"], result["case"]


def test_a_partition_reads_a_long_row_twice_and_writes_it_once():
    n, k = 20000, 32
    a = mx.array(np.random.default_rng(0).standard_normal((2, n)).astype(np.float32))
    with emulated(tracked=True):
        mx.eval(mx.argpartition(a, k - 1))
        counts = hooks.take_emulated_counts()
    assert counts["launches"] == 3
    assert counts["bytes_read"] < 1.2 * 2 * a.nbytes
    assert counts["bytes_written"] < 1.2 * a.nbytes


def test_selections_that_a_sort_does_better_do_not_run_the_kernels():
    a = mx.array(np.random.default_rng(0).standard_normal((2, 1500)).astype(np.float32))
    long = mx.array(np.random.default_rng(0).standard_normal(9000).astype(np.float32))
    with emulated():
        mx.eval(mx.argpartition(a, 700), mx.topk(long, 2049), mx.argsort(a))
        assert hooks.take_emulated_counts()["launches"] == 0


# ---- selections by MLX's own primitives ----------------------------------------


@pytest.mark.parametrize("dtype", [mx.float32, mx.int8, mx.bfloat16, mx.float64])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "reversed"])
def test_stock_primitives_select_and_partition_the_same(dtype, layout):
    rng = np.random.default_rng(1)
    for n, k in [(1, 1), (40, 7), (700, 300)]:
        values = values_of(dtype, (3, n), "pool", rng)
        a = laid_out(values, dtype, layout, 1)
        for largest in (True, False):
            found = hooks.topk_by_stock(a, k, 1, largest)
            wanted = mx.topk(a, k, largest=largest, sorted=True, return_indices=True)
            mx.eval(found, wanted)
            np.testing.assert_array_equal(np.array(found[1]), np.array(wanted.indices))
            np.testing.assert_array_equal(bits(found[0]), bits(wanted.values))
        values, indices = hooks.partition_by_stock(a, k - 1, 1)
        mx.eval(values, indices)
        order = np.array(mx.argsort(a))
        for part in (slice(k - 1), slice(k - 1, k), slice(k, None)):
            got = np.sort(np.array(indices)[:, part])
            np.testing.assert_array_equal(got, np.sort(order[:, part]))
        fetched = mx.take_along_axis(a, indices, 1)
        np.testing.assert_array_equal(bits(values), bits(fetched))


# ---- the host ------------------------------------------------------------------


def run(code, **environment):
    """Runs code in a new process, because MLX reads the environment only once."""
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )


def test_a_kernel_that_does_not_compile_is_reported_once_and_replaced_by_a_sort():
    code = """
import mlx.core as mx, numpy as np
import hooks
from metal_kernels import emulated
a = mx.array([3.0, 1.0, 3.0, 2.0] * 500)
with emulated(missing="topk_bound"):
    for k in (40, 41):
        found = mx.topk(a, k, sorted=True, return_indices=True)
        mx.eval(found)
        assert np.array(found.indices).tolist() == [4 * (i // 2) + 2 * (i % 2)
                                                    for i in range(k)]
    short = mx.topk(a[:64], 2, return_indices=True)
    mx.eval(short)
    assert hooks.take_emulated_counts()["launches"] == 1
print(hooks.metal_kernel_report())
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be used here") == 1
    assert "python -m mlx.selftest" in done.stderr
    assert "topk_bound_float32_16_1_true_false" in done.stdout


def test_the_environment_turns_the_kernels_off_and_sets_their_limits():
    code = """
import mlx.core as mx
import hooks
from metal_kernels import emulated
a = mx.array([3.0, 1.0, 3.0, 2.0] * 16)
with emulated():
    mx.eval(mx.topk(a, 2))
    counts = hooks.take_emulated_counts()
print(counts["launches"], counts["barriers"])
"""
    assert run(code).stdout.split() == ["1", "0"]
    assert run(code, MLX_TOPK_METAL="0").stdout.split() == ["0", "0"]
    launches, barriers = run(code, MLX_TOPK_METAL="register_size=32").stdout.split()
    assert launches == "1"
    assert int(barriers) > 0
    split = run(code, MLX_TOPK_METAL="register_k=1,resident_size=16,segment_size=8")
    assert split.stdout.split()[0] == "2"


@pytest.mark.parametrize(
    "text", ["yes", "register=3", "register_size", "register_k=-1", "register_k=4x"]
)
def test_an_invalid_environment_is_refused_with_the_valid_names(text):
    done = run("import mlx.core", MLX_TOPK_METAL=text)
    assert done.returncode != 0
    assert "MLX_TOPK_METAL must be 0, 1 or a list" in done.stderr
    assert "resident_size" in done.stderr


def test_the_library_contains_the_source_of_its_kernels(tmp_path):
    sources = hooks.metal_sources(mx.zeros((2, 20000)), 50)
    assert list(sources) == [
        "topk_bound_split_float32_32_1_true_false",
        "topk_bound_merge_float32_4",
    ]
    for name, text in sources.items():
        file = tmp_path / f"{name}.metal"
        file.write_text(text)
        assert not check_source(file)
        assert emulator.build(file).kernels == [name]


def test_there_is_no_source_where_there_is_no_kernel():
    with pytest.raises(ValueError, match="No kernel selects 3000"):
        hooks.metal_sources(mx.zeros((2, 20000)), 3000)


def test_the_kernels_pass_the_front_end_check():
    assert not check_source(ROOT / SOURCE, [ROOT])


def test_the_tests_have_an_engine_for_each_kernel():
    assert set(METAL) == {"metal", "metal_missing"} | {
        f"metal_{kernel.name}" for kernel in K
    }
