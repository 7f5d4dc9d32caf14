"""Each line of the list in docs/topk.md where another library has a different result.

A test's name is the key of its line. If a library changes, the test fails, and the
line is to be changed too.
"""

import pathlib
import re
import sys

import array_api_strict
import jax
import jax.numpy as jnp
import ml_dtypes
import mlx.core as mx
import numpy as np
import pytest
import torch
from jax import lax
from jax._src import lax_reference
from onnx import TensorProto
from onnx_models import arg_reduce_model, onnxruntime_session, topk_evaluator

PAGE = pathlib.Path(__file__).parents[2] / "docs/topk.md"
NAN = float("nan")
INF = float("inf")
NEGATIVE_NAN = float(np.copysign(np.nan, -1))


def test_every_line_has_a_test_and_every_test_a_line():
    section = PAGE.read_text().split("### Where other libraries differ")[1]
    keys = re.findall(r"^\| `(\w+)` \|", section.split("\n### ")[0], re.M)
    names = {name.removeprefix("test_") for name in dir(sys.modules[__name__])}
    tests = {name for name in names if f"test_{name}" in globals()}
    assert len(keys) == len(set(keys))
    assert set(keys) == tests - {"every_line_has_a_test_and_every_test_a_line"}


# ---- types, axes and arguments --------------------------------------------------


def test_index_type():
    a = np.array([3, 1, 2], np.float32)
    assert mx.argsort(mx.array(a)).dtype == mx.uint32
    assert np.argsort(a).dtype == np.int64
    assert torch.argsort(torch.tensor(a)).dtype == torch.int64
    assert jnp.argsort(a).dtype == jnp.int32
    theirs = array_api_strict.argsort(array_api_strict.asarray(a))
    assert theirs.dtype == array_api_strict.int64


def test_result_type():
    a = np.array([1, 2, 4, 8], np.int32)
    assert mx.median(mx.array(a)).dtype == mx.float32
    assert np.median(a).dtype == np.float64
    assert torch.median(torch.tensor(a)).dtype == torch.int32
    halves = a.astype(np.float16)
    assert mx.quantile(mx.array(halves), [0.3]).dtype == mx.float16
    assert np.quantile(halves, [0.3]).dtype == np.float64
    with pytest.raises(RuntimeError, match="must be either float or double"):
        torch.quantile(torch.tensor(halves), 0.3)


def test_values_only():
    a = [2.0, 3.0, 1.0]
    assert mx.topk(mx.array(a), 2).tolist() == [2, 3]
    assert torch.topk(torch.tensor(a), 2).values.tolist() == [3, 2]
    assert lax.top_k(jnp.array(a), 2)[0].tolist() == [3, 2]


def test_scalars():
    with pytest.raises(IndexError, match="0 dimensions"):
        mx.sort(mx.array(3.0))
    with pytest.raises(np.exceptions.AxisError):
        np.sort(np.float32(3))
    assert torch.sort(torch.tensor(3.0)).values.item() == 3


def test_no_positions():
    assert mx.argpartition(mx.array([3, 1, 2]), []).tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="must be integer"):
        np.argpartition([3, 1, 2], [])


# ---- NaN and zeros --------------------------------------------------------------


@pytest.mark.skipif(np.__version__ < "2.5", reason="NumPy 2.5 sorts in this order")
def test_nan_in_numpys_descending_order():
    a = np.array([1, NAN, 2], np.float32)
    assert mx.argsort(mx.array(a), descending=True).tolist() == [1, 2, 0]
    assert torch.argsort(torch.tensor(a), descending=True).tolist() == [1, 2, 0]
    assert jnp.argsort(a, descending=True).tolist() == [1, 2, 0]
    assert np.argsort(a, descending=True).tolist() == [2, 0, 1]


def test_negative_nan():
    a = np.array([1, NEGATIVE_NAN, 3], np.float32)
    assert mx.top_k(mx.array(a), 3).indices.tolist() == [1, 2, 0]
    assert lax.top_k(a, 3)[1].tolist() == [2, 0, 1]
    assert lax_reference.top_k(a, 3)[1].tolist() == [1, 2, 0]
    assert mx.argpartition(mx.array(a), 0).tolist()[0] == 0
    assert np.argpartition(a, 0).tolist()[0] == 0
    assert jnp.argpartition(a, 0).tolist()[0] == 1


def test_zeros_in_jax_top_k():
    a = np.array([-0.0, 0.0, -0.0], np.float32)
    assert mx.top_k(mx.array(a), 3).indices.tolist() == [0, 1, 2]
    assert lax.top_k(a, 3)[1].tolist() == [1, 0, 2]
    assert lax_reference.top_k(a, 3)[1].tolist() == [0, 1, 2]


def test_complex_nan():
    a = np.array([complex(1, NAN), complex(NAN, 1), complex(2, 1)], np.complex64)
    a = np.append(a, np.complex64(complex(NAN, 0)))
    assert mx.argsort(mx.array(a)).tolist() == [2, 0, 1, 3]
    assert np.argsort(a, stable=True).tolist() == [2, 0, 3, 1]
    assert jnp.argsort(a).tolist() == [0, 2, 3, 1]


@pytest.mark.parametrize("name", ["ArgMax", "ArgMin"])
def test_nan_in_onnx_argmax(name):
    a = np.array([2, NAN, 3, 1], np.float32)
    session = onnxruntime_session(arg_reduce_model(name, TensorProto.FLOAT))
    op = {"ArgMax": mx.argmax, "ArgMin": mx.argmin}[name]
    assert op(mx.array(a)).item() == 1
    (theirs,) = session.run(["index"], {"a": a})
    assert theirs == {"ArgMax": 2, "ArgMin": 3}[name]


