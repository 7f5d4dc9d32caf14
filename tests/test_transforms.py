"""Transforms of selecting functions, alone and in pairs.

The results must equal those of a loop over the rows.
"""

import itertools

import mlx.core as mx
import numpy as np
import pytest
from selecting_functions import BATCH, assert_same, functions, listed, scalar, values

from cases import ENGINES

# ---- vmap --------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@functions
def test_vmap_over_every_axis(f, axis):
    one_by_one = [listed(f(mx.take(BATCH, i, axis))) for i in range(BATCH.shape[axis])]
    wanted = [mx.stack(outs) for outs in zip(*one_by_one, strict=True)]
    assert_same(mx.vmap(f, in_axes=axis)(BATCH), wanted)


@pytest.mark.parametrize("out_axis", [0, 1, -1])
def test_vmap_to_every_out_axis(out_axis):
    got = mx.vmap(values, in_axes=1, out_axes=out_axis)(BATCH)
    outs = [values(BATCH[:, i]) for i in range(BATCH.shape[1])]
    assert_same(got, mx.stack(outs, out_axis))


@pytest.mark.parametrize(
    "outer, inner", list(itertools.product([0, 1, 2, 3], [0, 1, 2]))
)
@functions
def test_nested_vmap(f, outer, inner):
    x = mx.stack([BATCH, BATCH + 1])
    got = mx.vmap(mx.vmap(f, in_axes=inner), in_axes=outer)(x)
    wanted = []
    for i in range(x.shape[outer]):
        part = mx.take(x, i, outer)
        rows = [listed(f(mx.take(part, j, inner))) for j in range(part.shape[inner])]
        wanted.append([mx.stack(outs) for outs in zip(*rows, strict=True)])
    assert_same(got, [mx.stack(outs) for outs in zip(*wanted, strict=True)])


def test_vmap_that_does_not_map_the_input():
    x = BATCH[0]
    got = mx.vmap(lambda y: (values(x), y), in_axes=0)(mx.arange(3))
    assert_same(got[0], mx.stack([values(x)] * 3))


# ---- every pair --------------------------------------------------------------


def vmapped(f):
    return mx.vmap(f)


def compiled(f):
    return mx.compile(f)


def checkpointed(f):
    return mx.checkpoint(f)


def custom(f):
    """Returns a custom function whose rule computes the gradient of f."""
    function = mx.custom_function(f)

    @function.vjp
    def _(primals, cotangents, outputs):
        cotangents = listed(cotangents)
        return mx.vjp(lambda x: listed(f(x)), [primals], cotangents)[1][0]

    return function


def pushed_forward(f):
    return lambda x: mx.jvp(lambda x: listed(f(x)), [x], [x * 0.5])[1]


def pulled_back(f):
    return lambda x: mx.grad(scalar(f))(x)


WRAPPERS = [vmapped, compiled, checkpointed, custom, pushed_forward, pulled_back]


def plain(wrapper):
    """Returns a transform that must have the same results as ``wrapper``.

    It leaves out transforms that change no result, and replaces vmap by a loop.
    """
    if wrapper in (compiled, checkpointed, custom):
        return lambda f: f
    if wrapper is vmapped:

        def unrolled(f):
            def g(x):
                rows = [listed(f(row)) for row in x]
                return [mx.stack(outs) for outs in zip(*rows, strict=True)]

            return g

        return unrolled
    return wrapper


@pytest.mark.parametrize(
    "outer, inner",
    list(itertools.product(WRAPPERS, WRAPPERS)),
    ids=lambda wrapper: wrapper.__name__,
)
@functions
def test_every_transform_on_every_other(f, outer, inner):
    x = BATCH if vmapped in (outer, inner) else BATCH[0]
    if outer is inner is vmapped:
        x = mx.stack([BATCH, BATCH])
    got = outer(inner(f))(x)
    wanted = plain(outer)(plain(inner)(f))(x)
    for g, w in zip(listed(got), listed(wanted), strict=True):
        np.testing.assert_allclose(np.array(g), np.array(w), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@functions
def test_vmap_of_grad_and_grad_of_vmap(f, engine):
    with ENGINES[engine]():
        got = mx.vmap(mx.grad(scalar(f)))(BATCH)
        wanted = mx.stack([mx.grad(scalar(f))(row) for row in BATCH])
        np.testing.assert_allclose(np.array(got), np.array(wanted), rtol=1e-6)
        other = mx.grad(lambda x: mx.vmap(scalar(f))(x).sum())(BATCH)
        np.testing.assert_allclose(np.array(other), np.array(wanted), rtol=1e-6)


# ---- searchsorted and categorical --------------------------------------------


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9])
@pytest.mark.parametrize("axes", [(0, 0), (1, 0), (0, None), (None, 1), (1, 1)])
def test_vmap_over_both_arguments_of_searchsorted(axes, n, side):
    rng = np.random.default_rng(n)
    sequences = rng.integers(0, 4, (3, n)).astype(np.float32)
    keys = rng.integers(-1, 5, (3, 4)).astype(np.float32)
    keys[:, -1] = np.nan
    if n > 7:
        sequences[1, :2] = np.nan
    sequences.sort(axis=1)

    def searched(sequence, key):
        return mx.searchsorted(sequence, key, side=side)

    def argument(rows, axis):
        return mx.array(rows[0] if axis is None else np.moveaxis(rows, 0, axis))

    got = mx.vmap(searched, in_axes=axes)(
        argument(sequences, axes[0]), argument(keys, axes[1])
    )
    for i in range(3):
        sequence = sequences[0 if axes[0] is None else i]
        key = keys[0 if axes[1] is None else i]
        assert_same(got[i], searched(mx.array(sequence), mx.array(key)))


@pytest.mark.parametrize("logits", ["random", "infinite"])
@pytest.mark.parametrize("shape", [{"num_samples": 5}, {"shape": (2, 3)}])
def test_vmap_of_categorical_draws_what_each_row_draws_alone(shape, logits):
    rows = mx.random.normal((4, 6), key=mx.random.key(1))
    if logits == "infinite":
        rows = mx.where(rows > 0.5, mx.inf, rows)
    key = mx.random.key(2)

    def draw(row):
        return mx.random.categorical(row, key=key, **shape)

    assert_same(mx.vmap(draw)(rows), mx.stack([draw(row) for row in rows]))
    assert_same(mx.vmap(mx.checkpoint(draw))(rows), mx.vmap(draw)(rows))


def test_vmap_of_the_gradient_of_a_checkpoint():
    loss = scalar(mx.checkpoint(values))
    wanted = mx.stack([mx.grad(scalar(values))(row) for row in BATCH])
    assert_same(mx.vmap(mx.grad(loss))(BATCH), wanted)


def test_a_checkpoint_is_kept_where_the_derivative_is_outside_of_vmap():
    calls = []

    def f(x):
        calls.append(1)
        return mx.topk(x, 2)

    mx.eval(mx.grad(lambda x: mx.vmap(mx.checkpoint(f))(x).sum())(BATCH[0]))
    assert len(calls) > 1
