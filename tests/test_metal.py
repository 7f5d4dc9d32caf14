"""The Metal kernels in the emulator: their results, their work and their host code."""

import json
import os
import shutil
import subprocess
import sys

import hooks
import mlx.core as mx
import numpy as np
import pytest

import oracle
from cases import METAL, bits, laid_out, numpy_of, values_of
from metal_kernels import (
    ROOT,
    SOURCE,
    check_source,
    cuda,
    emulated,
    emulator,
    library,
    write_kernels,
)
from test_families import ROWS, row_of

SELFTEST = [sys.executable, str(ROOT / "tests" / "emulated_selftest.py")]
DTYPES = ["--dtypes", "float32", "int64"]
K = hooks.MetalKernel
KERNELS = list(K)
KERNEL_TYPES = [mx.bool_, mx.int8, mx.uint16, mx.int32, mx.uint64, mx.int64]
KERNEL_TYPES += [mx.float16, mx.bfloat16, mx.float32]
# Around the sizes at which kernels change what they do: a simdgroup's 32 lanes and the
# 8 or 16 that share a short row, what registers hold, how many candidates are ranked
# and how many are kept, the elements that 256 threads read at a time, and the size from
# which rows are split.
SIZES = [1, 8, 31, 33, 64, 128, 160, 512, 513, 1024, 1025, 2049, 8193]

every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)


def counts_of(n):
    """The k to test with rows of n elements."""
    most = {1, 2, 4, 8, 9, 31, 32, 33, 64, 65, 512, 513, 2048, n - 1, n}
    return sorted(k for k in most if 0 < k <= min(n, 2048))


def check(a, k, largest, order):
    """Checks topk of `a`, sorted and not, against the order of its whole rows."""
    values, indices = mx.topk(a, k, largest=largest, sorted=True, return_indices=True)
    other = mx.topk(a, k, largest=largest, return_indices=True).indices
    mx.eval(values, indices, other)
    np.testing.assert_array_equal(np.array(indices), order[..., :k], f"{a.dtype} {k}")
    fetched = mx.take_along_axis(a, indices, -1)
    np.testing.assert_array_equal(bits(values), bits(fetched))
    np.testing.assert_array_equal(np.sort(np.array(other)), np.sort(order[..., :k]))


@every_kernel
@pytest.mark.parametrize("kind", ROWS)
def test_every_kind_of_row(kind, kernel):
    with emulated(kernel, seed=7):
        for dtype in (mx.float32, mx.bfloat16, mx.int8, mx.int64):
            for n in SIZES:
                a = row_of(kind, dtype, n)
                row = numpy_of(a)
                for largest in (True, False):
                    order = oracle.order(row, largest)
                    for k in counts_of(n):
                        check(a, k, largest, order)
        assert hooks.take_emulated_counts()["launches"] > 0


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("n, k", [(128, 4), (256, 8), (1024, 32)])
def test_good_elements_in_few_lanes(n, k, tracked):
    """Then the greatest elements of the lanes are a bound that too many reach."""
    rng = np.random.default_rng(6)
    rows = rng.integers(0, 40, (5, n)) + 100 * (np.arange(n) % 8 < 3)
    for dtype in (mx.float32, mx.uint8, mx.int64):
        a = mx.array(rows).astype(dtype)
        order = np.stack([oracle.order(row, True) for row in rows])
        stable = np.stack([oracle.order(row, False) for row in rows])
        with emulated(K.in_registers, tracked=tracked, seed=2):
            check(a, k, True, order)
            indices = np.array(mx.argpartition(a, n - k))
        for part in (slice(n - k), slice(n - k, n - k + 1), slice(n - k, None)):
            found = np.sort(indices[:, part])
            np.testing.assert_array_equal(found, np.sort(stable[:, part]))


def rows_with_good_elements(good, stride):
    """Returns two rows with great elements where ``good`` is true, and their order."""
    n = len(good)
    rng = np.random.default_rng(9)
    rows = rng.integers(0, 5000, (2, n)) + 100000 * good
    wide = np.zeros((2, stride * n), np.float32)
    wide[:, ::stride] = rows
    order = np.stack([oracle.order(row, True) for row in rows])
    return mx.array(wide)[:, ::stride], order


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("n, kernel", [(8192, K.bound), (20000, K.bound_split)])
def test_good_elements_in_few_threads(n, kernel, stride):
    """Then more elements reach the bound than there is room for."""
    chunk = 4 if stride == 1 else 1  # what a thread reads at a time
    good = np.arange(n) // chunk % 256 < 64
    for k in (100, 500):
        a, order = rows_with_good_elements(good, stride)
        with emulated(seed=4):
            check(a, k, True, order)
            assert hooks.take_emulated_counts()["launches"] == (2 if n < 9000 else 4)
        with emulated(kernel, tracked=True):
            check(a, k, True, order)


