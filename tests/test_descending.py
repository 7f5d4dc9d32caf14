"""Descending sorts and partitions, and partitions at several positions."""

import hooks
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import oracle
from cases import (
    ALL,
    ENGINES,
    GPU,
    KERNELS,
    REAL,
    arrays,
    bits,
    dtype_name,
    mx_array,
    numpy_of,
    values_of,
)

# The engines that force an algorithm of topk sort as the engine "kernel" does.
# On a GPU the contract promises no order of equal elements.
SORTS = ["kernel", *hooks.kernels()[1:], "metal", "portable", "shapeless"]
engines = pytest.mark.parametrize("engine", SORTS)
kernels = pytest.mark.parametrize("engine", hooks.kernels())
dtypes = pytest.mark.parametrize("dtype", ALL, ids=dtype_name)

# Sizes on both sides of each threshold of the kernels.
SIZES = [1, 2, 7, 8, 9, 17, 32, 33, 64, 65, 129, 257, 513, 1025, 4097]


def orders(a, axis, descending):
    """Returns the oracle's stable order of each row."""
    rows = np.moveaxis(numpy_of(a), axis, -1)
    # oracle.order is the faster one, and does not know complex numbers.
    order = oracle.best_first if a.dtype == mx.complex64 else oracle.order
    out = np.empty(rows.shape, np.uint32)
    for where in np.ndindex(rows.shape[:-1]):
        out[where] = order(rows[where], descending)
    return np.moveaxis(out, -1, axis)


def assert_sorted(a, axis, values, indices):
    wanted = orders(a, axis, descending=True)
    assert indices.dtype == mx.uint32 and values.dtype == a.dtype
    np.testing.assert_array_equal(np.array(indices), wanted)
    fetched = mx.take_along_axis(a, mx.array(wanted), axis)
    np.testing.assert_array_equal(bits(values), bits(fetched))


# ---- sort and argsort --------------------------------------------------------


@engines
@given(arrays())
def test_a_descending_sort_has_the_greatest_first_and_ties_by_index(engine, case):
    a, axis = case
    with ENGINES[engine]():
        values = mx.sort(a, axis, descending=True)
        indices = mx.argsort(a, axis, descending=True)
    assert_sorted(a, axis, values, indices)


@kernels
@dtypes
@pytest.mark.parametrize("kind", ["pool", "spread", "constant"])
def test_descending_sorts_of_every_size(kind, dtype, engine):
    for n in SIZES if dtype in REAL else [1, 33, 129]:
        a = mx_array(values_of(dtype, (2, n), kind, np.random.default_rng(n)), dtype)
        wide = mx.contiguous(a.T).T
        for row in (a, wide):
            values = mx.sort(row, descending=True)
            assert_sorted(row, -1, values, mx.argsort(row, descending=True))


def close_values(dtype, n, share, rng):
    """Returns n elements; ``share`` of them differ from another one in few low bits."""
    values = values_of(dtype, (n,), "spread", rng).astype(dtype_name(dtype))
    raw = values.view(f"u{values.itemsize}")
    copies = rng.random(n) < share
    raw[copies] = rng.choice(raw, copies.sum()) ^ rng.integers(
        0, 8, copies.sum()
    ).astype(raw.dtype)
    return values


@kernels
@pytest.mark.parametrize(
    "dtype",
    [mx.float32, mx.int32, mx.uint32, mx.float64, mx.int64, mx.uint64],
    ids=dtype_name,
)
def test_elements_that_differ_in_their_lowest_bits_alone(dtype, engine):
    """Sorts first compare the upper bits of ranks. Rows with many and with few elements
    that tie in these bits alternate, since a sort remembers which kind came before."""
    for n in [16, 17, 33, 64, 65, 100, 129, 160, 257, 513, 1024, 1025, 4096, 4097]:
        rng = np.random.default_rng(n)
        shares = [0, 0.05, 1, 0.05, *[0] * 17, 0.1]
        a = mx_array(
            np.stack([close_values(dtype, n, share, rng) for share in shares]), dtype
        )
        for descending in (False, True):
            wanted = orders(a, -1, descending)
            got = mx.argsort(a, descending=descending)
            np.testing.assert_array_equal(np.array(got), wanted)
            values = mx.sort(a, descending=descending)
            fetched = mx.take_along_axis(a, mx.array(wanted), -1)
            np.testing.assert_array_equal(bits(values), bits(fetched))


