"""onnxruntime as a referee: a model of one TopK node, run on arrays that are drawn.

onnxruntime has exactly our order, also of NaN of either sign and of both zeros.
"""

import functools

import mlx.core as mx
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from cases import dtype_name, mx_array, numpy_of, selections, values_of

# The types that onnxruntime's TopK takes. It lacks bool, bfloat16, complex and
# unsigned integers of more than eight bits.
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

directions = pytest.mark.parametrize("largest", [True, False])
dtypes = pytest.mark.parametrize("dtype", TYPES, ids=dtype_name)


@functools.cache
def session(dtype, axis, largest):
    node = helper.make_node(
        "TopK", ["a", "k"], ["values", "indices"], axis=axis, largest=int(largest)
    )
    graph = helper.make_graph(
        [node],
        "topk",
        [
            helper.make_tensor_value_info("a", TYPES[dtype], None),
            helper.make_tensor_value_info("k", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("values", TYPES[dtype], None),
            helper.make_tensor_value_info("indices", TensorProto.INT64, None),
        ],
    )
    # Old versions, because onnx may be newer than what onnxruntime reads.
    opset = [helper.make_opsetid("", 11)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def assert_is_what_onnxruntime_says(a, k, axis, largest):
    feeds = {"a": numpy_of(a), "k": np.array([k])}
    values, indices = session(a.dtype, axis, largest).run(None, feeds)
    mode = "largest" if largest else "smallest"
    result = mx.top_k(a, k, axis=axis, mode=mode)
    np.testing.assert_array_equal(np.array(result.indices), indices)
    np.testing.assert_array_equal(np.array(result.values), values)


@directions
@dtypes
@given(data=st.data())
@settings(max_examples=150)
def test_any_selection_is_what_onnxruntime_says(dtype, largest, data):
    a, axis, k = data.draw(selections(dtypes=(dtype,)))
    assert_is_what_onnxruntime_says(a, k, axis, largest)


# onnxruntime chooses its algorithm by n and k, as we do. These k reach all algorithms.
@pytest.mark.parametrize("k", [1, 2, 16, 100, 1023, 2500, 4999, 5000])
@directions
@dtypes
def test_a_long_axis_full_of_ties_is_what_onnxruntime_says(dtype, largest, k):
    values = values_of(dtype, (3, 5000), "pool", np.random.default_rng(k))
    a = mx_array(values, dtype)
    assert_is_what_onnxruntime_says(a, k, -1, largest)
    assert_is_what_onnxruntime_says(a.T, k, 0, largest)
