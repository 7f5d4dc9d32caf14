"""Bad input raises when the op is called, with the message of the contract."""

import functools

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
        "kthvalue": lambda: mx.kthvalue(A, 1, axis),
        "quantile": lambda: mx.quantile(A, 0.5, axis),
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
        lambda: mx.kthvalue(mx.array(1.0), 1),
        lambda: mx.quantile(mx.array(1.0), 0.5, 0),
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


@pytest.mark.parametrize("kths", [[1, 8], (-9, 0, 3), [0, 0, -100]])
@pytest.mark.parametrize("descending", [True, False])
def test_one_kth_of_several_out_of_range(kths, descending):
    bad = next(kth for kth in kths if not -8 <= kth < 8)
    for name, op in (("argpartition", mx.argpartition), ("partition", mx.partition)):
        call = functools.partial(op, A, kths, descending=descending)
        assert refused(ValueError, call) == (
            f"[{name}] kth must be between -8 and 7 for axis 1 of an array with "
            f"shape (4,8), got {bad}."
        )


def test_kths_that_are_not_integers():
    for kths in ([0.5], ["1"], 1.0, None, [[1]], {1: 2}):
        assert "kth: int | Sequence[int]" in refused(
            TypeError, lambda kths=kths: mx.partition(A, kths)
        )


def test_descending_and_stable_are_bools_given_by_name():
    for op in (mx.sort, mx.argsort):
        refused(TypeError, lambda op=op: op(A, -1, True))
        refused(TypeError, lambda op=op: op(A, descending=1))
        refused(TypeError, lambda op=op: op(A, stable=None))
        assert "[" in refused(IndexError, lambda op=op: op(A, 2, descending=True))
        refused(IndexError, lambda op=op: op(mx.array(1.0), descending=True))
    refused(TypeError, lambda: mx.partition(A, 1, -1, True))
    refused(TypeError, lambda: mx.partition(A, 1, stable=True))


def test_keys_that_cannot_be_sorted_by():
    assert refused(ValueError, lambda: mx.lexsort([])) == (
        "[lexsort] there must be at least one key."
    )
    assert refused(ValueError, lambda: mx.lexsort([A, A[0]])) == (
        "[lexsort] all keys must have the same shape, got (4,8) and (8)."
    )
    assert refused(ValueError, lambda: mx.lexsort(mx.zeros((0, 3)))) == (
        "[lexsort] the first axis of the array lists the keys and must not be empty, "
        "got an array with shape (0,3)."
    )
    refused(ValueError, lambda: mx.lexsort(mx.array(1.0)))
    assert refused(IndexError, lambda: mx.lexsort([A], axis=2)) == (
        "[lexsort] axis must be between -2 and 1 for an array with shape (4,8), got 2."
    )
    assert "0 dimensions" in refused(IndexError, lambda: mx.lexsort(mx.zeros(3)))
    for bad in ([1, 2], 3, None, [A, "a"]):
        refused(TypeError, lambda bad=bad: mx.lexsort(bad))
    refused(TypeError, lambda: mx.lexsort([A], axis=None))


@pytest.mark.parametrize("k", [0, 9, -1, 2**31 - 1])
def test_k_of_kthvalue_out_of_range(k):
    for axis in (1, -1):
        assert refused(ValueError, lambda axis=axis: mx.kthvalue(A, k, axis)) == (
            "[kthvalue] k must be between 1 and 8 for axis 1 of an array with "
            f"shape (4,8), got {k}."
        )


@pytest.mark.parametrize(
    "k, kind", [(True, "bool"), (1.0, "float"), (np.True_, "bool"), ("2", "str")]
)
def test_k_of_kthvalue_that_is_not_an_integer(k, kind):
    assert f"of type {kind}" in refused(TypeError, lambda: mx.kthvalue(A, k))


def test_k_of_kthvalue_beyond_every_axis():
    assert str(2**31) in refused(ValueError, lambda: mx.kthvalue(A, 2**31))