@kernels
@dtypes
@pytest.mark.parametrize("n", [5, 40, 100, 700, 5000])
def test_rows_that_are_in_order_already(n, dtype, engine):
    """Such rows are copied. With ties, a reversed row is not the sorted one."""
    values = values_of(dtype, (n,), "spread", np.random.default_rng(n))
    kept = n if dtype in REAL else min(n, 100)
    a = mx_array(values[:kept], dtype)
    down = mx.take(a, mx.array(orders(a, 0, True)))
    tied = mx.take(down, mx.arange(kept) // 3 * 3)
    for row in (down, down[::-1], tied, tied[::-1]):
        mx.eval(row)
        values = mx.sort(row, descending=True)
        assert_sorted(row, 0, values, mx.argsort(row, descending=True))


def test_where_nan_and_both_zeros_stand():
    a = mx.array([0.0, float("nan"), -0.0, 3.0, -float("nan"), -float("inf"), 0.0])
    assert mx.argsort(a, descending=True).tolist() == [1, 4, 3, 0, 2, 6, 5]
    assert mx.argsort(a).tolist() == [5, 0, 2, 6, 3, 1, 4]
    got = np.signbit(np.array(mx.sort(a, descending=True)[3:6])).tolist()
    assert got == [False, True, False]


def test_types_that_cannot_be_negated():
    least = np.iinfo(np.int8).min
    a = mx.array(np.array([0, least, 5, least, 127], np.int8))
    assert mx.argsort(a, descending=True).tolist() == [4, 2, 0, 1, 3]
    unsigned = mx.array(np.array([0, 2**64 - 1, 3], np.uint64))
    assert mx.argsort(unsigned, descending=True).tolist() == [1, 2, 0]
    assert mx.argsort(mx.array([True, False, True]), descending=True).tolist() == [
        0,
        2,
        1,
    ]


@pytest.mark.parametrize("stable", [True, False])
@pytest.mark.parametrize("descending", [True, False])
def test_the_sort_is_stable_whatever_is_asked_for(descending, stable):
    a = mx.array(np.random.default_rng(0).integers(0, 3, (4, 300)))
    got = mx.argsort(a, descending=descending, stable=stable)
    np.testing.assert_array_equal(np.array(got), orders(a, -1, descending))
    values = mx.sort(a, descending=descending, stable=stable)
    fetched = mx.take_along_axis(a, got, -1)
    np.testing.assert_array_equal(np.array(values), np.array(fetched))


def test_axis_none_and_empty_axes():
    a = mx.array([[1.0, 4], [4, 0]])
    assert mx.sort(a, axis=None, descending=True).tolist() == [4, 4, 1, 0]
    assert mx.argsort(a, None, descending=True).tolist() == [1, 2, 0, 3]
    assert mx.argpartition(a, 0, None, descending=True).tolist()[0] == 1
    for shape in ((0,), (3, 0), (0, 3)):
        for axis in range(len(shape)):
            empty = mx.zeros(shape)
            assert mx.sort(empty, axis, descending=True).shape == shape
            assert mx.argsort(empty, axis, descending=True).shape == shape
            assert mx.lexsort([empty, empty], axis).shape == shape


@pytest.mark.parametrize("engine", [GPU])
def test_descending_orders_of_distinct_elements_on_a_gpu(engine):
    rng = np.random.default_rng(0)
    a = mx.array(np.stack([rng.permutation(3000) for _ in range(3)]).astype("f"))
    with ENGINES[engine]():
        assert_sorted(
            a, -1, mx.sort(a, descending=True), mx.argsort(a, descending=True)
        )
        for kths in (5, [2990, -1, 7]):
            indices = mx.argpartition(a, kths, descending=True)
            values = mx.partition(a, kths, descending=True)
            listed = [kths] if isinstance(kths, int) else kths
            assert_partitioned(a, -1, listed, True, values, indices)
        keys = [a, mx.floor(a / 100)]
        np.testing.assert_array_equal(
            np.array(mx.lexsort(keys)), np.array(mx.argsort(a))
        )


# ---- partition and argpartition ----------------------------------------------


def assert_partitioned(a, axis, kths, descending, values, indices):
    n = a.shape[axis]
    wanted = np.moveaxis(orders(a, axis, descending), axis, -1)
    got = np.moveaxis(np.array(indices), axis, -1)
    for at in {kth % n for kth in kths}:
        np.testing.assert_array_equal(got[..., at], wanted[..., at])
        for side in (slice(at), slice(at + 1, n)):
            np.testing.assert_array_equal(
                np.sort(got[..., side]), np.sort(wanted[..., side])
            )
    fetched = mx.take_along_axis(a, indices, axis)
    np.testing.assert_array_equal(bits(values), bits(fetched))


@engines
@given(arrays(min_axis=1), st.integers(-70, 69))
def test_kth_counts_from_the_front_of_the_descending_order(engine, case, kth):
    a, axis = case
    n = a.shape[axis]
    kth = max(-n, min(n - 1, kth))
    with ENGINES[engine]():
        indices = mx.argpartition(a, kth, axis, descending=True)
        values = mx.partition(a, kth, axis, descending=True)
    assert_partitioned(a, axis, [kth], True, values, indices)


@kernels
@pytest.mark.parametrize("kind", ["pool", "spread"])
@pytest.mark.parametrize("n", [65, 130, 700, 1025, 5000])
def test_descending_partitions_of_long_rows(n, kind, engine):
    rng = np.random.default_rng(n)
    for dtype in (mx.float32, mx.int8, mx.uint16, mx.float64, mx.int64, mx.complex64):
        if dtype == mx.complex64 and n > 1000:
            continue
        a = mx_array(values_of(dtype, (2, n), kind, rng), dtype)
        wanted = orders(a, -1, True)
        for kth in (0, 1, 40, 63, n // 9, n // 2, -1 - n // 9, -64, -40, -1):
            indices = mx.argpartition(a, kth, descending=True)
            values = mx.partition(a, kth, descending=True)
            assert_partitioned(a, -1, [kth], True, values, indices)
            at = kth % n
            smaller = slice(at + 1) if at + 1 <= n - at else slice(at, n)
            if wanted[0, smaller].size <= 64:
                got = np.array(indices)[:, smaller]
                np.testing.assert_array_equal(got, wanted[:, smaller])


@pytest.mark.parametrize("name", ["uint8", "int16", "float16", "float32", "float64"])
def test_all_instruction_sets_give_the_same_bits(name):
    """Compares unspecified orders, too."""
    dtype = getattr(mx, name)
    rng = np.random.default_rng(3)
    for n in (20, 200, 600, 5000):
        a = mx_array(values_of(dtype, (3, n), "pool", rng), dtype)
        results = []
        for kernels in hooks.kernels():
            hooks.use_kernels(kernels)
            made = [
                np.array(mx.argpartition(a, kth, descending=True))
                for kth in (0, n // 10, n // 2, -n // 5, -1)
            ]
            results.append([bits(mx.sort(a, descending=True)), *made])
        for others in results[1:]:
            for got, wanted in zip(others, results[0], strict=True):
                np.testing.assert_array_equal(got, wanted)


@engines
@given(arrays(min_axis=1), st.lists(st.integers(-70, 69), max_size=4), st.booleans())
def test_every_listed_kth_holds_what_the_sort_has(engine, case, kths, descending):
    a, axis = case
    n = a.shape[axis]
    kths = [max(-n, min(n - 1, kth)) for kth in kths]
    # MLX's own argpartition chooses freely among equal elements.
    assume(len(kths) != 1 or descending)
    with ENGINES[engine]():
        indices = mx.argpartition(a, kths, axis, descending=descending)
        values = mx.partition(a, tuple(kths), axis, descending=descending)
    assert_partitioned(a, axis, kths, descending, values, indices)


@pytest.mark.parametrize("engine", KERNELS)
@pytest.mark.parametrize("descending", [True, False])
def test_several_kths_of_long_rows(descending, engine):
    rng = np.random.default_rng(0)
    n = 3000
    a = mx.array(rng.integers(0, 40, (2, n)).astype(np.float32))
    for kths in (
        [5, 0, 20, 5],
        [63, 3],
        [64, 3],
        [n - 1, -20, n - 40],
        [-64, -1],
        [-65, -1],
        [0, -1],
        [n // 2, n // 2 - 1],
        [7, 7 - n],
    ):
        indices = mx.argpartition(a, kths, descending=descending)
        values = mx.partition(a, kths, descending=descending)
        assert_partitioned(a, -1, kths, descending, values, indices)


def test_no_kth_at_all_leaves_the_array_as_it_is():
    a = mx.array([[3.0, 1, 2], [0, 5, 4]])
    assert mx.partition(a, []).tolist() == a.tolist()
    assert mx.argpartition(a, ()).tolist() == [[0, 1, 2]] * 2
    assert mx.argpartition(a, (), axis=0).tolist() == [[0, 0, 0], [1, 1, 1]]
    assert np.argpartition(np.array(a), np.array([], int)).tolist() == [[0, 1, 2]] * 2
    assert mx.argpartition(mx.zeros((2, 0)), []).shape == (2, 0)


def test_kths_given_as_numpy_and_mlx_arrays():
    a = mx.array([3.0, 1, 2, 0])
    assert mx.partition(a, np.array([0, 1]))[:2].tolist() == [0, 1]
    assert mx.partition(a, mx.array([0, 1]))[:2].tolist() == [0, 1]


# ---- transforms --------------------------------------------------------------


def test_shapeless_functions_check_each_kth_against_the_new_shape():
    f = mx.compile(lambda x: mx.partition(x, [3, -4]), shapeless=True)
    g = mx.compile(lambda x: mx.argsort(x, descending=True), shapeless=True)
    for n in (9, 5, 70, 300):
        x = mx.array(np.random.default_rng(n).permutation(n).astype(np.float32))
        assert f(x)[3].item() == 3 and f(x)[-4].item() == n - 4
        assert g(x).tolist() == orders(x, 0, True).tolist()
    with pytest.raises(ValueError, match=r"kth must be between -3 and 2"):
        f(mx.zeros(3))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_of_a_descending_sort(order):
    """sum(w * sort(a)**4) has known derivatives at the elements that were sorted."""
    a = mx.array([2.0, 3, 2, -1])
    weights = mx.array([1.0, 10, 100, 1000])
    # The stable descending order is 1, 0, 2, 3.
    at = mx.array([10.0, 1, 100, 1000])

    def f(a):
        return (weights * mx.sort(a, descending=True) ** 4).sum()

    wanted = {1: 4 * a**3, 2: 12 * a**2, 3: 24 * a}[order] * at
    g = f
    for _ in range(order):
        g = mx.grad(lambda a, g=g: g(a).sum())
    np.testing.assert_allclose(np.array(g(a)), np.array(wanted), rtol=1e-6)
    _, (tangent,) = mx.jvp(lambda a: mx.sort(a, descending=True), [a], [at])
    assert tangent.tolist() == [1, 10, 100, 1000]


def test_the_gradient_of_a_partition_at_several_kths():
    a = mx.array([[2.0, 3, 2, -1, 2], [0, 0, 0, 0, 0]])
    weights = mx.arange(10.0).reshape(2, 5)
    for descending in (True, False):
        indices = mx.argpartition(a, [1, 3], descending=descending)
        _, (gradient,) = mx.vjp(
            lambda a: mx.partition(a, [1, 3], descending=descending),  # noqa: B023
            [a],
            [weights],
        )
        wanted = mx.put_along_axis(mx.zeros((2, 5)), indices, weights, 1)
        assert gradient.tolist() == wanted.tolist()
