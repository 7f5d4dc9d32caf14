"""quantile against NumPy, and median against stock MLX: values, shapes, types."""

import hooks
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cases import (
    ALL,
    ENGINES,
    FLOATS,
    arrays,
    bits,
    dtype_name,
    mx_array,
    numpy_of,
)

METHODS = [
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "linear",
    "median_unbiased",
    "normal_unbiased",
    "lower",
    "higher",
    "nearest",
    "midpoint",
]
# These return one of the elements, so that the result can be compared exactly.
DISCRETE = [
    "inverted_cdf",
    "closest_observation",
    "lower",
    "higher",
    "nearest",
]
QS = [0.0, 0.01, 0.1, 1 / 3, 0.25, 0.5, 0.6, 0.75, 0.9, 0.99, 1.0]

# The engines that kthvalue and the others have: the CPU's instruction sets, and graphs
# of MLX's own primitives.
PORTABLE = ["portable", "shapeless"]
methods = pytest.mark.parametrize("method", METHODS)
engines = pytest.mark.parametrize("engine", [*hooks.kernels(), *PORTABLE])


def in_force(engine):
    return ENGINES[engine]() if engine in PORTABLE else ENGINES["kernel"]()


def equal(ours, theirs):
    np.testing.assert_array_equal(np.array(ours), theirs)


# ---- quantile: values --------------------------------------------------------


@engines
@given(
    arrays(dtypes=(mx.float64,), min_axis=1, max_axis=140),
    st.sampled_from(QS),
    st.sampled_from(METHODS),
)
def test_quantiles_of_float64_are_those_of_numpy(engine, case, q, method):
    a, axis = case
    assume(0 not in a.shape)
    with in_force(engine), np.errstate(invalid="ignore"):
        ours = mx.quantile(a, q, axis, method=method)
        mx.eval(ours)
        theirs = np.quantile(np.array(a), q, axis, method=method)
    equal(ours, theirs)


@given(
    arrays(dtypes=(*FLOATS, mx.int32, mx.uint8), min_axis=1, max_axis=140),
    st.sampled_from(QS),
    st.sampled_from(METHODS),
)
def test_quantiles_of_other_types_are_those_of_numpy(case, q, method):
    a, axis = case
    assume(0 not in a.shape)
    ours = mx.quantile(a, q, axis, method=method)
    is_float = mx.issubdtype(a.dtype, mx.floating)
    assert ours.dtype == (a.dtype if is_float else mx.float32)
    with np.errstate(all="ignore"):
        exact = np.quantile(numpy_of(a).astype(np.float64), q, axis, method=method)
    epsilon = {2: 2.0**-7, 4: 2.0**-22, 8: 0}[ours.dtype.size]
    if method in DISCRETE and is_float:
        epsilon = 0
    finite = np.where(np.isfinite(numpy_of(a)), numpy_of(a), 0).astype(np.float64)
    reach = np.abs(finite).max(initial=0) * epsilon
    np.testing.assert_allclose(numpy_of(ours), exact, rtol=0, atol=reach)


@methods
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=dtype_name)
def test_quantiles_of_halves_are_those_of_float32_rounded_once(dtype, method):
    rng = np.random.default_rng(5)
    a = mx_array(rng.standard_normal((40, 33)), dtype)
    for q in QS[::2]:
        wide = mx.quantile(a.astype(mx.float32), q, 1, method=method)
        np.testing.assert_array_equal(
            bits(mx.quantile(a, q, 1, method=method)), bits(wide.astype(dtype))
        )


@pytest.mark.parametrize("engine", hooks.kernels())
@pytest.mark.parametrize("method", ["linear", "hazen", "higher"])
def test_quantiles_of_rows_of_every_size(method, engine):
    rng = np.random.default_rng(2)
    for n in [1, 2, 3, 16, 17, 128, 129, 160, 1024, 1025, 3000]:
        a = rng.integers(0, n, (3, n)).astype(np.float64)
        theirs = np.quantile(a, QS, 1, method=method)
        equal(mx.quantile(mx.array(a, mx.float64), QS, 1, method=method), theirs)
        for q in (0.0, 0.01, 0.5, 0.98, 1.0):
            one = np.quantile(a, q, 1, method=method)
            equal(mx.quantile(mx.array(a, mx.float64), q, 1, method=method), one)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2, 0), (0, 1, 2), ()])
