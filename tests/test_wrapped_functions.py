"""``checkpoint`` and ``custom_function`` applied to functions that return indices."""

import gc
import weakref

import mlx.core as mx
import pytest
from selecting_functions import assert_same


def make_checkpoint(f):
    return mx.checkpoint(f)


def make_custom(f):
    function = mx.custom_function(f)

    @function.vjp
    def _(primals, cotangents, outputs):
        return mx.ones_like(primals)

    return function


wrap = pytest.mark.parametrize("wrap", [make_checkpoint, make_custom])


@wrap
@pytest.mark.parametrize("index_of", [mx.argsort, lambda x: mx.top_k(x, 4).indices])
def test_indices_from_a_wrapped_function_stay_constants(wrap, index_of):
    x = mx.array([3.0, 1, 2, 0])
    chosen = wrap(index_of)

    def f(x):
        return mx.take_along_axis(x**2, chosen(x), 0)[:2].sum()

    def wanted(x):
        return mx.take_along_axis(x**2, mx.stop_gradient(index_of(x)), 0)[:2].sum()

    assert_same(mx.grad(f)(x), mx.grad(wanted)(x))
    assert_same(f(x), wanted(x))
    second = mx.grad(lambda x: mx.grad(f)(x).sum())(x)
    assert_same(second, mx.grad(lambda x: mx.grad(wanted)(x).sum())(x))


def test_checkpoint_with_values_and_indices_in_any_structure():
    x = mx.array([3.0, 1, 2, 0])

    @mx.checkpoint
    def f(x, *, scale):
        result = mx.top_k(x * scale, 2)
        return {"r": result, "others": [result.indices, (x * 2, 3)]}

    def loss(x):
        out = f(x, scale=2.0)
        assert isinstance(out["r"], mx.TopKResult) and out["others"][1][1] == 3
        again = mx.take_along_axis(x, out["others"][0], 0)
        return (out["r"].values * again).sum() + out["others"][1][0].sum()

    def plain(x):
        values, indices = mx.top_k(x * 2.0, 2)
        return (values * mx.take_along_axis(x, indices, 0)).sum() + (x * 2).sum()

    assert_same(mx.grad(loss)(x), mx.grad(plain)(x))


@pytest.mark.parametrize("mode", ["zero", "error"])
@wrap
def test_wrapped_indices_follow_the_mode(wrap, mode):
    x = mx.array([3.0, 1, 2, 0])
    chosen = wrap(mx.argsort)
    with mx.index_gradient(mode), pytest.raises(ValueError, match=r"ndices"):
        mx.grad(lambda x: mx.take_along_axis(x, chosen(x), 0).sum())(x)

    def unused(x):
        _, doubled = wrap(lambda x: (mx.argsort(x), x * 2))(x)
        return doubled.sum()

    with mx.index_gradient(mode):
        mx.grad(unused)(x)


def test_checkpoint_recomputes_under_the_mode_it_was_called_in():
    x = mx.array([3.0, 1, 2, 0])

    @mx.checkpoint
    def f(x):
        return mx.take_along_axis(x, mx.argsort(x), 0)[:2].sum()

    def g(x):
        with mx.index_gradient("error"):
            return f(x)

    with pytest.raises(ValueError):
        mx.grad(g)(x)
    mx.set_default_index_gradient("error")
    try:

        def h(x):
            with mx.index_gradient("stop"):
                return f(x)

        assert mx.grad(h)(x).tolist() == [0, 1, 0, 1]
    finally:
        mx.set_default_index_gradient("stop")


def test_integers_that_are_not_indices_stay_as_they_were():
    """A cast to an integer and back carries a gradient on stock MLX, and here."""
    x = mx.array([3.0, 1.0])

    def f(x):
        return mx.checkpoint(lambda x: x.astype(mx.int32))(x).astype(mx.float32).sum()

    assert mx.grad(f)(x).tolist() == [1, 1]


