"""jax as a referee: runs jax's test cases for top_k, sort, argmax and argmin on MLX.

jax calls a test case a harness. Its NumPy reference for top_k is a second referee.
"""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from jax._src import lax_reference
from jax._src.internal_test_util.test_harnesses import all_harnesses

from cases import ALL, numpy_of, selections

COUNTS = {"top_k": 12, "sort": 25, "argmax": 54, "argmin": 54}
HARNESSES = {
    group: sorted(
        (h for h in all_harnesses if h.group_name == group), key=lambda h: h.fullname
    )
    for group in COUNTS
}
HAS_NEGATIVE_NAN = "top_k_sort_inf_nan_inshape_float32_5_k_5"


def each_harness(*groups):
    found = [harness for group in groups for harness in HARNESSES[group]]
    return pytest.mark.parametrize("harness", found, ids=lambda h: h.fullname)


def arrays_of(harness):
    return harness.dyn_args_maker(np.random.RandomState(0))


def equal(ours, theirs):
    theirs = np.asarray(theirs)
    if theirs.dtype.name == "bfloat16":
        theirs = theirs.astype(np.float32)
    np.testing.assert_array_equal(numpy_of(ours), theirs)


def is_negative_nan(a):
    return np.isnan(a) & np.signbit(a)


def smallest_first(keys):
    """Returns the indices that sort by the first key, then by the next, then by index.

    It sorts by the last key first, since top_k of a whole axis is a stable sort.
    """
    *others, last = keys
    order = mx.top_k(last, last.size, mode="smallest").indices
    for key in reversed(others):
        order = order[mx.top_k(key[order], key.size, mode="smallest").indices]
    return order


@pytest.mark.parametrize("group", COUNTS)
def test_jax_still_ships_its_harnesses(group):
    assert len(HARNESSES[group]) == COUNTS[group]


@each_harness("top_k")
def test_top_k_is_what_jax_says(harness):
    (a,) = arrays_of(harness)
    given_to_jax = a
    if harness.fullname == HAS_NEGATIVE_NAN:
        # On some machines the NaN of this case is negative. jax would order it last,
        # and rule 4 of docs/topk.md first, so jax is given a positive NaN.
        given_to_jax = np.where(np.isnan(a), np.float32(np.nan), a)
    elif a.dtype.kind == "f":
        assert not is_negative_nan(a).any()
    values, indices = harness.dyn_fun(given_to_jax)
    result = mx.top_k(mx.array(a), harness.params["k"])
    equal(result.values, values)
    equal(result.indices, indices)


@given(selections(dtypes=tuple(ALL)))
@settings(max_examples=1000)
def test_top_k_is_what_the_numpy_reference_says(case):
    a, axis, k = case
    given_to_numpy = numpy_of(a)
    if a.dtype == mx.complex64:
        # NumPy orders complex NaNs by the part that is a number. Our contract has
        # all NaNs equal, so NumPy is given only one kind.
        is_nan = np.isnan(given_to_numpy)
        given_to_numpy[is_nan] = complex(np.nan, np.nan)
    _, indices = lax_reference.top_k(given_to_numpy, k, axis)
    result = mx.top_k(a, k, axis=axis)
    equal(result.indices, indices)
    equal(result.values, np.take_along_axis(numpy_of(a), indices, axis))


@each_harness("sort")
def test_sort_is_what_jax_says(harness):
    operands = arrays_of(harness)
    theirs = harness.dyn_fun(*operands)
    if len(operands) > 1:
        return assert_sorted_together(operands, theirs, harness.params)
    (a,) = (mx.array(operand) for operand in operands)
    axis = harness.params["dimension"]
    equal(mx.sort(a, axis), theirs[0])
    equal(mx.top_k(a, a.shape[axis], axis=axis, mode="smallest").values, theirs[0])
    equal(mx.take_along_axis(a, mx.argsort(a, axis), axis), theirs[0])


def assert_sorted_together(operands, theirs, params):
    columns = [mx.array(operand) for operand in operands]
    keys = columns[: params["num_keys"]]
    order = smallest_first(keys)
    ours = [column[order] for column in columns]
    for mine, its in zip(ours[: len(keys)], theirs, strict=False):
        equal(mine, its)
    if params["is_stable"]:
        for mine, its in zip(ours, theirs, strict=True):
            equal(mine, its)
    else:
        # An unstable sort may return equal keys in any order.
        rows = sorted(zip(*(np.array(mine) for mine in ours), strict=True))
        assert rows == sorted(zip(*(np.array(its) for its in theirs), strict=True))


@each_harness("argmax", "argmin")
def test_argmax_and_argmin_are_what_jax_says(harness):
    (a,) = arrays_of(harness)
    (axis,) = harness.params["axes"]
    op = {"argmax": mx.argmax, "argmin": mx.argmin}[harness.group_name]
    equal(op(mx.array(a), axis), harness.dyn_fun(a))