@pytest.mark.parametrize("q", [0.3, [0.3], [0.1, 0.8, 0.5], [[0.1, 0.2, 0.9]], []])
@pytest.mark.parametrize("keepdims", [False, True])
def test_shapes_are_those_of_numpy(axis, q, keepdims):
    a = np.random.default_rng(0).standard_normal((2, 3, 4))
    b = mx.array(a, mx.float64)
    theirs = np.quantile(a, q, axis, keepdims=keepdims)
    for given_q in (q, np.array(q), mx.array(np.array(q), mx.float64)):
        ours = mx.quantile(b, given_q, axis, keepdims)
        assert ours.shape == theirs.shape
        equal(ours, theirs)


@pytest.mark.parametrize("engine", [*hooks.kernels(), *PORTABLE])
@pytest.mark.parametrize("n", [5, 40, 300, 4000])
def test_a_row_with_a_nan_has_no_other_quantile(n, engine):
    rng = np.random.default_rng(n)
    for dtype in (mx.float32, mx.bfloat16, mx.float64):
        for place in (0, n // 2, n - 1):
            a = rng.standard_normal((3, n))
            a[1, place] = np.nan
            with in_force(engine):
                b = mx_array(a, dtype)
                for q in (0.0, 0.02, 0.5, 0.98):
                    for method in ("linear", "lower"):
                        out = np.isnan(numpy_of(mx.quantile(b, q, 1, method=method)))
                        assert out.tolist() == [False, True, False]
                assert np.isnan(numpy_of(mx.median(b, 1))).tolist()[1]


def test_quantiles_between_infinities_are_those_of_numpy():
    inf = np.inf
    rows = [[1, inf], [inf, inf], [-inf, inf], [1, 2, inf], [-inf, -inf, 3], [-inf]]
    for row in rows:
        a = np.array(row, np.float64)
        for method in METHODS:
            for q in QS:
                with np.errstate(invalid="ignore"):
                    theirs = np.quantile(a, q, method=method)
                equal(mx.quantile(mx.array(a, mx.float64), q, method=method), theirs)


def test_quantiles_are_monotone_and_exact_at_the_ends():
    rng = np.random.default_rng(1)
    a = mx.array(rng.standard_normal((50, 7)).astype(np.float32) * 1e-3 + 1)
    qs = np.linspace(0, 1, 301)
    out = np.array(mx.quantile(a, qs, 1))
    assert (np.diff(out, axis=0) >= 0).all()
    equal(out[0], np.array(a).min(1))
    equal(out[-1], np.array(a).max(1))


# ---- quantile: an array q ----------------------------------------------------


@methods
def test_a_q_that_is_not_known_gives_what_a_known_one_gives(method):
    a = mx.array(np.random.default_rng(4).standard_normal((3, 21)), mx.float64)
    qs = mx.array(QS, mx.float64)
    wanted = mx.quantile(a, QS, 1, method=method)
    equal(mx.quantile(a, qs + 0, 1, method=method), np.array(wanted))
    compiled = mx.compile(lambda a, q: mx.quantile(a, q, 1, method=method))
    np.testing.assert_allclose(np.array(compiled(a, qs)), np.array(wanted), rtol=1e-14)


def test_a_q_out_of_range_is_an_error_if_known_and_else_nan():
    a = mx.arange(5.0)
    for q in (1.5, -0.1, np.nan, [0.5, 2], mx.array(3.0)):
        with pytest.raises(ValueError, match="q must be between 0 and 1, got"):
            mx.quantile(a, q)
    for method in METHODS:
        unknown = mx.array([0.5, -0.1, 1.1, np.nan]) * 1
        out = np.array(mx.quantile(a, unknown, method=method))
        assert np.isnan(out).tolist() == [False, True, True, True]


@pytest.mark.parametrize("axes", [(0, 0), (1, 0), (None, 0), (0, None), (2, 1)])
def test_vmap_over_the_array_and_over_q(axes):
    rng = np.random.default_rng(6)
    a = rng.standard_normal((3, 5, 9))
    q = rng.random((3, 4))
    for f in (
        lambda a, q: mx.quantile(a, q, -1),
        lambda a, q: mx.quantile(a, q[0], 0),
        lambda a, q: mx.quantile(a, q[:, None], None, method="hazen"),
    ):
        given_a = a if axes[0] is None else np.moveaxis(a, 0, axes[0])
        given_q = q if axes[1] is None else np.moveaxis(q, 0, axes[1])
        if axes[1] is None:
            given_q = q[0]
        if axes[0] is None:
            given_a = a[0]
        got = mx.vmap(f, in_axes=axes)(
            mx.array(given_a, mx.float64), mx.array(given_q, mx.float64)
        )
        for i in range(3):
            row = a[0 if axes[0] is None else i]
            probabilities = q[0 if axes[1] is None else i]
            wanted = f(mx.array(row, mx.float64), mx.array(probabilities, mx.float64))
            equal(got[i], np.array(wanted))


def test_vmap_over_q_and_then_over_the_array():
    a = mx.array(np.random.default_rng(6).standard_normal((3, 20)), mx.float64)
    q = mx.array([[0.1, 0.5], [0.9, 0.3]], mx.float64)
    over_q = mx.vmap(lambda a, q: mx.quantile(a, q), in_axes=(None, 0))
    both = mx.vmap(over_q, in_axes=(0, None))(a, q)
    other = mx.vmap(
        mx.vmap(lambda a, q: mx.quantile(a, q), in_axes=(0, None)), in_axes=(None, 0)
    )(a, q)
    wanted = np.stack([np.quantile(row, np.array(q)) for row in np.array(a)])
    equal(both, wanted)
    equal(other, np.swapaxes(wanted, 0, 1))


# ---- median ------------------------------------------------------------------


@given(arrays(dtypes=tuple(ALL), min_axis=1, max_axis=150), st.booleans())
def test_median_is_that_of_stock_bit_for_bit(case, keepdims):
    from mlx import _overlay

    a, axis = case
    ours = mx.median(a, axis, keepdims)
    theirs = _overlay.stock.median(a, axis, keepdims)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    if a.dtype == mx.complex64:
        equal(ours, np.array(theirs))
    else:
        np.testing.assert_array_equal(bits(ours), bits(theirs))


@pytest.mark.parametrize("op", ["median", "quantile", "kthvalue"])
def test_a_shapeless_function_runs_on_other_shapes(op):
    f = {
        "median": lambda a: mx.median(a, -1),
        "quantile": lambda a: mx.quantile(a, [0.2, 0.7], -1),
        "kthvalue": lambda a: mx.kthvalue(a, 2, -1, largest=True),
    }[op]
    compiled = mx.compile(f, shapeless=True)
    for shape in [(3, 6), (2, 7), (5, 2), (1, 300)]:
        a = mx.random.normal(shape, key=mx.random.key(shape[1]))
        got, wanted = compiled(a), f(a)
        if op != "kthvalue":
            got, wanted = [got], [wanted]
        for g, w in zip(got, wanted, strict=True):
            np.testing.assert_allclose(np.array(g), np.array(w), rtol=1e-6)
    if op == "kthvalue":
        with pytest.raises(ValueError, match="k must be between 1 and 1 for axis 1"):
            mx.eval(compiled(mx.zeros((3, 1))))


def test_rows_that_repeat_are_selected_from_once_and_repeat_in_the_result():
    row = mx.array([3.0, 1.0, 2.0])
    a = mx.broadcast_to(row, (4, 3))
    assert mx.kthvalue(a, 2).values.tolist() == [2.0] * 4
    assert mx.median(a, 1).tolist() == [2.0] * 4
    assert mx.median(a, 0).tolist() == row.tolist()
