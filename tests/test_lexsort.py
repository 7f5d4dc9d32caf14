"""lexsort: sorts by several keys."""

import hooks
import mlx.core as mx
import numpy as np
import pytest

from cases import ENGINES

ENGINES_THAT_SORT = ["kernel", *hooks.kernels()[1:], "portable", "shapeless"]
engines = pytest.mark.parametrize("engine", ENGINES_THAT_SORT)


def key(draw, shape, dtype):
    values = draw.integers(0, 3, shape)
    return values.astype(dtype)


@engines
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("n", [1, 6, 300])
def test_lexsort_is_that_of_numpy(n, axis, engine):
    rng = np.random.default_rng(n)
    types = [np.float32, np.int8, np.uint16, np.bool_]
    for count in range(1, 5):
        keys = [key(rng, (3, n), types[i]) for i in range(count)]
        with ENGINES[engine]():
            got = mx.lexsort([mx.array(k) for k in keys], axis)
        assert got.dtype == mx.uint32
        np.testing.assert_array_equal(np.array(got), np.lexsort(keys, axis))


def test_lexsort_of_one_array_takes_its_rows_as_keys():
    keys = np.random.default_rng(0).integers(0, 2, (3, 4, 20))
    for axis in (0, 1, -1):
        got = mx.lexsort(mx.array(keys), axis)
        np.testing.assert_array_equal(np.array(got), np.lexsort(keys, axis))
    assert mx.lexsort(mx.array([[2, 1, 1]])).tolist() == [1, 2, 0]


def test_lexsort_of_nan_and_zeros():
    first = mx.array([2.0, 1, 4, 3, 0])
    primary = mx.array([float("nan"), 0.0, -float("nan"), -0.0, 1.0])
    assert mx.lexsort((first, primary)).tolist() == [1, 3, 4, 0, 2]


def test_lexsort_vectorised_over_some_of_its_keys():
    rng = np.random.default_rng(0)
    a = mx.array(rng.integers(0, 3, (4, 9)))
    b = mx.array(rng.integers(0, 3, (9, 4)))
    c = mx.array(rng.integers(0, 3, 9))

    def f(a, b, c):
        return mx.lexsort([a, b, c])

    got = mx.vmap(f, in_axes=(0, 1, None))(a, b, c)
    wanted = mx.stack([f(a[i], b[:, i], c) for i in range(4)])
    np.testing.assert_array_equal(np.array(got), np.array(wanted))
    got = mx.vmap(f, in_axes=(0, 1, None), out_axes=1)(a, b, c)
    np.testing.assert_array_equal(np.array(got.T), np.array(wanted))


def test_lexsort_of_one_array_vectorised_and_compiled():
    keys = mx.array(np.random.default_rng(0).integers(0, 2, (2, 3, 20)))
    for axis in (0, 1, 2, -1):
        rows = [mx.take(keys, i, axis) for i in range(keys.shape[axis])]
        got = mx.vmap(mx.lexsort, in_axes=axis)(keys)
        wanted = mx.stack([mx.lexsort(row) for row in rows])
        np.testing.assert_array_equal(np.array(got), np.array(wanted))
    compiled = mx.compile(lambda keys: mx.lexsort(keys, 0), shapeless=True)
    for n in (1, 5, 20):
        part = mx.contiguous(keys[:, :, :n])
        np.testing.assert_array_equal(compiled(part), mx.lexsort(part, 0))


@pytest.mark.parametrize("mode", ["stop", "zero"])
def test_lexsort_has_no_gradient(mode):
    x = mx.array([3.0, 1, 2])
    with mx.index_gradient(mode):
        _, (gradient,) = mx.vjp(
            lambda x: mx.lexsort([x, x * 2]), [x], [mx.ones(3, mx.uint32)]
        )
        _, (tangent,) = mx.jvp(lambda x: mx.lexsort([x, x * 2]), [x], [x])
    assert gradient.tolist() == [0, 0, 0]
    assert tangent.tolist() == [0, 0, 0] and tangent.dtype == mx.uint32


def test_index_gradients_of_lexsort_that_are_errors_name_it():
    x = mx.array([3.0, 1, 2])
    with mx.index_gradient("error"), pytest.raises(ValueError, match="lexsort"):
        mx.grad(lambda x: mx.take_along_axis(x, mx.lexsort([x, x]), 0).sum())(x)
