"""The gradient of the chosen values reaches the elements they came from."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from cases import ENGINES, FLOATS, arrays, dtype_name, numpy_of

engines = pytest.mark.parametrize("engine", ENGINES)
KEYS = st.integers(0, 2**32 - 1).map(mx.random.key)

TIED = mx.array([[0.0, 0, 1, 0], [2, 2, 2, 2], [1, 0, 1, 1]])


def weighted(values):
    """Returns a loss that weights each position of the values differently."""
    weights = mx.arange(1, values.size + 1).reshape(values.shape)
    return (weights.astype(values.dtype) * values).sum()


@engines
@given(arrays(dtypes=(mx.float32,), max_axis=12), st.data())
def test_the_gradient_of_values_goes_to_the_chosen_elements(engine, case, data):
    a, axis = case
    k = data.draw(st.integers(0, a.shape[axis]))
    largest = data.draw(st.booleans())
    shape = list(a.shape)
    shape[axis] = k
    weights = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)

    with ENGINES[engine]():
        _, (gradient,) = mx.vjp(
            lambda a: mx.topk(a, k, axis, largest=largest, sorted=True),
            [a],
            [mx.array(weights)],
        )
    wanted = oracle.topk_gradient(numpy_of(a), k, weights, axis, largest)
    np.testing.assert_array_equal(np.array(gradient), wanted)


@pytest.mark.smoke
def test_a_gradient_under_ties_that_stock_gets_wrong():
    a = mx.array([0.0, 0, 1, 0])
    gradient = mx.grad(lambda a: (mx.topk(a, 3) ** 2).sum())(a)
    assert gradient.tolist() == [0, 0, 2, 0]


@pytest.mark.parametrize("dtype", FLOATS, ids=dtype_name)
@pytest.mark.parametrize("k", [1, 50, 4096])
def test_eulers_identity_holds_under_ties(dtype, k):
    """topk is homogeneous of degree one: <x, grad f> = f for f = <c, topk>."""
    rng = np.random.default_rng(k)
    values = rng.integers(-8, 8, (50, 4096)).astype(np.float32)
    x = mx.array(values, mx.float64).astype(dtype)
    c = mx.array(rng.integers(1, 4, (50, k)), mx.float64).astype(dtype)
    for op in (
        lambda x: mx.topk(x, k),
        lambda x: mx.topk(x, k, largest=False, sorted=True),
        lambda x: mx.partition(x, k - 1)[:, :k],
        lambda x: mx.partition(x, -k)[:, -k:],
    ):
        (out,), (gradient,) = mx.vjp(op, [x], [c])
        left = numpy_of(x).astype(np.float64) * numpy_of(gradient)
        right = numpy_of(c).astype(np.float64) * numpy_of(out)
        np.testing.assert_array_equal(left.sum(-1), right.sum(-1))


@given(arrays(dtypes=(mx.float32,), min_axis=1, max_axis=12), st.data())
def test_the_gradient_of_partition_goes_where_each_element_came_from(case, data):
    a, axis = case
    kth = data.draw(st.integers(0, a.shape[axis] - 1))
    weights = mx.random.uniform(shape=a.shape, key=data.draw(KEYS))
    indices = mx.argpartition(a, kth, axis)
    _, (gradient,) = mx.vjp(lambda a: mx.partition(a, kth, axis), [a], [weights])
    wanted = np.zeros(a.shape, np.float32)
    np.put_along_axis(wanted, np.array(indices).astype(int), np.array(weights), axis)
    np.testing.assert_array_equal(np.array(gradient), wanted)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_agrees_with_finite_differences(axis, largest):
    # Elements differ by more than the step, so that the same ones stay chosen.
    rng = np.random.default_rng(1)
    x = rng.permutation(24).reshape(4, 6) / 4.0
    c = rng.standard_normal(24)

    def f(x):
        values = mx.topk(
            mx.array(x, mx.float64), 3, axis, largest=largest, sorted=True
        ).flatten()
        return (mx.array(c[: values.size], mx.float64) * values**2).sum()

    step = 1e-4
    numeric = np.zeros_like(x)
    for where in np.ndindex(x.shape):
        away = np.zeros_like(x)
        away[where] = step
        numeric[where] = (f(x + away).item() - f(x - away).item()) / (2 * step)

    def g(x):
        values = mx.topk(x, 3, axis, largest=largest, sorted=True).flatten()
        return (mx.array(c[: values.size], mx.float64) * values**2).sum()

    gradient = mx.grad(g)(mx.array(x, mx.float64))
    np.testing.assert_allclose(np.array(gradient), numeric, rtol=1e-7, atol=1e-8)


def cube(a):
    return (mx.topk(a, 3, sorted=True) ** 3).sum()


@engines
def test_derivatives_of_derivatives(engine):
    """sum(topk(a)**3) has derivatives 3a^2, 6a and 6 at the chosen elements only."""
    a = TIED[0]
    v = mx.array([1.0, 2, 3, 4])
    chosen = mx.array([1.0, 1, 1, 0])
    with ENGINES[engine]():
        first = mx.grad(cube)(a)
        assert first.tolist() == (chosen * 3 * a**2).tolist()
        second = mx.grad(lambda a: (mx.grad(cube)(a) * v).sum())(a)
        assert second.tolist() == (chosen * 6 * a * v).tolist()
        third = mx.grad(
            lambda a: mx.grad(lambda a: (mx.grad(cube)(a) * v).sum())(a).sum()
        )(a)
        assert third.tolist() == (chosen * 6 * v).tolist()
        _, (forward_over_reverse,) = mx.jvp(mx.grad(cube), [a], [v])
        assert forward_over_reverse.tolist() == (chosen * 6 * a * v).tolist()
        reverse_over_forward = mx.grad(lambda a: mx.jvp(cube, [a], [v])[1][0])(a)
        assert reverse_over_forward.tolist() == (chosen * 6 * a * v).tolist()


@engines
@given(arrays(dtypes=(mx.float32,), max_axis=12), st.data())
def test_jvp_gathers_the_tangent_at_the_indices(engine, case, data):
    a, axis = case
    k = data.draw(st.integers(0, a.shape[axis]))
    tangent = mx.random.uniform(shape=a.shape, key=data.draw(KEYS))
    with ENGINES[engine]():
        (values, indices), (values_dot, indices_dot) = mx.jvp(
            lambda a: mx.topk(a, k, axis, return_indices=True), [a], [tangent]
        )
    wanted = mx.take_along_axis(tangent, indices, axis)
    np.testing.assert_array_equal(np.array(values_dot), np.array(wanted))
    assert indices_dot.dtype == mx.uint32 and indices_dot.shape == indices.shape
    assert not mx.any(indices_dot).item() if indices.size else True
    assert values_dot.dtype == values.dtype


@pytest.mark.parametrize("dtype", FLOATS, ids=dtype_name)
def test_gradients_have_the_type_and_shape_of_the_input(dtype):
    a = TIED.astype(dtype)
    gradient = mx.grad(lambda a: weighted(mx.topk(a, 2)).astype(mx.float32))(a)
    assert gradient.dtype == dtype and gradient.shape == a.shape


def test_gradients_reach_a_broadcast_input_once_per_use():
    row = mx.array([3.0, 1, 2])
    gradient = mx.grad(lambda r: mx.topk(mx.broadcast_to(r, (4, 3)), 2).sum())(row)
    assert gradient.tolist() == [4, 0, 4]


def test_empty_selections_have_zero_gradients():
    a = mx.ones((2, 3))
    assert mx.grad(lambda a: mx.topk(a, 0).sum())(a).tolist() == [[0] * 3] * 2
    empty = mx.ones((2, 0))
    assert mx.grad(lambda a: mx.topk(a, 0).sum())(empty).shape == (2, 0)


@given(st.integers(0, 2**32 - 1))
def test_sort_and_argsort_gradients_agree_under_ties(seed):
    a = mx.array(np.random.default_rng(seed).integers(0, 3, (3, 9)).astype(np.float32))
    c = mx.random.uniform(shape=a.shape, key=mx.random.key(seed))
    _, (sorted_gradient,) = mx.vjp(lambda a: mx.sort(a), [a], [c])
    _, (gathered_gradient,) = mx.vjp(
        lambda a: mx.take_along_axis(a, mx.argsort(a), -1), [a], [c]
    )
    np.testing.assert_array_equal(
        np.array(sorted_gradient), np.array(gathered_gradient)
    )


def test_a_switch_layer_as_users_write_it_trains_its_gate():
    """It has no stop_gradient, and therefore raises on stock MLX."""
    import mlx.nn as nn

    class SwitchLayer(nn.Module):
        def __init__(self, dims, num_experts, k):
            super().__init__()
            self.k = k
            self.gate = nn.Linear(dims, num_experts, bias=False)
            self.experts = mx.random.normal((num_experts, dims, dims)) / dims

        def __call__(self, x):
            g = mx.softmax(self.gate(x), -1)
            chosen = mx.argpartition(g, self.k, -1)[..., : self.k]
            weights = mx.take_along_axis(g, chosen, -1)
            y = (x[:, None, None] @ self.experts[chosen]).squeeze(-2)
            return (y * weights[..., None]).sum(-2)

    mx.random.seed(0)
    model = SwitchLayer(128, 8, 2)
    x = mx.random.normal((16, 128))
    _, gradients = nn.value_and_grad(model, lambda x: (model(x) ** 2).mean())(x)
    norm = mx.linalg.norm(gradients["gate"]["weight"]).item()
    assert np.isfinite(norm) and norm > 0