def test_bad_arguments_of_quantile():
    for q, named in [(1.5, "1.5"), ([0.5, -1], "-1"), (np.array([0, 2]), "2")]:
        assert refused(ValueError, lambda q=q: mx.quantile(A, q)) == (
            f"[quantile] q must be between 0 and 1, got {named}."
        )
    for q in ("0.5", [0.5, None], [0.5, "x"], 1j):
        assert "q must be a number" in refused(TypeError, lambda q=q: mx.quantile(A, q))
    for q in ([0.5, [0.5]], [[0.5], 0.5], [[0.5], [0.5, 0.5]]):
        assert "the lists in q differ" in refused(
            ValueError, lambda q=q: mx.quantile(A, q)
        )
    message = refused(ValueError, lambda: mx.quantile(A, 0.5, method="cubic"))
    assert message.endswith("'nearest', 'midpoint'; got 'cubic'.")
    assert refused(ValueError, lambda: mx.quantile(A, 0.5, (0, -2))) == (
        "[quantile] axis 0 is given twice."
    )
    for a, q in [(A.astype(mx.complex64), 0.5), (A, mx.array(0.5 + 0j))]:
        assert "must not be complex" in refused(
            ValueError, lambda a=a, q=q: mx.quantile(a, q)
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


@pytest.mark.parametrize(
    "name", ["argsort", "searchsorted", "argmax", "argmin", "median"]
)
def test_ops_of_stock_keep_the_errors_of_stock(name):
    from mlx import _overlay

    bad = {
        "argsort": lambda op: op(A, 5),
        "searchsorted": lambda op: op(A, A),
        "argmax": lambda op: op(A, axis=7),
        "argmin": lambda op: op(A, axis=-3),
        "median": lambda op: op(A, axis=2),
    }[name]
    with pytest.raises(Exception) as ours:
        bad(getattr(mx, name))
    with pytest.raises(type(ours.value)) as theirs:
        bad(getattr(_overlay.stock, name))
    assert str(ours.value) == str(theirs.value)


# ---- arrays without elements -------------------------------------------------

KEY = mx.random.key(0)
OPS = {
    "argmax": lambda a, axis: mx.argmax(a, axis),
    "argmin": lambda a, axis: a.argmin(axis),
    "argpartition": lambda a, axis: mx.argpartition(a, 0, axis),
    "partition": lambda a, axis: mx.partition(a, 0, axis),
    "topk": lambda a, axis: mx.topk(a, 1, axis),
    "top_k": lambda a, axis: mx.top_k(a, 1, axis=axis).indices,
    "categorical": lambda a, axis: mx.random.categorical(a, axis, key=KEY),
    "kthvalue": lambda a, axis: mx.kthvalue(a, 1, axis).indices,
    "quantile": lambda a, axis: mx.quantile(a, 0.5, axis),
}


@pytest.mark.parametrize("name", OPS)
def test_an_axis_without_elements_is_an_error_that_says_so(name):
    rest = ", so k must be 0, got 1." if name.startswith("top") else "."
    for shape, axis in [((4, 0), -1), ((4, 0), 1), ((0, 4), 0), ((0,), 0), ((0, 0), 0)]:
        listed = "(" + ",".join(map(str, shape)) + ")"
        assert refused(
            ValueError, lambda s=shape, i=axis: OPS[name](mx.zeros(s), i)
        ) == (
            f"[{name}] axis {axis % len(shape)} of an array with shape {listed} has no "
            f"elements{rest}"
        )


@pytest.mark.parametrize("name", OPS)
def test_a_batch_without_rows_gives_a_result_without_rows(name):
    removed = name not in ("argpartition", "partition", "topk", "top_k")
    for shape, axis in [((0, 4), 1), ((0, 4), -1), ((4, 0), 0), ((2, 0, 3), 2)]:
        wanted = list(shape)
        if removed:
            del wanted[axis]
        elif name.startswith("top"):
            wanted[axis] = 1
        for a in (mx.zeros(shape), mx.zeros(shape, mx.bfloat16)):
            out = OPS[name](a, axis)
            mx.eval(out)
            assert out.shape == tuple(wanted)
            assert out.dtype == (
                a.dtype if name in ("partition", "topk", "quantile") else mx.uint32
            )
            assert mx.grad(lambda a, i=axis: OPS[name](a, i).sum() + a.sum())(
                a
            ).shape == tuple(shape)


def test_argmax_of_a_batch_without_rows_does_what_numpy_does():
    for shape, axis in [((0, 4), 1), ((3, 0, 2), 0), ((3, 0, 2), 2)]:
        for keepdims in (False, True):
            wanted = np.argmax(np.zeros(shape), axis, keepdims=keepdims).shape
            for op in (mx.argmax, mx.argmin):
                assert op(mx.zeros(shape), axis, keepdims).shape == wanted
                compiled = mx.compile(lambda a, i=axis, f=op, k=keepdims: f(a, i, k))
                assert compiled(mx.zeros(shape)).shape == wanted
    refused(ValueError, lambda: mx.argmax(mx.zeros((0, 4))))
    refused(ValueError, lambda: mx.array([]).argmin())


def test_a_shapeless_function_accepts_a_batch_without_rows_before_and_after_others():
    f = mx.compile(lambda a: mx.argmax(a, axis=-1), shapeless=True)
    for rows in (0, 3, 0):
        a = mx.broadcast_to(mx.array([1.0, 3.0, 2.0]), (rows, 3))
        assert f(a).tolist() == [1] * rows


def test_categorical_of_a_batch_without_rows_has_the_shape_that_was_asked_for():
    a = mx.zeros((0, 4))
    draw = mx.random.categorical
    assert draw(a, num_samples=3, key=KEY).shape == (0, 3)
    assert draw(a, shape=(5, 0), key=KEY).shape == (5, 0)
    assert draw(mx.zeros((2, 4)), num_samples=0, key=KEY).shape == (2, 0)
    assert draw(mx.zeros((2, 4)), shape=(0, 2), key=KEY).shape == (0, 2)
    assert draw(mx.zeros((4, 0)), axis=0, key=KEY).dtype == mx.uint32
    assert "At most one" in refused(ValueError, lambda: draw(a, -1, (0,), 3))
    assert "cannot be broadcast" in refused(ValueError, lambda: draw(a, shape=(0, 3)))
    assert "Invalid axis 2" in refused(IndexError, lambda: draw(a, 2))


def test_k_of_zero_is_allowed_on_an_axis_without_elements():
    for call in (mx.topk, lambda a, k: mx.top_k(a, k).indices):
        assert call(mx.zeros((4, 0)), 0).shape == (4, 0)
        assert call(mx.zeros((0, 4)), 0).shape == (0, 0)


def test_searchsorted_of_no_values_and_in_an_empty_sequence():
    assert mx.searchsorted(mx.arange(3.0), mx.zeros((0, 4))).shape == (0, 4)
    assert mx.searchsorted(mx.array([]), mx.array([1.0, -1.0])).tolist() == [0, 0]