@pytest.mark.parametrize("stride", [1, 2])
def test_good_elements_in_one_segment(stride):
    """Then the segment has more of the k best than the share that it looks for."""
    n, segments = 20000, 3
    chunk = 4 if stride == 1 else 1
    in_first = np.arange(n) // (32 * chunk) % segments == 0
    good = in_first * (np.random.default_rng(1).random(n) < 0.1)
    for k in (50, 400):
        a, order = rows_with_good_elements(good, stride)
        for tracked in (False, True):
            with emulated(tracked=tracked, seed=4):
                check(a, k, True, order)


def test_aligned_rows_are_read_in_chunks_of_16_bytes():
    a = mx.zeros((4, 8192))
    for b, dense in [
        (a, "true"),
        (a[:, 4:], "true"),
        (a[:, 1:8189], "false"),
        (a[:, :8190], "false"),
        (a[:, ::2], "false"),
        (mx.zeros((4, 8190))[:, :8188], "false"),
    ]:
        mx.eval(b)
        (name,) = hooks.metal_sources(b, 40)
        elements = 32 if b.shape[1] > 4096 else 16
        assert name == f"topk_bound_float32_{elements}_1_{dense}_false"


@pytest.mark.parametrize("n, k", [(8, 2), (100, 4), (160, 8), (896, 16), (300, 32)])
@pytest.mark.parametrize("stride", [1, 2])
def test_unsorted_results_of_short_rows_have_the_best_last(n, k, stride):
    rng = np.random.default_rng(8)
    for rows in (1, 3, 131):
        a = mx.array(rng.integers(-50, 50, (rows, stride * n)).astype(np.float32))
        a = a[:, ::stride]
        order = np.stack([oracle.order(row, True) for row in np.array(a)])
        with emulated():
            found = mx.topk(a, k, return_indices=True)
            mx.eval(found)
        expected = order[:, :k][:, ::-1]
        np.testing.assert_array_equal(np.array(found.indices), expected)


@every_kernel
@pytest.mark.parametrize("dtype", KERNEL_TYPES)
def test_accesses_are_in_bounds_ordered_and_initialised(dtype, kernel):
    rng = np.random.default_rng(1)
    with emulated(kernel, tracked=True, seed=3):
        for kind in ("pool", "spread"):
            for n in (33, 1024, 2600):
                rows = values_of(dtype, (2, n), kind, rng)
                a = mx.array(rows).astype(dtype)
                orders = {
                    largest: np.stack(
                        [oracle.order(row, largest) for row in numpy_of(a)]
                    )
                    for largest in (True, False)
                }
                for k in {9, min(n, 40), min(n, 600)}:
                    for largest, order in orders.items():
                        check(a, k, largest, order)


