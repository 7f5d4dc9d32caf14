"""The Metal kernels in the emulator: their results, and the memory that they access."""

import hooks
import mlx.core as mx
import numpy as np
import pytest

import oracle
from cases import bits, laid_out, numpy_of, values_of
from metal_kernels import (
    emulated,
    library,
)
from test_families import ROWS, row_of

K = hooks.MetalKernel
KERNELS = list(K)
KERNEL_TYPES = [mx.bool_, mx.int8, mx.uint16, mx.int32, mx.uint64, mx.int64]
KERNEL_TYPES += [mx.float16, mx.bfloat16, mx.float32]
# Sizes near those at which kernels change what they do. These are: 8, 16 or 32, the
# lanes that share a short row; the most elements that fit into registers; the most
# candidates that are ranked, and that are kept; the elements that 256 threads read at a
# time; and the size from which rows are split.
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
    reverse = order[..., :k][..., ::-1]
    np.testing.assert_array_equal(np.sort(np.array(other)), np.sort(reverse))
    # The worst is first and the best last. If k <= 512, all are in order.
    ends = slice(None) if k <= 512 else [0, -1]
    np.testing.assert_array_equal(np.array(other)[..., ends], reverse[..., ends])


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
    """The bound is the k-th greatest of the lanes' maxima.

    Here more elements reach the bound than the lanes have room for.
    """
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
    """The bound is taken from the maxima of the threads.

    Here more elements reach the bound than the threadgroup has room for.
    """
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
    """A kernel looks in each segment for a share of the k best elements.

    Here one segment has more of them than its share.
    """
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
def test_partition_and_argpartition_with_kth_anywhere_in_the_row(kernel, tracked):
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
        *[(name, "u4") for name in ("share", "room", "wanted")],
    ]
)
