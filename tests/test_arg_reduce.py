"""Tests the shapes of ``argmax`` and ``argmin``, which drop the axis or keep it."""

import itertools

import mlx.core as mx
import numpy as np
import pytest

PAIRS = [(mx.argmax, np.argmax), (mx.argmin, np.argmin)]


def elements(shape):
    # Few different elements, so that there are ties.
    return np.random.default_rng(0).integers(0, 5, shape).astype(np.float32)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("shape", [(5,), (1, 4), (4, 1), (2, 3, 4), (2, 1, 3, 4)])
def test_the_axis_is_dropped_unless_it_is_kept(shape, keepdims):
    x = elements(shape)
    for axis in (None, *range(len(shape))):
        for ours, numpys in PAIRS:
            found = ours(mx.array(x), axis=axis, keepdims=keepdims)
            expected = numpys(x, axis=axis, keepdims=keepdims)
            assert found.shape == expected.shape
            assert np.array_equal(found, expected)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("repeated", [0, 1, 2, 3])
def test_repeated_rows_get_repeated_indices(repeated, keepdims):
    x = np.expand_dims(elements((2, 3, 4)), repeated)
    shape = [*x.shape]
    shape[repeated] = 3
    a, x = mx.broadcast_to(mx.array(x), shape), np.broadcast_to(x, shape)
    for axis, (ours, numpys) in itertools.product(range(4), PAIRS):
        found = ours(a, axis=axis, keepdims=keepdims)
        expected = numpys(x, axis=axis, keepdims=keepdims)
        assert np.array_equal(found, expected)
        # Another op reads them by their strides.
        assert np.array_equal((found + 1).T, (expected + 1).T)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("mapped", [0, 1, 2])
def test_vmap_over_each_axis(mapped, keepdims):
    x = elements((3, 2, 4))
    for axis, (ours, numpys) in itertools.product(range(2), PAIRS):

        def indices(row, axis=axis, ours=ours):
            return ours(row, axis=axis, keepdims=keepdims)

        found = mx.vmap(indices, in_axes=mapped, out_axes=1)(mx.array(x))
        rows = np.moveaxis(x, mapped, 0)
        expected = [numpys(row, axis=axis, keepdims=keepdims) for row in rows]
        assert np.array_equal(found, np.stack(expected, 1))


def test_tangents_have_the_shape_of_the_indices():
    a = mx.array(elements((2, 3)))
    for keepdims in (False, True):
        with mx.index_gradient("zero"):
            found, tangents = mx.jvp(
                lambda a, keepdims=keepdims: mx.argmax(a, 1, keepdims=keepdims),
                [a],
                [a],
            )
        assert tangents[0].shape == found[0].shape
        assert not mx.any(tangents[0])