@pytest.mark.parametrize("tracked", [False, True])
@every_kernel
def test_partitions_at_either_end_to_indices_and_values(kernel, tracked):
    rng = np.random.default_rng(2)
    sizes = (1, 2, 33, 700, 2049) if tracked else SIZES
    for dtype in (mx.float32, mx.uint8, mx.int64):
        for n in sizes:
            for kind in ("pool", "spread"):
                a = mx.array(values_of(dtype, (2, n), kind, rng)).astype(dtype)
                stable = np.stack([oracle.order(r, False) for r in numpy_of(a)])
                for kth in {0, n // 2, n - 1, min(7, n - 1), max(n - 30, 0)}:
                    with emulated(kernel, tracked=tracked, seed=5):
                        indices = np.array(mx.argpartition(a, kth))
                        values = mx.partition(a, kth)
                        mx.eval(values)
                        launches = hooks.take_emulated_counts()["launches"]
                    assert launches > 0 or kernel is not None
                    parts = [slice(kth), slice(kth, kth + 1), slice(kth + 1, None)]
                    for part in parts:
                        np.testing.assert_array_equal(
                            np.sort(indices[:, part]), np.sort(stable[:, part])
                        )
                    fetched = mx.take_along_axis(a, mx.array(indices), -1)
                    np.testing.assert_array_equal(bits(values), bits(fetched))


@every_kernel
@pytest.mark.parametrize(
    "layout", ["transposed", "axis outermost", "strided", "reversed", "offset"]
)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_strides(layout, axis, kernel):
    rng = np.random.default_rng(3)
    shape = [3, 2, 4]
    shape[axis] = 77
    values = rng.integers(-9, 9, shape).astype(np.float32)
    a = laid_out(values, mx.float32, layout, axis)
    for largest in (True, False):
        expected = np.apply_along_axis(oracle.order, axis, values, largest)
        with emulated(kernel, tracked=True):
            found = mx.topk(
                a, 5, axis, largest=largest, sorted=True, return_indices=True
            )
            ordered = mx.argpartition(a, 4, axis)
            mx.eval(found, ordered)
        best = expected.take(range(5), axis)
        np.testing.assert_array_equal(np.array(found.indices), best)
        taken = np.take_along_axis(values, best, axis)
        np.testing.assert_array_equal(np.array(found.values), taken)
        if not largest:
            ordered = np.array(ordered)
            np.testing.assert_array_equal(
                np.sort(ordered.take(range(5), axis), axis), np.sort(best, axis)
            )


def test_rows_begin_beyond_four_billion_elements():
    """The rows are 2^30 elements apart. Memory between them is reserved, not used."""
    import mmap

    rows, stride, n, k = 6, 1 << 30, 300, 5
    no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000)  # named from Python 3.13 on
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    memory = mmap.mmap(-1, rows * stride * 4, flags=flags)
    whole = np.frombuffer(memory, np.float32)
    values = np.random.default_rng(4).standard_normal((rows, n)).astype(np.float32)
    for i in range(rows):
        whole[i * stride : i * stride + n] = values[i]
    arguments = np.zeros(1, ARGUMENTS)
    arguments["rows"], arguments["axis_size"], arguments["k"] = rows, n, k
    arguments["segments"], arguments["capacity"], arguments["row_axes"] = 1, 1024, 1
    arguments["in_stride"] = arguments["out_stride"] = 1
    arguments["sorted"] = 1
    arguments["writes_values"] = arguments["writes_indices"] = 1
    axes = np.array([rows, stride, k])
    expected = np.stack([oracle.order(row, True)[:k] for row in values])
    for name in ("topk_lanes_float32_12_32_2_true", "topk_resident_float32"):
        best = np.zeros((rows, k), np.float32)
        indices = np.zeros((rows, k), np.uint32)
        # topk_lanes has 8 rows per threadgroup, topk_resident has one.
        one_row = "resident" in name
        library().launch(
            name,
            {0: whole, 1: best, 2: indices, 3: arguments, 4: axes},
            threadgroups=(1, rows, 1) if one_row else (1, 1, 1),
            threads=256,
            outputs={1, 2},
            threadgroup_memory={0: 4096, 1: 4096} if one_row else {},
        )
        np.testing.assert_array_equal(indices, expected)
        np.testing.assert_array_equal(best, np.take_along_axis(values, expected, 1))


# The structure of topk_arguments.h as a NumPy type.
ARGUMENTS = np.dtype(
    [
        ("rows", "u8"),
        *[(name, "u4") for name in ("axis_size", "k", "segments", "capacity")],
        *[(name, "i8") for name in ("in_start", "in_stride")],
        *[(name, "i8") for name in ("out_start", "out_stride")],
        *[(name, "u4") for name in ("mirrored", "smallest", "sorted")],
        *[(name, "u4") for name in ("writes_values", "writes_indices")],
        *[(name, "u4") for name in ("writes_rest", "row_axes")],
        *[(name, "u4") for name in ("share", "room", "padding")],
    ]
)


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


# ---- what MLX's own primitives do instead ----


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


def test_the_library_carries_the_source_that_was_tested(tmp_path):
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


def test_engines_run_on_the_emulator():
    assert set(METAL) == {"metal", "metal_missing"} | {
        f"metal_{kernel.name}" for kernel in KERNELS
    }


def test_selftest_passes_on_the_emulated_kernels_and_says_so():
    done = subprocess.run(
        [*SELFTEST, library().path, *DTYPES],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout


def test_selftest_without_a_gpu_does_not_claim_success():
    if mx.is_available(mx.gpu):
        pytest.skip("there is a GPU")
    done = subprocess.run(
        [sys.executable, "-m", "mlx.selftest"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "nothing was tested" in done.stdout


@pytest.mark.slow
def test_selftest_fails_when_a_kernel_is_wrong(tmp_path):
    source = write_kernels(tmp_path, "keys[i] >= bound", "keys[i] > bound")
    built = emulator.build(source, include_dirs=[tmp_path])
    done = subprocess.run(
        [*SELFTEST, built.path, *DTYPES],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "in_registers" in done.stdout


def test_nvcc_compiles_the_same_source(tmp_path):
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed")
    cubin = tmp_path / "topk.cubin"
    # One type with 32-bit keys and one with 64-bit keys.
    dtypes = ["float32", "int64"]
    source = write_kernels(tmp_path, dtypes=dtypes)
    cuda.compile_kernels(source, cubin, [tmp_path])
    for name in ("topk_lanes_float32_32_32_2_true", "topk_rest_int64"):
        assert name.encode() in cubin.read_bytes()
    # A mistake in the source is an error of nvcc, too.
    source = write_kernels(tmp_path, "simd_max(", "simd_most(", dtypes)
    with pytest.raises(emulator.BuildError, match="simd_most"):
        cuda.compile_kernels(source, cubin, [tmp_path])
