"""Bad input raises when the op is called, with the message of the contract."""

import mlx.core as mx
import numpy as np
import pytest

A = mx.zeros((4, 8))


def refused(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("k", [9, -1, 2**31 - 1])
def test_k_out_of_range(k):
    for name, call in (
        ("topk", lambda: mx.topk(A, k, axis=1)),
        ("top_k", lambda: mx.top_k(A, k, axis=-1)),
    ):
        assert refused(ValueError, call) == (
            f"[{name}] k must be between 0 and 8 for axis 1 of an array with "
            f"shape (4,8), got {k}."
        )


@pytest.mark.parametrize("k", [2**31, -(2**40), 10**30])
def test_k_beyond_every_axis(k):
    message = refused(ValueError, lambda: mx.topk(A, k))
    assert message.startswith("[topk] k must be between 0 and") and str(k) in message


@pytest.mark.parametrize(
    "k, kind",
    [(True, "bool"), (1.0, "float"), (np.True_, "bool"), ("2", "str"), (None, "None")],
)
def test_k_that_is_not_an_integer(k, kind):
    for call in (lambda: mx.topk(A, k), lambda: mx.top_k(A, k)):
        assert kind in refused(TypeError, call)


@pytest.mark.parametrize("axis", [2, -3, 100])
def test_an_axis_out_of_range(axis):
    for name, call in {
        "topk": lambda: mx.topk(A, 1, axis),
        "top_k": lambda: mx.top_k(A, 1, axis=axis),
        "argpartition": lambda: mx.argpartition(A, 1, axis),
        "partition": lambda: mx.partition(A, 1, axis),
    }.items():
        assert refused(IndexError, call) == (
            f"[{name}] axis must be between -2 and 1 for an array with shape (4,8), "
            f"got {axis}."
        )


def test_an_axis_of_a_scalar():
    for call in (
        lambda: mx.topk(mx.array(1.0), 1),
        lambda: mx.top_k(mx.array(1.0), 1, axis=0),
        lambda: mx.argpartition(mx.array(1.0), 0),
    ):
        assert "array with 0 dimensions" in refused(IndexError, call)


def test_axis_none_is_an_error_for_top_k():
    refused(TypeError, lambda: mx.top_k(A, 1, axis=None))


def test_an_unknown_mode():
    message = refused(ValueError, lambda: mx.top_k(A, 1, mode="biggest"))
    assert message == "[top_k] mode must be 'largest' or 'smallest', got 'biggest'."


@pytest.mark.parametrize("kth", [8, -9])
def test_kth_out_of_range(kth):
    for name, op in (("argpartition", mx.argpartition), ("partition", mx.partition)):
        assert refused(ValueError, lambda op=op: op(A, kth)) == (
            f"[{name}] kth must be between -8 and 7 for axis 1 of an array with "
            f"shape (4,8), got {kth}."
        )


def test_arguments_that_are_positional_only_or_keyword_only():
    refused(TypeError, lambda: mx.topk(a=A, k=1))
    refused(TypeError, lambda: mx.top_k(x=A, k=1))
    refused(TypeError, lambda: mx.top_k(A, 1, 0))
    refused(TypeError, lambda: mx.topk(A, 1, -1, False))
    refused(TypeError, lambda: mx.topk(A))
    refused(TypeError, lambda: mx.topk([1, 2, 3], 1))


def test_nothing_is_evaluated_when_the_op_is_called():
    """Checks the shape of the result. Computing the input would take 4 GiB."""
    values = mx.topk(mx.zeros((2**15, 2**15)) + 1, 1)
    assert values.shape == (2**15, 1)


@pytest.mark.parametrize("name", ["argsort", "searchsorted", "argmax", "argmin"])
def test_ops_of_stock_keep_the_errors_of_stock(name):
    from mlx import _overlay

    bad = {
        "argsort": lambda op: op(A, 5),
        "searchsorted": lambda op: op(A, A),
        "argmax": lambda op: op(A, axis=7),
        "argmin": lambda op: op(mx.zeros((0,))),
    }[name]
    with pytest.raises(Exception) as ours:
        bad(getattr(mx, name))
    with pytest.raises(type(ours.value)) as theirs:
        bad(getattr(_overlay.stock, name))
    assert str(ours.value) == str(theirs.value)
