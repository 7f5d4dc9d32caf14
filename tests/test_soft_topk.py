"""soft_topk: its values for any input, and its derivatives under every transform."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.nn.routing import soft_topk
from transforms_of import assert_all_paths_agree, scaled_gradient

KINDS = ["sigmoid", "laplace"]
kinds = pytest.mark.parametrize("kind", KINDS)


def distribution(t, kind):
    """Computes the distribution function in NumPy."""
    if kind == "sigmoid":
        return np.exp(-np.logaddexp(0, -t))
    e = np.exp(-np.abs(t)) / 2
    return np.where(t < 0, e, 1 - e)


def exact(row, k, tau, kind):
    """Computes one row in float64, finding the threshold by bisection."""
    t = np.minimum(row.astype(np.float64), np.finfo(np.float32).max)
    order = np.argsort(-t, kind="stable")
    t = (t - t[order[max(k - 1, 0)]]) / tau
    upper, lower = t[order[:k]], t[order[k:]]
    finite = t[np.isfinite(t)]
    low, high = finite.min() - 60, finite.max() + 60
    for _ in range(1200):
        middle = low / 2 + high / 2
        # Comparing these two sums of small numbers loses no digits, while comparing
        # the sum of all entries with k would.
        lacking = distribution(middle - upper, kind).sum()
        excess = distribution(lower - middle, kind).sum()
        if excess >= lacking:
            low = middle
        if excess <= lacking:
            high = middle
        if low == high:
            break
    return distribution(t - middle, kind)


def assert_exact(row, k, tau, kind):
    row = np.asarray(row, np.float32)
    got = np.array(soft_topk(mx.array(row), k, tau, kind))
    assert got.dtype == np.float32
    possible = int((row > -np.inf).sum())
    if k == 0 or k >= possible:
        np.testing.assert_array_equal(got, (row > -np.inf) * float(k > 0))
        return
    np.testing.assert_allclose(got, exact(row, k, tau, kind), rtol=0, atol=1e-6)
    assert abs(got.astype(np.float64).sum() - k) <= 2e-6 * k


# ---- values ------------------------------------------------------------------


@kinds
@given(data=st.data())
def test_each_entry_is_within_the_stated_bound(kind, data):
    pool = [0.0, -0.0, 1.0, -1.0, 1e-30, 40.0, 3e4, 1e30, 3.4e38, -3.4e38, -np.inf]
    some = st.one_of(st.sampled_from(pool), st.floats(-50, 50, width=32))
    row = data.draw(st.lists(some, min_size=1, max_size=70))
    k = data.draw(st.integers(0, len(row)))
    tau = data.draw(st.sampled_from([1e-6, 0.1, 1.0, 7.0, 1e6, 1e38]))
    assert_exact(row, k, tau, kind)


@kinds
@pytest.mark.parametrize("n", [63, 64, 1000, 30_000])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_long_rows_keep_their_digits(kind, n, scale):
    rng = np.random.default_rng(n)
    row = rng.standard_normal(n) * scale
    for k in (1, n // 2, n - 1):
        assert_exact(row, k, 1.0, kind)
        assert_exact(np.where(rng.random(n) < 0.8, row[0], row), k, 1.0, kind)


@kinds
def test_a_small_tau_gives_the_hard_mask(kind):
    x = mx.random.normal((50, 40), key=mx.random.key(0))
    chosen = mx.topk(x, 7, return_indices=True).indices
    mask = np.zeros(x.shape, np.float32)
    np.put_along_axis(mask, np.array(chosen), 1, -1)
    np.testing.assert_array_equal(np.array(soft_topk(x, 7, 1e-7, kind)), mask)
    far = np.abs(np.array(soft_topk(x, 7, 1.0, kind)) - mask).max()
    near = np.abs(np.array(soft_topk(x, 7, 1e-2, kind)) - mask).max()
    assert near < far < 1


@kinds
def test_differences_near_the_largest_float_are_exact(kind):
    assert_exact([3e38, -3e38], 1, 1e38, kind)


@kinds
def test_ties_share_the_last_places_equally(kind):
    equal = soft_topk(mx.full((3, 5), -2.5), 2, kind=kind)
    np.testing.assert_allclose(np.array(equal), 0.4, atol=1e-7)
    last = soft_topk(mx.array([9.0, 1, 1, 1, -9]), 3, 0.01, kind)
    np.testing.assert_allclose(np.array(last), [1, 2 / 3, 2 / 3, 2 / 3, 0], atol=1e-6)


@kinds
def test_infinities_and_nan(kind):
    x = mx.array([[np.inf, 0, -np.inf, np.inf], [np.nan, 0, 1, 2], [-np.inf] * 4])
    got = np.array(soft_topk(x, 1, kind=kind))
    np.testing.assert_allclose(got[0], [0.5, 0, 0, 0.5], atol=1e-6)
    assert np.isnan(got[1]).all()
    np.testing.assert_array_equal(got[2], np.zeros(4))
    for k in (2, 4):
        assert np.isnan(np.array(soft_topk(x, k, kind=kind)[1])).all()


@kinds
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_every_axis_gives_the_results_of_the_last_axis(kind, axis):
    x = mx.random.normal((4, 5, 6), key=mx.random.key(1))
    got = soft_topk(x, 2, 0.5, kind, axis)
    wanted = soft_topk(mx.moveaxis(x, axis, -1), 2, 0.5, kind)
    np.testing.assert_array_equal(
        np.array(got), np.array(mx.moveaxis(wanted, -1, axis))
    )


def test_an_empty_axis_gives_an_empty_array():
    assert soft_topk(mx.zeros((3, 0)), 0).shape == (3, 0)
    assert soft_topk(mx.zeros((0, 3)), 2).shape == (0, 3)


@kinds
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_types_are_computed_in_float32_and_rounded_once(kind, dtype):
    x = (3 * mx.random.normal((8, 300), key=mx.random.key(2))).astype(dtype)
    wide = soft_topk(x.astype(mx.float32), 20, 0.7, kind)
    got = soft_topk(x, 20, 0.7, kind)
    assert got.dtype == dtype
    assert mx.array_equal(got, wide.astype(dtype))
    gradient = mx.grad(lambda x: (soft_topk(x, 20, 0.7, kind) ** 2).sum())(x)
    assert gradient.dtype == dtype and mx.all(mx.isfinite(gradient)).item()


# ---- derivatives -------------------------------------------------------------


@kinds
def test_the_gradient_is_that_of_the_formula(kind):
    rng = np.random.default_rng(3)
    x, c = rng.standard_normal((2, 9)).astype(np.float32)
    tau = 0.6
    p = exact(x, 3, tau, kind)
    f = p * (1 - p) if kind == "sigmoid" else np.minimum(p, 1 - p)
    wanted = f * (c - (f @ c) / f.sum()) / tau
    _, (got,) = mx.vjp(
        lambda x: soft_topk(x, 3, tau, kind), [mx.array(x)], [mx.array(c)]
    )
    np.testing.assert_allclose(np.array(got), wanted, rtol=1e-4, atol=1e-6)


def central_difference(f, order, step):
    """Approximates the derivative of ``f`` at 0."""
    binomial = {1: [-1, 0, 1], 2: [1, -2, 1], 3: [-1, 2, 0, -2, 1]}[order]
    offsets = np.arange(len(binomial)) - len(binomial) // 2
    total = sum(b * f(step * o) for b, o in zip(binomial, offsets, strict=True))
    return total / (step**order * (2 if order % 2 else 1))


@kinds
@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_to_order_three_match_finite_differences(kind, order):
    """Differentiates along a line, and compares with exact values in float64."""
    rng = np.random.default_rng(4)
    x, v, c = rng.standard_normal((3, 8))

    def reference(s):
        return (c * exact(x + s * v, 3, 0.8, kind) ** 2).sum()

    def along(s):
        p = soft_topk(mx.array(x) + s * mx.array(v), 3, 0.8, kind)
        return (mx.array(c) * p**2).sum()

    forward = along
    for _ in range(order):
        along = mx.grad(along)
        forward = tangent_of(forward)
    wanted = central_difference(reference, order, [1e-4, 1e-3, 1e-2][order - 1])
    assert abs(wanted) > 1e-2
    for f in (along, forward):
        np.testing.assert_allclose(f(mx.array(0.0)).item(), wanted, rtol=5e-4)


def tangent_of(f):
    return lambda s: mx.jvp(f, [s], [mx.array(1.0)])[1][0]


@kinds
@pytest.mark.parametrize("again", [False, True], ids=["first", "second"])
def test_every_order_of_transforms_gives_the_same_gradient(kind, again):
    batch = mx.random.normal((3, 6), key=mx.random.key(5))
    c = mx.array([1.0, -2, 3, 0.5, -1, 2])

    def loss(x):
        return (c * soft_topk(x, 2, 0.9, kind) ** 2).sum()

    assert_all_paths_agree(scaled_gradient(loss) if again else loss, batch)


def test_vmap_over_any_axis_and_nested():
    x = mx.random.normal((2, 3, 7), key=mx.random.key(6))
    wanted = np.array(soft_topk(x, 3))
    nested = mx.vmap(mx.vmap(lambda x: soft_topk(x, 3)))(x)
    np.testing.assert_allclose(np.array(nested), wanted, atol=1e-7)
    middle = mx.vmap(lambda x: soft_topk(x, 3), in_axes=1, out_axes=1)(x)
    np.testing.assert_allclose(np.array(middle), wanted, atol=1e-7)
    columns = mx.vmap(lambda x: soft_topk(x, 2, axis=0), in_axes=2, out_axes=2)(x)
    wanted = soft_topk(x, 2, axis=0)
    np.testing.assert_allclose(np.array(columns), np.array(wanted), atol=1e-7)


@kinds
@pytest.mark.parametrize("k", [0, 6])
def test_with_all_or_none_chosen_the_gradient_is_zero(kind, k):
    x = mx.random.normal((6,), key=mx.random.key(7))
    for loss in (
        f := lambda x: (soft_topk(x, k, kind=kind) ** 2).sum(),
        scaled_gradient(f),
    ):
        assert mx.grad(loss)(x).tolist() == [0.0] * 6


@kinds
@pytest.mark.parametrize("scale", [1e2, 1e6, 1e38])
def test_a_hard_choice_has_finite_derivatives(kind, scale):
    x = mx.array([1.0, 2.0, -1.0, 0.0, -mx.inf]) * scale

    def loss(x):
        return (mx.arange(5.0) * soft_topk(x, 2, 1.0, kind)).sum()

    for f in (loss, scaled_gradient(loss), scaled_gradient(scaled_gradient(loss))):
        gradient = mx.grad(f)(x)
        assert mx.all(mx.isfinite(gradient)).item() and gradient[4].item() == 0


@kinds
def test_the_gradient_sums_to_zero_since_shifting_scores_changes_nothing(kind):
    x = mx.random.normal((4, 9), key=mx.random.key(8))
    c = mx.random.normal((4, 9), key=mx.random.key(9))
    gradient = mx.grad(lambda x: (c * soft_topk(x, 4, 0.3, kind)).sum())(x)
    np.testing.assert_allclose(np.array(gradient.sum(-1)), 0, atol=2e-6)


def test_shapeless_compile_raises_an_error():
    compiled = mx.compile(lambda x: soft_topk(x, 3), shapeless=True)
    with pytest.raises(ValueError, match="cannot infer output shapes"):
        compiled(X)


def test_exporting_raises_an_error(tmp_path):
    with pytest.raises(ValueError, match="serialize primitive CustomTransforms"):
        mx.export_function(str(tmp_path / "f"), lambda x: soft_topk(x, 3), X)


# ---- bad arguments -----------------------------------------------------------

X = mx.zeros((4, 8))


@pytest.mark.parametrize(
    "error, message, call",
    [
        (
            ValueError,
            "[soft_topk] k must be between 0 and 8 for axis 1 of an array with shape "
            "(4,8), got 9.",
            lambda: soft_topk(X, 9),
        ),
        (
            ValueError,
            "[soft_topk] k must be between 0 and 4 for axis 0 of an array with shape "
            "(4,8), got -1.",
            lambda: soft_topk(X, -1, axis=0),
        ),
        (
            TypeError,
            "[soft_topk] k must be an integer, got 2.0.",
            lambda: soft_topk(X, 2.0),
        ),
        (
            TypeError,
            "[soft_topk] k must be an integer, got True.",
            lambda: soft_topk(X, True),
        ),
        (
            ValueError,
            "[soft_topk] tau must be positive and finite, got 0.",
            lambda: soft_topk(X, 2, 0),
        ),
        (
            ValueError,
            "[soft_topk] tau must be positive and finite, got nan.",
            lambda: soft_topk(X, 2, float("nan")),
        ),
        (
            TypeError,
            "[soft_topk] tau must be a number, got an array.",
            lambda: soft_topk(X, 2, mx.array(1.0)),
        ),
        (
            ValueError,
            "[soft_topk] kind must be one of 'sigmoid', 'laplace', got 'relu'.",
            lambda: soft_topk(X, 2, kind="relu"),
        ),
        (
            IndexError,
            "[soft_topk] There is no axis 2 in an array with 2 dimensions.",
            lambda: soft_topk(X, 2, axis=2),
        ),
        (
            IndexError,
            "[soft_topk] There is no axis -1 in an array with 0 dimensions.",
            lambda: soft_topk(mx.array(1.0), 0),
        ),
        (
            ValueError,
            "[soft_topk] x must be floating, got mlx.core.int32.",
            lambda: soft_topk(X.astype(mx.int32), 2),
        ),
    ],
)
def test_bad_arguments_are_refused(error, message, call):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
