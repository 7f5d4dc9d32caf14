"""Many rows that are in order already, along either axis.

The CPU copies them before it comes to the kernels for rows in no order.
"""

import hooks
import mlx.core as mx
import numpy as np
import pytest

import oracle
from cases import bits, dtype_name, mx_array, numpy_of

DTYPES = [mx.bool_, mx.uint8, mx.int32, mx.bfloat16, mx.float32, mx.float64]

# Functions of the size of a row that return its elements.
ROWS = {
    "ascending": np.arange,
    "descending": lambda n: np.arange(n)[::-1],
    "descending with ties": lambda n: np.arange(n)[::-1] // 3,
    "equal": np.ones,
    "zeros of both signs": lambda n: np.where(np.arange(n) % 2, -0.0, 0.0),
    "NaN last": lambda n: np.where(np.arange(n) < 0.8 * n, np.arange(n), np.nan),
    "NaN first": lambda n: np.where(np.arange(n) < 0.3 * n, np.nan, -np.arange(n)),
}

# How many rows, and their size: both sides of the thresholds of the kernels, and
# fewer rows than a vector has lanes.
SHAPES = [(1, 40), (3, 1), (3, 9), (5, 100), (40, 2), (40, 16), (70, 17), (9, 300)]

kernels = pytest.mark.parametrize("engine", hooks.kernels())
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=dtype_name)


def stable_order(a, axis, descending):
    """Returns the oracle's stable order of each row. Most rows are the same."""
    rows = np.moveaxis(numpy_of(a), axis, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    distinct = {row.tobytes(): row for row in flat}
    order_of = {k: oracle.order(row, descending) for k, row in distinct.items()}
    out = np.stack([order_of[row.tobytes()] for row in flat]).astype(np.uint32)
    return np.ascontiguousarray(np.moveaxis(out.reshape(rows.shape), -1, axis))


def fetch(a, indices, axis):
    return bits(mx.take_along_axis(a, mx.array(indices), axis))


def assert_sorts(a, axis):
    for descending in (False, True):
        wanted = stable_order(a, axis, descending)
        indices = mx.argsort(a, axis, descending=descending)
        values = mx.sort(a, axis, descending=descending)
        np.testing.assert_array_equal(np.array(indices), wanted)
        np.testing.assert_array_equal(bits(values), fetch(a, wanted, axis))


def assert_partitions(a, axis):
    wanted = stable_order(a, axis, False)
    n = a.shape[axis]
    for kth in {0, n // 2, n - 1}:
        indices = np.array(mx.argpartition(a, kth, axis))
        values = bits(mx.partition(a, kth, axis))
        np.testing.assert_array_equal(values, fetch(a, indices, axis))
        for side in (range(kth), range(kth, kth + 1), range(kth + 1, n)):
            found, right = (np.take(x, side, axis) for x in (indices, wanted))
            np.testing.assert_array_equal(np.sort(found, axis), np.sort(right, axis))


def assert_topk(a, axis):
    n = a.shape[axis]
    wanted = stable_order(a, axis, True)
    for k in {1, min(n // 2, 64), min(n - 1, 64)} - {0}:
        best_last = np.take(wanted, range(k - 1, -1, -1), axis)
        values, indices = mx.topk(a, k, axis, return_indices=True)
        np.testing.assert_array_equal(np.array(indices), best_last)
        np.testing.assert_array_equal(bits(values), fetch(a, best_last, axis))
        alone = mx.topk(a, k, axis)
        np.testing.assert_array_equal(bits(alone), bits(values))


def assert_all(a, axis):
    assert_sorts(a, axis)
    assert_partitions(a, axis)
    assert_topk(a, axis)


def elements(name, n, dtype):
    values = ROWS[name](n)
    if dtype == mx.bool_:
        return np.abs(values) > n // 2
    return values % 200 if dtype == mx.uint8 else values


def names_for(dtype):
    floating = mx.issubdtype(dtype, mx.floating)
    return [name for name in ROWS if floating or "NaN" not in name]


@kernels
@dtypes
@pytest.mark.parametrize("rows, n", SHAPES)
def test_rows_that_are_all_in_one_order(rows, n, dtype, engine):
    for name in names_for(dtype):
        one = elements(name, n, dtype)
        a = mx_array(np.broadcast_to(one, (rows, n)).copy(), dtype)
        assert_all(a, -1)
        assert_all(mx.contiguous(a.T), 0)


@kernels
@pytest.mark.parametrize("dtype", [mx.uint8, mx.float32], ids=dtype_name)
@pytest.mark.parametrize("spoiled", [0, 20, 39])
@pytest.mark.parametrize("n", [9, 100])
def test_one_row_that_is_in_another_order_than_the_rest(n, spoiled, dtype, engine):
    for name in ("ascending", "descending with ties"):
        values = np.broadcast_to(elements(name, n, dtype), (40, n)).copy()
        for other in (values[0, ::-1], np.roll(values[0], 3)):
            values[spoiled] = other
            a = mx_array(values, dtype)
            assert_all(a, -1)
            assert_all(mx.contiguous(a.T), 0)


@kernels
def test_several_matrices_in_different_orders(engine):
    up = np.arange(60.0)[:, None] + np.zeros(9)
    mixed = np.random.default_rng(0).standard_normal(up.shape)
    a = mx.array(np.stack([up, up[::-1], up, mixed, up[::-1]]).astype(np.float32))
    assert_all(a, 1)
    # The columns of a part of a matrix are not contiguous together.
    assert_all(a[:, :, 1:9], 1)
    assert_all(a[:, ::2], 1)


@kernels
@pytest.mark.parametrize("dtype", [mx.uint8, mx.bfloat16, mx.float32], ids=dtype_name)
@pytest.mark.parametrize("n", [4, 65, 160])
def test_a_row_has_the_same_partition_alone_and_among_others(n, dtype, engine):
    rng = np.random.default_rng(n)
    in_order = [elements(name, n, dtype) for name in names_for(dtype)]
    rows = in_order + [rng.integers(0, 100, n), rng.integers(0, 3, n)] * 2
    a = mx_array(np.stack(rng.permutation(rows)), dtype)
    assert_partitions(a, -1)
    for partition in (mx.partition, mx.argpartition):
        for kth in {0, min(7, n - 1), min(15, n - 1)}:
            alone = [bits(partition(a[i : i + 1], kth)) for i in range(len(rows))]
            np.testing.assert_array_equal(
                bits(partition(a, kth)), np.concatenate(alone)
            )
