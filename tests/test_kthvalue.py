"""kthvalue against the oracle: which element, its index, shapes, gradient."""

import hooks
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import oracle
from cases import ALL, ENGINES, arrays, bits, mx_array, numpy_of, values_of

PORTABLE = ["portable", "shapeless"]
engines = pytest.mark.parametrize("engine", [*hooks.kernels(), *PORTABLE])


def in_force(engine):
    return ENGINES[engine]() if engine in PORTABLE else ENGINES["kernel"]()


def equal(ours, theirs):
    np.testing.assert_array_equal(np.array(ours), theirs)


@engines
@given(arrays(dtypes=tuple(ALL), min_axis=1, max_axis=150), st.data())
def test_kthvalue_is_the_element_of_a_stable_sort(engine, case, data):
    a, axis = case
    # MLX's sort does not order complex NaNs as the contract does.
    assume(engine not in PORTABLE or a.dtype != mx.complex64)
    n = a.shape[axis]
    k = data.draw(st.integers(1, n))
    largest = data.draw(st.booleans())
    with in_force(engine):
        result = mx.kthvalue(a, k, axis, largest=largest)
        mx.eval(result)
    rows = np.moveaxis(numpy_of(a), axis, -1).reshape(-1, n)
    # The faster oracle does not know complex numbers.
    is_complex = a.dtype == mx.complex64
    order = oracle.best_first if is_complex else oracle.order
    wanted = [order(row, largest)[k - 1] for row in rows]
    equal(result.indices.reshape(-1), np.array(wanted, np.uint32).reshape(-1))
    fetched = mx.take_along_axis(a, mx.expand_dims(result.indices, axis), axis)
    np.testing.assert_array_equal(bits(result.values), bits(mx.squeeze(fetched, axis)))
    assert result.indices.dtype == mx.uint32 and result.values.dtype == a.dtype


@pytest.mark.parametrize("engine", hooks.kernels())
@pytest.mark.parametrize("kind", ["pool", "spread", "constant", "sorted", "reversed"])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.int8, mx.int64])
def test_kthvalue_on_both_sides_of_each_size(dtype, kind, engine):
    """Sizes where another algorithm begins, with k near both ends and in the middle."""
    rng = np.random.default_rng(3)
    for n in [1, 2, 16, 17, 64, 65, 128, 129, 256, 257, 1024, 1025, 5000]:
        drawn = "spread" if kind in ("sorted", "reversed") else kind
        row = values_of(dtype, (n,), drawn, rng)
        if kind != drawn:
            row = np.sort(row)[:: 1 if kind == "sorted" else -1].copy()
        a = mx_array(row, dtype)
        for largest in (False, True):
            order = oracle.order(numpy_of(a), largest)
            ks = {1, 2, 16, 17, n // 100, n // 33, n // 3, n // 2, n // 2 + 1}
            ks |= {n - n // 33, n - n // 9, n - 15, n - 1, n}
            ks = sorted(k for k in ks if 1 <= k <= n)
            got = [mx.kthvalue(a, k, largest=largest).indices for k in ks]
            equal(mx.stack(got), order[np.array(ks) - 1])


def test_kthvalue_has_the_shape_of_a_reduction():
    a = mx.arange(24.0).reshape(2, 3, 4)
    for axis, shape, kept in [(0, (3, 4), (1, 3, 4)), (-1, (2, 3), (2, 3, 1))]:
        assert mx.kthvalue(a, 1, axis).values.shape == shape
        assert mx.kthvalue(a, 1, axis, keepdims=True).indices.shape == kept
    values, indices = mx.kthvalue(a, 3, None, largest=True)
    assert (values.item(), indices.item(), values.shape) == (21, 21, ())
    assert mx.kthvalue(a, 3, axis=None, keepdims=True).indices.shape == (1, 1, 1)
    assert mx.kthvalue(mx.array(5.0), 1, None).values.item() == 5
    assert isinstance(mx.kthvalue(a, 1), mx.TopKResult)


def test_the_value_and_the_index_that_kthvalue_returns_belong_together():
    a = mx.array([-0.0, 0.0, np.nan, -0.0])
    assert [mx.kthvalue(a, k).indices.item() for k in (1, 2, 3, 4)] == [0, 1, 3, 2]
    assert np.signbit(mx.kthvalue(a, 1).values.item())
    largest = [mx.kthvalue(a, k, largest=True).indices.item() for k in (1, 2, 3, 4)]
    assert largest == [2, 0, 1, 3]


def test_the_gradient_of_kthvalue_goes_to_the_element_of_its_index():
    rng = np.random.default_rng(0)
    a = mx.array(rng.integers(0, 3, (4, 9)).astype(np.float32))
    for axis in (0, 1):
        for largest in (False, True):
            c = mx.array(rng.standard_normal(a.shape[1 - axis]).astype(np.float32))

            def value(a, axis=axis, largest=largest):
                return mx.kthvalue(a, 3, axis, largest=largest).values

            _, (gradient,) = mx.vjp(value, [a], [c])
            indices = mx.kthvalue(a, 3, axis, largest=largest).indices
            wanted = np.zeros(a.shape, np.float32)
            np.put_along_axis(
                wanted,
                np.expand_dims(np.array(indices), axis).astype(int),
                np.expand_dims(np.array(c), axis),
                axis,
            )
            equal(gradient, wanted)


@pytest.mark.parametrize("threads", [1, 2])
def test_results_do_not_depend_on_threads(threads):
    rng = np.random.default_rng(8)
    row = rng.standard_normal(400_000).astype(np.float32)
    before = mx.selection_threads()
    mx.set_selection_threads(threads)
    try:
        order = np.argsort(row, kind="stable")
        for k in (1, 400, 200_000, 399_900):
            assert mx.kthvalue(mx.array(row), k).indices.item() == order[k - 1]
    finally:
        mx.set_selection_threads(before)