def test_bfloat16_nan_in_onnx_evaluator():
    a = np.array([1, NAN, 2, NAN, 3], ml_dtypes.bfloat16)
    ours = mx.top_k(mx.array([1, NAN, 2, NAN, 3], mx.bfloat16), 5)
    assert ours.indices.tolist() == [1, 3, 4, 2, 0]
    evaluator = topk_evaluator(TensorProto.BFLOAT16)
    _, theirs = evaluator.run(None, {"a": a, "k": np.array([5])})
    assert theirs.tolist() != [1, 3, 4, 2, 0]


def test_nan_in_torch_searchsorted():
    a = [1.0, 2.0, INF, NAN, NAN]
    for key, left, right in ((NAN, 3, 5), (INF, 2, 3)):
        ours = [
            mx.searchsorted(mx.array(a), mx.array(key), side).item()
            for side in ("left", "right")
        ]
        numpys = [np.searchsorted(a, key, side) for side in ("left", "right")]
        assert ours == numpys == [left, right]
    theirs = torch.searchsorted(torch.tensor(a), torch.tensor([NAN]), side="left")
    assert theirs.item() == 5
    theirs = torch.searchsorted(torch.tensor(a), torch.tensor([INF]), side="right")
    assert theirs.item() == 5


def test_nan_gradient():
    a = [1.0, NAN, 3.0]
    for ours in (mx.median, lambda v: mx.quantile(v, 0.5)):
        assert mx.grad(ours)(mx.array(a)).tolist() == [0, 0, 0]
    for jaxs in (jnp.median, lambda v: jnp.quantile(v, 0.5)):
        assert jax.grad(jaxs)(jnp.array(a)).tolist() == [0, 0, 0]
    for theirs in (torch.median, lambda v: torch.quantile(v, 0.5)):
        leaf = torch.tensor(a, requires_grad=True)
        theirs(leaf).backward()
        assert leaf.grad.tolist() == [0, 1, 0]


# ---- quantiles ------------------------------------------------------------------


def test_lower_median():
    a = [1.0, 2.0]
    assert mx.median(mx.array(a)).item() == np.median(a) == jnp.median(jnp.array(a))
    assert mx.median(mx.array(a)).item() == 1.5
    assert torch.median(torch.tensor(a)).item() == 1


def test_torch_median_gradient():
    a = [1.0, 1.0, 3.0]
    assert mx.grad(mx.median)(mx.array(a)).tolist() == [0, 1, 0]
    assert jax.grad(jnp.median)(jnp.array(a)).tolist() == [0, 1, 0]
    leaf = torch.tensor(a, requires_grad=True)
    torch.median(leaf).backward()
    assert leaf.grad.tolist() == [0.5, 0.5, 0]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_infinite_neighbour():
    a = np.array([2, INF], np.float32)
    for q in (0.0, 0.5, 1.0):
        assert np.isnan(mx.quantile(mx.array(a), q).item())
        assert np.isnan(np.quantile(a, q))
    assert np.quantile(a, 0) == 2
    assert jnp.quantile(a, 0.0) == 2
    assert jnp.quantile(a, 0.5) == INF
    assert torch.quantile(torch.tensor(a), torch.tensor([0.0])).item() == 2


def test_jax_nearest():
    a = np.array([0, 1, 2, 3], np.float32)
    ours = mx.quantile(mx.array(a), 0.5, method="nearest").item()
    assert ours == np.quantile(a, 0.5, method="nearest") == 2
    assert torch.quantile(torch.tensor(a), 0.5, interpolation="nearest").item() == 2
    assert jnp.quantile(a, 0.5, method="nearest") == 1


def test_unknown_methods():
    a = np.array([0, 1, 2, 3], np.float32)
    ours = mx.quantile(mx.array(a), 0.3, method="hazen").item()
    assert ours == pytest.approx(np.quantile(a, 0.3, method="hazen"))
    with pytest.raises(RuntimeError, match="interpolation must be one of"):
        torch.quantile(torch.tensor(a), 0.3, interpolation="hazen")
    with pytest.raises(ValueError, match="method can only be"):
        jnp.quantile(a, 0.3, method="hazen")


def test_q_out_of_range():
    a = np.array([0, 1, 2], np.float32)
    with pytest.raises(ValueError, match="between 0 and 1"):
        mx.quantile(mx.array(a), 1.5)
    with pytest.raises(ValueError, match="in the range"):
        np.quantile(a, 1.5)
    with pytest.raises(RuntimeError, match="in the range"):
        torch.quantile(torch.tensor(a), 1.5)
    assert jnp.quantile(a, 1.5) == 2
    traced = mx.compile(lambda q: mx.quantile(mx.array(a), q))
    assert np.isnan(traced(mx.array(1.5)).item())


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
def test_median_of_nothing():
    with pytest.raises(ValueError, match="empty axis"):
        mx.median(mx.array([]))
    assert np.isnan(np.median([]))
    assert np.isnan(torch.median(torch.tensor([])).item())


# ---- searches -------------------------------------------------------------------


def test_integers_of_two_types():
    a = np.array([2**53, 2**53 + 1, 2**53 + 2], np.uint64)
    key = np.array([2**53 + 1], np.int64)
    assert mx.searchsorted(mx.array(a), mx.array(key)).tolist() == [1]
    assert np.searchsorted(a, key).tolist() == [0]
