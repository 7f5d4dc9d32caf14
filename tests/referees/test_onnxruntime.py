"""ONNX as a referee: a model of one TopK node, run on arrays that are drawn.

onnxruntime has exactly our order, also of NaN of either sign and of both zeros. For
the types that it lacks, onnx's own evaluator, which uses NumPy, is the referee.
"""

import ml_dtypes
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, defs
from onnx_models import OPSETS, onnxruntime_session, topk_evaluator, topk_model
from onnx_models import topk_session as session

from cases import dtype_name, mx_array, numpy_of, selections, values_of

# The types that onnxruntime's TopK takes.
TYPES = {
    mx.uint8: TensorProto.UINT8,
    mx.int8: TensorProto.INT8,
    mx.int16: TensorProto.INT16,
    mx.int32: TensorProto.INT32,
    mx.int64: TensorProto.INT64,
    mx.float16: TensorProto.FLOAT16,
    mx.float32: TensorProto.FLOAT,
    mx.float64: TensorProto.DOUBLE,
}
# The other types of ONNX's TopK, which has neither bool nor complex numbers.
OTHER_TYPES = {
    mx.uint16: TensorProto.UINT16,
    mx.uint32: TensorProto.UINT32,
    mx.uint64: TensorProto.UINT64,
    mx.bfloat16: TensorProto.BFLOAT16,
}

directions = pytest.mark.parametrize("largest", [True, False])
dtypes = pytest.mark.parametrize("dtype", TYPES, ids=dtype_name)
opsets = pytest.mark.parametrize("opset", OPSETS)


def test_the_newest_topk_of_onnx_is_that_of_opset_24():
    assert defs.get_schema("TopK", OPSETS[-1]).since_version == 24


def assert_is_what_onnx_says(a, k, axis, largest, theirs):
    values, indices = theirs
    mode = "largest" if largest else "smallest"
    result = mx.top_k(a, k, axis=axis, mode=mode)
    np.testing.assert_array_equal(np.array(result.indices), indices)
    np.testing.assert_array_equal(numpy_of(result.values), values)


def assert_is_what_onnxruntime_says(a, k, axis, largest, opset):
    feeds = {"a": numpy_of(a), "k": np.array([k])}
    theirs = session(TYPES[a.dtype], opset, axis, largest).run(None, feeds)
    assert_is_what_onnx_says(a, k, axis, largest, theirs)


@opsets
@directions
@dtypes
@given(data=st.data())
@settings(max_examples=150)
def test_any_selection_is_what_onnxruntime_says(dtype, largest, opset, data):
    a, axis, k = data.draw(selections(dtypes=(dtype,)))
    assert_is_what_onnxruntime_says(a, k, axis, largest, opset)


# onnxruntime chooses its algorithm by n and k, as we do. These k reach all algorithms.
@pytest.mark.parametrize("k", [1, 2, 16, 100, 1023, 2500, 4999, 5000])
@opsets
@directions
@dtypes
def test_a_long_axis_full_of_ties_is_what_onnxruntime_says(dtype, largest, opset, k):
    values = values_of(dtype, (3, 5000), "pool", np.random.default_rng(k))
    a = mx_array(values, dtype)
    assert_is_what_onnxruntime_says(a, k, -1, largest, opset)
    assert_is_what_onnxruntime_says(a.T, k, 0, largest, opset)


# ---- the types that onnxruntime lacks -------------------------------------------


@pytest.mark.parametrize("dtype", OTHER_TYPES, ids=dtype_name)
def test_onnxruntime_lacks_the_type(dtype):
    with pytest.raises(Exception, match=r"Could not find an implementation for TopK"):
        onnxruntime_session(topk_model(OTHER_TYPES[dtype]))


def onnx_array(a):
    values = numpy_of(a)
    return values.astype(ml_dtypes.bfloat16) if a.dtype == mx.bfloat16 else values


@directions
@pytest.mark.parametrize("dtype", OTHER_TYPES, ids=dtype_name)
@given(data=st.data())
@settings(max_examples=150)
def test_any_selection_is_what_the_evaluator_of_onnx_says(dtype, largest, data):
    a, axis, k = data.draw(selections(dtypes=(dtype,)))
    if dtype == mx.bfloat16:
        # NumPy does not know where a NaN of this type belongs.
        a = mx.where(mx.isnan(a), mx.array(7, dtype), a)
    feeds = {"a": onnx_array(a), "k": np.array([k])}
    values, indices = topk_evaluator(OTHER_TYPES[dtype], axis, largest).run(None, feeds)
    if dtype == mx.bfloat16:
        values = values.astype(np.float32)
    assert_is_what_onnx_says(a, k, axis, largest, (values, indices))
