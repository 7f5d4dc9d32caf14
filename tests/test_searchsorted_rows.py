"""searchsorted with a sequence of several rows, and with a sorter."""

import bisect

import mlx.core as mx
import numpy as np
import pytest

from cases import (
    ALL,
    ENGINES,
    dtype_name,
    has_dtype,
    mx_array,
    numpy_of,
    values_of,
)

engines = pytest.mark.parametrize("engine", ["kernel", "portable", "shapeless", "gpu"])
sides = pytest.mark.parametrize("side", ["left", "right"])


def search_rows(sequence, keys, side, axis):
    """Searches one row after the other, with NumPy."""
    rows = np.moveaxis(sequence, axis, -1)
    wanted = np.moveaxis(keys, axis, -1)
    found = np.empty(wanted.shape, np.uint32)
    for where in np.ndindex(rows.shape[:-1]):
        found[where] = np.searchsorted(rows[where], wanted[where], side)
    return np.moveaxis(found, -1, axis)


@engines
@sides
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 33])
def test_each_row_is_searched_for_its_own_values(n, axis, side, engine):
    rng = np.random.default_rng(n)
    shape, key_shape = [3, 2, 4], [3, 2, 4]
    shape[axis], key_shape[axis] = n, 6
    sequence = np.sort(rng.integers(0, 6, shape), axis).astype(np.float32)
    keys = rng.choice(np.array([-1, 0, 1.5, 3, 9, np.nan, np.inf], "f"), key_shape)
    with ENGINES[engine]():
        got = mx.searchsorted(mx.array(sequence), mx.array(keys), side, axis=axis)
    assert got.dtype == mx.uint32
    wanted = search_rows(sequence, keys, side, axis)
    np.testing.assert_array_equal(np.array(got), wanted)


def position(row, key, side):
    """Returns the position in the contract's order, where NaN is greatest."""

    def rank(value):
        return (1,) if value != value else (0, value.real, value.imag)

    search = bisect.bisect_left if side == "left" else bisect.bisect_right
    return search([rank(value) for value in row], rank(key))


@engines
@sides
@pytest.mark.parametrize("dtype", ALL, ids=dtype_name)
def test_rows_are_searched_in_the_order_in_which_sort_puts_them(dtype, side, engine):
    if not has_dtype(engine, dtype):
        pytest.skip("the contract promises this dtype on the CPU only")
    rng = np.random.default_rng(1)
    a = mx.sort(mx_array(values_of(dtype, (4, 30), "pool", rng), dtype))
    keys = mx_array(values_of(dtype, (4, 9), "pool", rng), dtype)
    with ENGINES[engine]():
        got = mx.searchsorted(a, keys, side, axis=1)
        turned = mx.searchsorted(a.T, keys.T, side, axis=0)
    rows = zip(numpy_of(a).tolist(), numpy_of(keys).tolist(), strict=True)
    wanted = [[position(row, key, side) for key in keys] for row, keys in rows]
    assert got.tolist() == wanted
    np.testing.assert_array_equal(np.array(turned), np.array(got.T))
    # Stock MLX has another order of complex numbers with one NaN part.
    if dtype != mx.complex64:
        one_by_one = [mx.searchsorted(a[i], keys[i], side) for i in range(4)]
        np.testing.assert_array_equal(np.array(got), np.array(mx.stack(one_by_one)))


@sides
def test_unsigned_and_signed_rows_are_compared_as_integers(side):
    big = 2**63
    rows = np.array([[0, 5, big - 1, big, 2**64 - 1]] * 2, np.uint64)
    keys = np.array([[-1, 5, big - 1], [-big, 0, 6]], np.int64)
    got = mx.searchsorted(mx.array(rows), mx.array(keys), side, axis=-1)
    wanted = [
        [sum(int(e) < int(k) or (side == "right" and int(e) == int(k)) for e in row)
         for k in key_row]
        for row, key_row in zip(rows, keys, strict=True)
    ]  # fmt: skip
    assert got.tolist() == wanted
    rows, keys = keys[:, [0, 1, 2]], np.array([[0, big, 2**64 - 1]] * 2, np.uint64)
    rows = np.sort(rows, -1)
    got = mx.searchsorted(mx.array(rows), mx.array(keys), side, axis=-1)
    wanted = [
        [sum(int(e) < int(k) or (side == "right" and int(e) == int(k)) for e in row)
         for k in key_row]
        for row, key_row in zip(rows, keys, strict=True)
    ]  # fmt: skip
    assert got.tolist() == wanted


@engines
@sides
def test_a_sorter_orders_the_sequence(side, engine):
    rng = np.random.default_rng(2)
    a = rng.integers(0, 9, 40).astype(np.float32)
    sorter = np.argsort(a, kind="stable")
    keys = rng.integers(-1, 10, (3, 5)).astype(np.float32)
    wanted = np.searchsorted(a, keys, side, sorter=sorter)
    with ENGINES[engine]():
        for order in (mx.argsort(mx.array(a)), mx.array(sorter), mx.array(sorter - 40)):
            got = mx.searchsorted(mx.array(a), mx.array(keys), side, sorter=order)
            np.testing.assert_array_equal(np.array(got), wanted)
            for axis in (0, -1):
                got = mx.searchsorted(
                    mx.array(a), mx.array(keys), side, axis=axis, sorter=order
                )
                np.testing.assert_array_equal(np.array(got), wanted)