def test_custom_function_rules_are_used():
    @mx.custom_function
    def f(x):
        return mx.topk(x, 1), mx.argsort(x)

    @f.vjp
    def _(primals, cotangents, outputs):
        return primals * 10

    @f.jvp
    def _(primals, tangents):
        return [tangents[:1] * 7, mx.zeros(4, mx.uint32)]

    @f.vmap
    def _(inputs, axes):
        return (inputs[:, :1] + 100, mx.argsort(inputs)), (0, 0)

    x = mx.array([3.0, 1, 2, 0])
    assert mx.grad(lambda x: f(x)[0].sum())(x).tolist() == [30, 10, 20, 0]
    assert mx.vmap(f)(x[None])[0].tolist() == [[103]]
    tangent = mx.jvp(lambda x: list(f(x)), [x], [x])[1][0]
    assert tangent.tolist() == [21]


def gathered(chosen):
    return lambda x: mx.take_along_axis(x**2, chosen(x), 0).sum()


@wrap
def test_one_wrapped_function_follows_the_mode_of_each_call(wrap):
    x = mx.array([3.0, 1, 2, 0])
    gradient = mx.grad(gathered(wrap(mx.argsort)))
    for _ in range(2):
        assert gradient(x).tolist() == [6, 2, 4, 0]
        with mx.index_gradient("error"), pytest.raises(ValueError):
            gradient(x)


@pytest.mark.parametrize("outer", [make_checkpoint, make_custom])
@pytest.mark.parametrize("inner", [make_checkpoint, make_custom])
def test_nested_wrapped_functions_keep_their_indices(outer, inner):
    x = mx.array([3.0, 1, 2, 0])
    chosen = inner(mx.argsort)
    both = outer(lambda x: (chosen(x), x * 2, chosen(-x)))

    def f(x):
        ascending, doubled, descending = both(x)
        weights = mx.stop_gradient(doubled)
        taken = mx.take_along_axis(x, descending, 0)
        return (mx.take_along_axis(x, ascending, 0) * weights + 10 * taken).sum()

    # Element i of the ascending order is multiplied by 2 * x[i].
    assert mx.grad(f)(x).tolist() == [10, 12, 14, 16]


def test_a_custom_function_without_a_rule_is_the_function_itself():
    x = mx.array([3.0, 1, 2, 0])
    chosen = mx.custom_function(mx.argsort)
    assert mx.grad(gathered(chosen))(x).tolist() == [6, 2, 4, 0]
    with mx.index_gradient("error"), pytest.raises(ValueError, match="argsort"):
        mx.grad(gathered(chosen))(x)


def test_a_rule_holds_from_when_it_is_added():
    x = mx.array([3.0, 1])
    f = mx.custom_function(lambda x: x * 2)
    gradient = mx.grad(lambda x: f(x).sum())
    assert gradient(x).tolist() == [2, 2]
    f.vjp(lambda primals, cotangents, outputs: cotangents * 7)
    assert gradient(x).tolist() == [7, 7]
    f.vjp(lambda primals, cotangents, outputs: cotangents * 9)
    assert gradient(x).tolist() == [9, 9]


@wrap
def test_a_failed_call_does_not_affect_the_next(wrap):
    x = mx.array([3.0, 1, 2, 0])

    def fail(x):
        raise KeyError

    with pytest.raises(KeyError):
        wrap(fail)(x)
    with pytest.raises((ValueError, TypeError)):
        wrap(mx.argsort)("no array")
    assert mx.grad(gathered(wrap(mx.argsort)))(x).tolist() == [6, 2, 4, 0]


@wrap
def test_a_wrapped_function_that_refers_to_itself_is_freed(wrap):
    class Model:
        def __init__(self):
            self.call = wrap(self.double)

        def double(self, x):
            return x * 2

    model = Model()
    model.call(mx.array([1.0]))
    freed = weakref.ref(model)
    del model
    gc.collect()
    assert freed() is None
