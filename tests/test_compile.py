"""mx.compile: cached calls, changing shapes, and equal ops, which become one."""

import pathlib
import tempfile

import mlx.core as mx
import numpy as np
import pytest
from selecting_functions import BATCH, assert_same, functions, indexed, scalar


def whole_numbers(*shape):
    """Draws few different values, so that there are ties."""
    rng = np.random.default_rng(shape)
    return mx.array(rng.integers(0, 3, shape).astype(np.float32))


@functions
def test_compiled_functions_give_the_results_of_uncompiled_ones(f):
    g = mx.compile(f)
    assert_same(g(BATCH[0]), f(BATCH[0]))
    assert_same(g(BATCH[1]), f(BATCH[1]))
    h = mx.compile(mx.grad(scalar(f)))
    for row in BATCH:
        np.testing.assert_allclose(
            np.array(h(row)), np.array(mx.grad(scalar(f))(row)), rtol=1e-6
        )


def test_a_compiled_function_keeps_the_mode_that_it_was_traced_under():
    f = mx.compile(mx.grad(lambda x: indexed(x).sum()))
    f(BATCH[0])
    with mx.index_gradient("error"):
        f(BATCH[0])
        with pytest.raises(ValueError):
            f(BATCH[0, :, :4])


def topk_smallest(x):
    return mx.topk(x, 3, largest=False, sorted=True, return_indices=True)


def partition_from_the_end(x):
    return mx.argpartition(x, -2)[..., -2:], mx.partition(x, -2)


SHAPELESS = [
    lambda x: mx.topk(x, 2),
    lambda x: mx.topk(x, 3, sorted=True, axis=0),
    topk_smallest,
    lambda x: mx.top_k(x, 2, axis=0),
    lambda x: mx.topk(x, 4, axis=None, sorted=True),
    lambda x: mx.argpartition(x, -2),
    lambda x: mx.argpartition(x, 1, axis=0),
    lambda x: mx.partition(x, -1),
    lambda x: (mx.argsort(x), mx.argmax(x, axis=-1), x.argmin(axis=0)),
    lambda x: (mx.sort(x), mx.argmin(x, axis=0, keepdims=True)),
    lambda x: mx.kthvalue(x, 2, axis=0, largest=True),
    lambda x: mx.quantile(x, [0.2, 0.9], axis=-1),
    lambda x: (mx.median(x, axis=0), mx.median(x, keepdims=True)),
    lambda x: (mx.sort(x, descending=True), mx.argsort(x, 0, descending=True)),
    lambda x: mx.argpartition(x, [-2, 0], descending=True),
    lambda x: (mx.partition(x, [1, -1], axis=0), mx.argpartition(x, [])),
    lambda x: (mx.lexsort([x, x * x], axis=0), mx.lexsort(x)),
    lambda x: mx.searchsorted(x, x, axis=1, sorter=mx.argsort(x)),
]


@pytest.mark.parametrize("f", SHAPELESS)
def test_shapeless_compile_follows_the_shape(f):
    g = mx.compile(f, shapeless=True)
    for shape in [(4, 6), (4, 9), (8, 4), (3, 3)]:
        x = whole_numbers(*shape)
        assert_same(g(x), f(x))


def test_shapeless_compile_checks_k_against_the_new_shape():
    f = mx.compile(lambda x: mx.topk(x, 4), shapeless=True)
    f(mx.zeros((2, 6)))
    with pytest.raises(ValueError, match=r"k must be between 0 and 3 .* got 4"):
        f(mx.zeros((2, 3)))
    g = mx.compile(lambda x: mx.argpartition(x, -5), shapeless=True)
    g(mx.zeros((2, 6)))
    with pytest.raises(ValueError, match=r"kth must be between -3 and 2 .* got -5"):
        g(mx.zeros((2, 3)))


def loss_of_values(x):
    return (mx.topk(x, 2, return_indices=True).values ** 2).sum()


def loss_through_indices(x):
    indices = mx.topk(x, 2, return_indices=True).indices
    return (mx.take_along_axis(x, indices, -1) ** 2).sum()


@pytest.mark.parametrize("loss", [loss_of_values, loss_through_indices])
def test_shapeless_gradients(loss):
    f = mx.compile(mx.grad(loss), shapeless=True)
    for shape in [(2, 5), (4, 3)]:
        x = whole_numbers(*shape)
        assert_same(f(x), mx.grad(loss)(x))


def count(f, x, name):
    """Returns how many nodes of one primitive a compiled function runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "graph.dot")
        mx.export_to_dot(str(path), mx.compile(f)(x))
        return path.read_text().count(f'{name}"')


def test_ops_are_merged_exactly_when_their_parameters_match():
    x = BATCH[0]
    same = [
        lambda x: mx.topk(x, 2, sorted=True) + mx.topk(x, 2, sorted=True),
        lambda x: mx.argpartition(x, 1) + mx.argpartition(x, 1),
    ]
    different = [
        lambda x: mx.topk(x, 2) + mx.topk(x, 2, sorted=True),
        lambda x: mx.topk(x, 2) + mx.topk(x, 2, largest=False),
        lambda x: mx.topk(x, 1) + mx.topk(x, 2),
        lambda x: mx.topk(x[:3, :3], 2) + mx.topk(x[:3, :3], 2, axis=0).T,
        lambda x: mx.argpartition(x, 1) + mx.argpartition(x, 2),
        lambda x: mx.argpartition(x, 1) + mx.argpartition(x, 1, axis=0),
    ]
    for f in same:
        assert_same(mx.compile(f)(x), f(x))
        assert nodes(f, x) == 1
    for f in different:
        assert_same(mx.compile(f)(x), f(x))
        assert nodes(f, x) == 2


def nodes(f, x):
    return max(count(f, x, "TopK"), count(f, x, "StableSort"))