@engines
@pytest.mark.parametrize("axis", [0, 1])
def test_a_sorter_of_rows(axis, engine):
    rng = np.random.default_rng(3)
    a = mx.array(rng.integers(0, 9, (6, 6)).astype(np.float32))
    keys = mx.array(rng.integers(0, 9, (6, 6)).astype(np.float32))
    with ENGINES[engine]():
        sorter = mx.argsort(a, axis)
        got = mx.searchsorted(a, keys, axis=axis, sorter=sorter)
    wanted = search_rows(np.sort(np.array(a), axis), np.array(keys), "left", axis)
    np.testing.assert_array_equal(np.array(got), wanted)


@pytest.mark.parametrize("axes", [(0, 0), (1, 2), (None, 1), (2, None), (-1, 0)])
def test_vmap_over_a_batch_of_rows(axes):
    rng = np.random.default_rng(4)
    sequences = np.sort(rng.integers(0, 5, (3, 2, 7)), -1).astype(np.float32)
    keys = rng.integers(0, 5, (3, 2, 4)).astype(np.float32)

    def arranged(a, axis):
        return mx.array(a[0] if axis is None else np.moveaxis(a, 0, axis).copy())

    def f(a, b):
        return mx.searchsorted(a, b, axis=-1)

    arguments = arranged(sequences, axes[0]), arranged(keys, axes[1])
    got = mx.vmap(f, in_axes=axes)(*arguments)
    if axes[0] is None:
        sequences = np.stack([sequences[0]] * 3)
    if axes[1] is None:
        keys = np.stack([keys[0]] * 3)
    wanted = search_rows(sequences, keys, "left", -1)
    np.testing.assert_array_equal(np.array(got), wanted)


def test_a_compiled_search_runs_again_with_other_sizes():
    f = mx.compile(lambda a, b: mx.searchsorted(a, b, axis=-1), shapeless=True)
    rng = np.random.default_rng(5)
    for n, m in [(4, 3), (9, 1), (1, 5), (0, 2)]:
        a = np.sort(rng.integers(0, 5, (2, n)), -1).astype(np.float32)
        b = rng.integers(0, 5, (2, m)).astype(np.float32)
        got = f(mx.array(a), mx.array(b))
        np.testing.assert_array_equal(np.array(got), search_rows(a, b, "left", -1))


@pytest.mark.parametrize("mode", ["stop", "zero"])
def test_gradients_of_positions_are_zero(mode):
    a = mx.array([[1.0, 2, 4], [0, 3, 9]])
    keys = mx.array([[3.0], [3]])
    sorter = mx.argsort(a)
    with mx.index_gradient(mode):
        _, gradients = mx.vjp(
            lambda a, keys: mx.searchsorted(a, keys, axis=1, sorter=sorter),
            [a, keys],
            [mx.ones((2, 1), mx.uint32)],
        )
        assert [g.tolist() for g in gradients] == [[[0] * 3] * 2, [[0], [0]]]
        # The position depends on the keys and is a constant all the same.
        slope = mx.grad(
            lambda a: mx.searchsorted(a, keys, axis=1).astype(mx.float32).sum()
        )(a)
        assert slope.tolist() == [[0] * 3] * 2


def refused(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def test_bad_arguments():
    a, keys = mx.zeros((4, 8)), mx.zeros((4, 3))
    assert refused(ValueError, lambda: mx.searchsorted(a, keys.T, axis=1)) == (
        "[searchsorted] values must have the shape (4,8) of the sorted sequence, "
        "except for axis 1, got (3,4)."
    )
    for bad in (mx.zeros(3), mx.zeros((4, 8, 1)), mx.array(1.0)):
        assert "except for axis 0" in refused(
            ValueError, lambda bad=bad: mx.searchsorted(a, bad, axis=0)
        )
    assert refused(IndexError, lambda: mx.searchsorted(a, keys, axis=2)) == (
        "[searchsorted] axis must be between -2 and 1 for an array with shape (4,8), "
        "got 2."
    )
    assert "0 dimensions" in refused(
        IndexError, lambda: mx.searchsorted(mx.array(1.0), keys, axis=0)
    )
    row = mx.zeros(8)
    assert (
        refused(ValueError, lambda: mx.searchsorted(row, keys, sorter=mx.zeros(8)))
        == "[searchsorted] sorter must hold integers, got float32."
    )
    assert (
        refused(ValueError, lambda: mx.searchsorted(row, keys, sorter=mx.arange(7)))
        == "[searchsorted] sorter must have the shape (8) of the sequence, got (7)."
    )
    # Without an axis, the errors are those of stock MLX.
    for sorter in (None, mx.zeros((4, 8), mx.uint32)):
        assert "must be 1-D" in refused(
            ValueError, lambda sorter=sorter: mx.searchsorted(a, keys, sorter=sorter)
        )
    for axis in (None, 1):
        assert "'middle'" in refused(
            ValueError,
            lambda axis=axis: mx.searchsorted(
                a if axis else row, keys, "middle", axis=axis
            ),
        )


def test_numpy_views_agree_on_bfloat16():
    a = mx.sort(mx.random.normal((3, 50)).astype(mx.bfloat16))
    keys = mx.random.normal((3, 7)).astype(mx.bfloat16)
    got = mx.searchsorted(a, keys, axis=1)
    wanted = search_rows(numpy_of(a), numpy_of(keys), "left", 1)
    np.testing.assert_array_equal(np.array(got), wanted)
