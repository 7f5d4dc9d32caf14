"""Every transform on every other, against the same rows taken one by one."""

import itertools
import pathlib
import tempfile

import mlx.core as mx
import numpy as np
import pytest

from cases import ENGINES, bits

RNG = np.random.default_rng(7)
BATCH = mx.array(RNG.integers(0, 4, (5, 3, 6)).astype(np.float32))
TANGENT = mx.array(RNG.standard_normal((5, 3, 6)).astype(np.float32))


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


FUNCTIONS = [values, both, partitioned, ordered, indexed, routed]
functions = pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)


def listed(outputs):
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def assert_same(got, wanted):
    got, wanted = listed(got), listed(wanted)
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        assert g.dtype == w.dtype
        np.testing.assert_array_equal(bits(g), bits(w))


def scalar(f):
    """A loss of f's floating outputs in which every position counts differently."""

    def loss(x):
        total = mx.array(0.0)
        for out in listed(f(x)):
            if mx.issubdtype(out.dtype, mx.floating):
                weights = mx.arange(1.0, 1 + out.size).reshape(out.shape)
                total = total + (weights * out * out).sum()
        return total

    return loss


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
    """A custom function whose rule is the function's own."""
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
    """The wrapper with what should change nothing taken away, and vmap unrolled."""
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


# ---- compile -----------------------------------------------------------------


@functions
def test_a_compiled_function_that_is_cached_gives_the_same(f):
    g = mx.compile(f)
    assert_same(g(BATCH[0]), f(BATCH[0]))
    assert_same(g(BATCH[1]), f(BATCH[1]))
    h = mx.compile(mx.grad(scalar(f)))
    for row in BATCH:
        np.testing.assert_allclose(
            np.array(h(row)), np.array(mx.grad(scalar(f))(row)), rtol=1e-6
        )


def test_compile_bakes_the_mode_in_when_it_traces():
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
]


@pytest.mark.parametrize("f", SHAPELESS)
def test_shapeless_compile_follows_the_shape(f):
    g = mx.compile(f, shapeless=True)
    for shape in [(4, 6), (4, 9), (8, 4), (3, 3)]:
        x = mx.array(RNG.integers(0, 3, shape).astype(np.float32))
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


@pytest.mark.parametrize("index", [0, 1])
def test_shapeless_gradients(index):
    def loss(x):
        return (mx.topk(x, 2, return_indices=True)[0] ** 2).sum()

    f = mx.compile(mx.grad(loss), shapeless=True)
    for shape in [(2, 5), (4, 3)]:
        x = mx.array(RNG.integers(0, 3, shape).astype(np.float32))
        assert_same(f(x), mx.grad(loss)(x))


def count(f, x, name):
    """How many nodes of one kind a compiled function runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "graph.dot")
        mx.export_to_dot(str(path), mx.compile(f)(x))
        return path.read_text().count(f'{name}"')


def test_is_equivalent_exactly_when_the_parameters_match():
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


# ---- checkpoint and custom_function ------------------------------------------


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
def test_indices_out_of_a_wrapped_function_stay_constants(wrap, index_of):
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
