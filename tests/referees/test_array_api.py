"""array-api-strict as a referee: the sorting and searching functions of the standard.

The standard's own suite, array-api-tests, is not on PyPI. These are the properties that
it checks: shapes, axes, keepdims, both directions, and equal elements under a stable
sort. Index types differ: see docs/topk.md. The standard leaves out NaN.
"""

import array_api_strict as xp
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cases import FLOATS, INTEGERS, UNSIGNED, arrays, numpy_of

# The types of the standard that MLX has, and for which it demands an order.
TYPES = tuple(
    dtype
    for dtype in [*INTEGERS, *UNSIGNED, *FLOATS]
    if dtype not in (mx.float16, mx.bfloat16)
)
SORTS = st.fixed_dictionaries({}, optional={"descending": st.booleans()})


def without_nan(a):
    return mx.where(mx.isnan(a), mx.array(7, a.dtype), a)


def equal(ours, theirs):
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(np.array(ours), np.asarray(theirs))


@given(case=arrays(TYPES), options=SORTS)
def test_stable_sorts(case, options):
    a, axis = case
    a = without_nan(a)
    theirs = xp.asarray(numpy_of(a))
    ours = mx.sort(a, axis=axis, stable=True, **options)
    equal(ours, xp.sort(theirs, axis=axis, **options))
    assert ours.dtype == a.dtype
    ours = mx.argsort(a, axis=axis, stable=True, **options)
    equal(ours, xp.argsort(theirs, axis=axis, **options))


@pytest.mark.parametrize("name", ["sort", "argsort"])
@given(case=arrays(TYPES), options=SORTS)
def test_a_sort_that_need_not_be_stable_has_the_same_values(name, case, options):
    a, axis = case
    a = without_nan(a)
    theirs = xp.asarray(numpy_of(a))
    ours = getattr(mx, name)(a, axis=axis, stable=False, **options)
    if name == "argsort":
        ours = mx.take_along_axis(a, ours, axis)
    equal(ours, xp.sort(theirs, axis=axis, stable=False, **options))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@given(case=arrays(TYPES, min_axis=1), keepdims=st.booleans(), whole=st.booleans())
def test_the_first_of_the_best_elements(name, case, keepdims, whole):
    a, axis = case
    a = without_nan(a)
    assume(a.size)
    axis = None if whole else axis
    ours = getattr(mx, name)(a, axis=axis, keepdims=keepdims)
    theirs = getattr(xp, name)(xp.asarray(numpy_of(a)), axis=axis, keepdims=keepdims)
    equal(ours, theirs)


@given(case=arrays(TYPES), side=st.sampled_from(["left", "right"]), data=st.data())
def test_a_search_with_and_without_a_sorter(case, side, data):
    a = without_nan(case[0]).flatten()
    count = data.draw(st.integers(0, 9))
    # Half of the keys are elements of the sequence.
    places = np.random.default_rng(a.size).integers(0, max(a.size, 1), count)
    keys = a[mx.array(places)] if a.size else mx.zeros(count, a.dtype)
    keys = keys + (mx.arange(count) % 2).astype(a.dtype)
    theirs, wanted = xp.asarray(numpy_of(a)), xp.asarray(numpy_of(keys))
    found = xp.searchsorted(xp.sort(theirs), wanted, side=side)
    equal(mx.searchsorted(mx.sort(a), keys, side), found)
    sorter = xp.argsort(theirs)
    found = xp.searchsorted(theirs, wanted, side=side, sorter=sorter)
    equal(mx.searchsorted(a, keys, side, sorter=mx.argsort(a)), found)
