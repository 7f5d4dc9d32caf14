"""Models of one ONNX node, to run with onnxruntime or with onnx's own evaluator."""

import functools

import onnxruntime
from onnx import TensorProto, defs, helper
from onnx.reference import ReferenceEvaluator

# The opset in which TopK got `largest`, and the newest that onnx knows. Between them
# lies 24, in which TopK got bfloat16.
OPSETS = [11, defs.onnx_opset_version()]


def _tensor(name, element_type):
    return helper.make_tensor_value_info(name, element_type, None)


def topk_model(element_type, opset=OPSETS[-1], **attributes):
    """Returns a model that maps ``a`` and ``k`` to ``values`` and ``indices``."""
    node = helper.make_node("TopK", ["a", "k"], ["values", "indices"], **attributes)
    inputs = [_tensor("a", element_type), _tensor("k", TensorProto.INT64)]
    outputs = [_tensor("values", element_type), _tensor("indices", TensorProto.INT64)]
    graph = helper.make_graph([node], "topk", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def arg_reduce_model(name, element_type):
    """Returns a model of ArgMax or ArgMin, which maps ``a`` to ``index``."""
    node = helper.make_node(name, ["a"], ["index"], axis=0, keepdims=0)
    outputs = [_tensor("index", TensorProto.INT64)]
    graph = helper.make_graph([node], name, [_tensor("a", element_type)], outputs)
    opset = helper.make_opsetid("", OPSETS[-1])
    return helper.make_model(graph, opset_imports=[opset])


def onnxruntime_session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@functools.cache
def topk_session(element_type, opset=OPSETS[-1], axis=-1, largest=True):
    model = topk_model(element_type, opset, axis=axis, largest=int(largest))
    return onnxruntime_session(model)


@functools.cache
def topk_evaluator(element_type, axis=-1, largest=True):
    model = topk_model(element_type, axis=axis, largest=int(largest))
    return ReferenceEvaluator(model)
