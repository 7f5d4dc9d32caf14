"""Gradients of quantile and median: which elements get them, and how much."""

import mlx.core as mx
import numpy as np
import pytest
from test_quantile import PORTABLE, QS, equal, in_force, methods

import oracle


def weights_of_places(n, q, method):
    """Returns how much each place of a sorted row of n contributes, by NumPy.

    The quantile of i zeros and n - i ones is the sum of the weights from place i on.
    """
    steps = [np.arange(n) >= i for i in range(n + 1)]
    sums = [np.quantile(step.astype(np.float64), q, method=method) for step in steps]
    return -np.diff(sums)


@methods
@pytest.mark.parametrize("engine", ["kernel", *PORTABLE])
def test_the_gradient_goes_to_the_elements_of_the_stable_sort(engine, method):
    rng = np.random.default_rng(9)
    for n in (1, 2, 5, 6, 40):
        row = rng.integers(0, 4, n).astype(np.float64)
        order = oracle.order(row, largest=False)
        for q in QS[::2]:
            wanted = np.zeros(n)
            wanted[order] = weights_of_places(n, q, method)
            with in_force(engine):
                got = mx.grad(lambda a, q=q: mx.quantile(a, q, method=method))(
                    mx.array(row, mx.float64)
                )
                mx.eval(got)
            np.testing.assert_allclose(np.array(got), wanted, atol=1e-12)


@methods
def test_gradients_agree_with_finite_differences(method):
    rng = np.random.default_rng(1)
    x = rng.permutation(24).reshape(4, 6) / 4.0
    c = mx.array(rng.standard_normal((2, 4)), mx.float64)

    def f(x):
        out = mx.quantile(x, [0.3, 0.8], 1, method=method)
        return (c * out**2).sum()

    step = 1e-4
    numeric = np.zeros_like(x)
    for where in np.ndindex(x.shape):
        away = np.zeros_like(x)
        away[where] = step
        up, down = (f(mx.array(x + s * away, mx.float64)).item() for s in (1, -1))
        numeric[where] = (up - down) / (2 * step)
    gradient = mx.grad(f)(mx.array(x, mx.float64))
    np.testing.assert_allclose(np.array(gradient), numeric, rtol=1e-7, atol=1e-7)
    tangent = mx.array(rng.standard_normal(x.shape), mx.float64)
    _, (forward,) = mx.jvp(f, [mx.array(x, mx.float64)], [tangent])
    wanted = (np.array(tangent) * numeric).sum()
    np.testing.assert_allclose(forward.item(), wanted, rtol=1e-6)


CONTINUOUS = ["linear", "hazen", "weibull", "interpolated_inverted_cdf"]
CONTINUOUS += ["median_unbiased", "normal_unbiased"]


@methods
def test_the_gradient_with_respect_to_q(method):
    a = mx.array(np.random.default_rng(3).standard_normal(12), mx.float64)
    q = mx.array([0.21, 0.53, 0.77], mx.float64)

    def f(q):
        return (mx.quantile(a, q, method=method) * mx.array([1.0, 2, 3])).sum()

    got = np.array(mx.grad(f)(q))
    if method not in CONTINUOUS:
        assert not got.any()
        return
    step = 1e-6
    for i in range(3):
        away = mx.array(np.eye(3)[i] * step, mx.float64)
        numeric = (f(q + away) - f(q - away)).item() / (2 * step)
        np.testing.assert_allclose(got[i], numeric, rtol=1e-6, atol=1e-8)


def test_second_derivatives_of_quantiles():
    a = mx.array([4.0, 1.0, 3.0, 2.0])

    def cube(a):
        return mx.quantile(a, 0.5) ** 3

    first = mx.grad(cube)(a)
    np.testing.assert_allclose(np.array(first), 3 * 2.5**2 * np.array([0, 0, 0.5, 0.5]))
    second = mx.grad(lambda a: mx.grad(cube)(a)[2])(a)
    np.testing.assert_allclose(np.array(second), 6 * 2.5 * np.array([0, 0, 0.25, 0.25]))


def test_a_row_with_a_nan_has_no_gradient():
    a = mx.array([[1.0, np.nan, 2.0], [3.0, 1.0, 2.0]])
    for f in (
        lambda a: mx.median(a, 1),
        lambda a: mx.quantile(a, 0.4, 1),
        lambda a: mx.quantile(a, 0.5, 1, method="lower"),
    ):
        _, (gradient,) = mx.vjp(f, [a], [mx.ones(2)])
        assert not np.array(gradient[0]).any()
        np.testing.assert_allclose(gradient[1].sum().item(), 1, rtol=1e-6)


def test_the_gradient_of_the_median_is_that_of_stock_without_ties():
    from mlx import _overlay

    rng = np.random.default_rng(0)
    for shape in [(5, 8), (5, 9)]:
        a = mx.array(rng.permutation(np.prod(shape)).reshape(shape).astype(np.float32))
        for axis in (None, 0, 1, (0, 1)):
            ours, theirs = (
                mx.grad(lambda a, f=f, axis=axis: (f(a, axis) ** 2).sum())(a)
                for f in (mx.median, _overlay.stock.median)
            )
            equal(ours, np.array(theirs))
