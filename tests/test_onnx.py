"""The test cases that ONNX ships for its TopK: same values, same indices."""

import warnings

import mlx.core as mx
import numpy as np
import pytest
from onnx import helper
from onnx.backend.test.case.node import collect_testcases

# ONNX's defaults for attributes that a node leaves out.
DEFAULTS = {"axis": -1, "largest": 1, "sorted": 1}


@pytest.fixture(scope="module")
def cases():
    # To find these, ONNX builds the cases of every op. Some of them overflow on
    # purpose, and some use deprecated functions of Python.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return collect_testcases("TopK")


def attributes_of(case):
    (node,) = case.model.graph.node
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return DEFAULTS | given


def assert_same(result, wanted, name):
    values, indices = wanted
    assert np.array(result.values).dtype == values.dtype, name
    np.testing.assert_array_equal(np.array(result.values), values, name)
    np.testing.assert_array_equal(np.array(result.indices), indices, name)


def test_onnx_still_ships_seven_cases_or_more(cases):
    assert len(cases) >= 7
    assert all(case.data_sets for case in cases)


def test_topk_is_what_onnx_says(cases):
    for case in cases:
        node = attributes_of(case)
        for (a, k), wanted in case.data_sets:
            result = mx.topk(
                mx.array(a),
                k.item(),
                node["axis"],
                largest=bool(node["largest"]),
                sorted=bool(node["sorted"]),
                return_indices=True,
            )
            assert_same(result, wanted, case.name)


def test_top_k_is_what_onnx_says(cases):
    for case in cases:
        node = attributes_of(case)
        for (a, k), wanted in case.data_sets:
            result = mx.top_k(
                mx.array(a),
                k.item(),
                axis=node["axis"],
                mode="largest" if node["largest"] else "smallest",
                sorted=bool(node["sorted"]),
            )
            assert_same(result, wanted, case.name)
