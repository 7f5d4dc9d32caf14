"""Functions that select, to be transformed, and what tests of transforms share."""

import mlx.core as mx
import numpy as np
import pytest

from cases import bits

_RNG = np.random.default_rng(7)
BATCH = mx.array(_RNG.integers(0, 4, (5, 3, 6)).astype(np.float32))


def values(x):
    return mx.topk(x, 2, sorted=True)


def both(x):
    return mx.topk(x, 2, axis=0, largest=False, sorted=True, return_indices=True)


def partitioned(x):
    return mx.partition(x, -2), mx.argpartition(x, 1, axis=0)


def ordered(x):
    return mx.sort(x, axis=0), mx.sort(x), mx.argmin(x, axis=-1)


def indexed(x):
    return mx.take_along_axis(x**2, mx.argsort(x, axis=0), 0)


def routed(x):
    chosen = mx.argpartition(-x, 2, axis=-1)[..., :2]
    return mx.take_along_axis(x, chosen, -1) * mx.array([2.0, -1.0])


def descending(x):
    ordered = mx.sort(x, axis=0, descending=True)
    return ordered, mx.partition(x, [0, -2], descending=True)


def by_two_keys(x):
    order = mx.lexsort([x, mx.argsort(x, descending=True)], axis=0)
    return mx.take_along_axis(x**2, order, 0)


def searched(x):
    positions = mx.searchsorted(x, x + 1, axis=-1, sorter=mx.argsort(x))
    return x * positions


def statistics(x):
    kth = mx.kthvalue(x, 2, axis=0, largest=True)
    return *kth, mx.quantile(x, [0.1, 0.7], axis=-1), mx.median(x, axis=0)


FUNCTIONS = [values, both, partitioned, ordered, indexed, routed]
FUNCTIONS += [descending, by_two_keys, searched, statistics]
functions = pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)


def listed(outputs):
    """Returns the outputs of a function as a list, also if it has only one."""
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def assert_same(got, wanted):
    got, wanted = listed(got), listed(wanted)
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        assert g.dtype == w.dtype
        np.testing.assert_array_equal(bits(g), bits(w))


def scalar(f):
    """Returns a loss of f's floating outputs that weights each position differently."""

    def loss(x):
        total = mx.array(0.0)
        for out in listed(f(x)):
            if mx.issubdtype(out.dtype, mx.floating):
                weights = mx.arange(1.0, 1 + out.size).reshape(out.shape)
                total = total + (weights * out * out).sum()
        return total

    return loss
