"""The index-gradient option: what a gradient through an index is in each mode."""

import os
import pathlib
import subprocess
import sys
import tempfile
import threading

import mlx.core as mx
import numpy as np
import pytest

from cases import ENGINES

X = mx.array([[3.0, 1, 2, 1], [0, 5, 5, 4]])

# Every op that returns indices, as a function of X alone.
OPS = {
    "argmax": lambda x: mx.argmax(x, axis=-1, keepdims=True),
    "argmin": lambda x: mx.argmin(x, axis=-1, keepdims=True),
    "array.argmax": lambda x: x.argmax(-1, keepdims=True),
    "array.argmin": lambda x: x.argmin(axis=-1, keepdims=True),
    "argsort": lambda x: mx.argsort(x),
    "argpartition": lambda x: mx.argpartition(x, -2, axis=-1),
    "searchsorted": lambda x: mx.searchsorted(mx.arange(4.0), x) % 4,
    "searchsorted in x": lambda x: mx.searchsorted(x[0], mx.arange(4.0))[None] % 4,
    "argsort descending": lambda x: mx.argsort(x, descending=True),
    "argpartition descending": lambda x: mx.argpartition(x, 1, descending=True),
    "argpartition at several": lambda x: mx.argpartition(x, [0, -2]),
    "argpartition at none": lambda x: mx.argpartition(x, []),
    "lexsort": lambda x: mx.lexsort([x, mx.floor(x / 2)]),
    "lexsort of one array": lambda x: mx.lexsort(x)[None],
    "searchsorted in rows": lambda x: mx.searchsorted(x, x, axis=1) % 4,
    "searchsorted by a sorter": lambda x: (
        mx.searchsorted(x, x, axis=1, sorter=mx.array([[1, 3, 2, 0], [0, 3, 1, 2]])) % 4
    ),
    "categorical": lambda x: mx.random.categorical(x, num_samples=3, key=KEY) % 4,
    "topk": lambda x: mx.topk(x, 2, return_indices=True)[1],
    "top_k": lambda x: mx.top_k(x, 2).indices,
}
KEY = mx.random.key(0)
ops = pytest.mark.parametrize("name", OPS)
modes = pytest.mark.parametrize("mode", ["stop", "zero", "error"])


def producer(name):
    return name.split()[0].removeprefix("array.")


def gathered(name):
    return lambda x: mx.take_along_axis(x**2, OPS[name](x), -1).sum()


@pytest.fixture(autouse=True)
def default_mode():
    yield
    mx.set_default_index_gradient("stop")


# ---- stop --------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("engine", ENGINES)
@ops
def test_stop_differentiates_through_the_values_only(name, engine):
    with ENGINES[engine]():
        indices = OPS[name](X)
        gradient = mx.grad(gathered(name))(X)
    counts = np.zeros(X.shape, np.float32)
    where = np.broadcast_to(np.array(indices).astype(int), (2, indices.shape[-1]))
    for row, chosen in enumerate(where):
        np.add.at(counts[row], chosen, 1)
    np.testing.assert_array_equal(np.array(gradient), 2 * np.array(X) * counts)


@ops
def test_stop_works_forward_and_to_second_order(name):
    tangent = mx.ones_like(X)
    gradient = mx.grad(gathered(name))(X)
    _, (slope,) = mx.jvp(gathered(name), [X], [tangent])
    assert slope.item() == gradient.sum().item()
    second = mx.grad(lambda x: mx.grad(gathered(name))(x).sum())(X)
    _, (forward,) = mx.jvp(mx.grad(gathered(name)), [X], [tangent])
    assert second.tolist() == forward.tolist()
    assert mx.any(second != 0).item()


@ops
def test_vjp_pairs_cotangents_with_outputs_that_are_indices(name):
    indices = OPS[name](X)
    cotangent = mx.ones(indices.shape)
    outputs, (gradient,) = mx.vjp(OPS[name], [X], [cotangent])
    assert outputs[0].tolist() == indices.tolist()
    assert gradient.tolist() == mx.zeros_like(X).tolist()

    def both(x):
        return OPS[name](x), x * 3

    _, (gradient,) = mx.vjp(both, [X], [cotangent, mx.ones_like(X)])
    assert gradient.tolist() == (3 * mx.ones_like(X)).tolist()


@pytest.mark.parametrize("name", [name for name in OPS if name[:3] != "top"])
def test_stop_puts_nothing_on_the_tape(name):
    """The op reads its input through a StopGradient, where the tape ends."""
    seen = []

    def f(x):
        seen.append(OPS[name](x))
        return x.sum()

    mx.grad(f)(X)
    graph = dot(seen[0])
    assert "StopGradient" in graph and "IndexOutput" not in graph


@ops
def test_the_option_costs_nothing_outside_a_transform(name):
    assert "StopGradient" not in dot(OPS[name](X))
    with mx.index_gradient("error"):
        assert "IndexOutput" not in dot(OPS[name](X))


def dot(a):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "graph.dot")
        mx.export_to_dot(path, a)
        return pathlib.Path(path).read_text()


# ---- zero --------------------------------------------------------------------


@ops
def test_zero_gives_zero_gradients_and_zero_tangents(name):
    with mx.index_gradient("zero"):
        indices = OPS[name](X)
        _, (gradient,) = mx.vjp(OPS[name], [X], [mx.ones(indices.shape)])
        _, (tangent,) = mx.jvp(OPS[name], [X], [mx.ones_like(X)])
    assert gradient.tolist() == mx.zeros_like(X).tolist()
    assert gradient.dtype == X.dtype
    assert tangent.dtype == indices.dtype and tangent.shape == indices.shape
    assert not mx.any(tangent).item()


@ops
def test_in_mode_zero_a_gather_still_has_no_gradient_for_its_indices(name):
    with mx.index_gradient("zero"), pytest.raises(ValueError, match="indices"):
        mx.grad(gathered(name))(X)


# ---- error -------------------------------------------------------------------


@ops
def test_error_names_the_op_and_both_remedies(name):
    def value_of_index(x):
        return OPS[name](x).astype(mx.float32).sum()

    attempts = [
        lambda: mx.grad(gathered(name))(X),
        lambda: mx.grad(value_of_index)(X),
        lambda: mx.value_and_grad(value_of_index)(X),
        lambda: mx.vjp(value_of_index, [X], [mx.array(1.0)]),
        lambda: mx.jvp(value_of_index, [X], [X]),
        lambda: mx.jvp(gathered(name), [X], [X]),
    ]
    for attempt in attempts:
        with mx.index_gradient("error"), pytest.raises(ValueError) as caught:
            attempt()
        message = str(caught.value)
        assert message.startswith(f"[{producer(name)}] Indices have no gradient")
        assert "mx.stop_gradient" in message
        assert "mx.index_gradient('stop')" in message


@ops
def test_error_allows_code_that_does_not_differentiate_an_index(name):
    def stopped(x):
        indices = mx.stop_gradient(OPS[name](x))
        return mx.take_along_axis(x**2, indices, -1).sum()

    def ignored(x):
        OPS[name](x)
        return (x**2).sum()

    with mx.index_gradient("error"):
        gradient = mx.grad(stopped)(X)
        assert mx.grad(ignored)(X).tolist() == (2 * X).tolist()
    assert gradient.tolist() == mx.grad(gathered(name))(X).tolist()


def test_error_names_an_op_called_before_another_transform():
    def f(x):
        indices = mx.argsort(x)
        inner = mx.grad(lambda x: mx.topk(x, 1, return_indices=True)[0].sum())(x)
        return (mx.take_along_axis(x, indices, -1) * inner).sum()

    with mx.index_gradient("error"), pytest.raises(ValueError, match=r"^\[argsort"):
        mx.grad(f)(X)


def test_error_leaves_other_errors_unchanged():
    with mx.index_gradient("error"), pytest.raises(ValueError, match="cotangent shape"):
        mx.grad(lambda x: mx.topk(x, 1))(X)


@modes
def test_values_have_their_gradient_in_every_mode(mode):
    with mx.index_gradient(mode):
        gradient = mx.grad(lambda x: mx.topk(x, 2, return_indices=True)[0].sum())(X)
        part = mx.grad(lambda x: mx.partition(x, 1)[:, :2].sum())(X)
    assert gradient.tolist() == [[1, 0, 1, 0], [0, 1, 1, 0]]
    assert part.tolist() == [[0, 1, 0, 1], [1, 0, 0, 1]]


# ---- the option --------------------------------------------------------------


def test_the_default_is_stop():
    assert mx.default_index_gradient() == "stop"


@modes
def test_the_process_default_holds_outside_a_scope(mode):
    mx.set_default_index_gradient(mode)
    assert mx.default_index_gradient() == mode
    if mode == "stop":
        mx.grad(gathered("argsort"))(X)
    else:
        with pytest.raises(ValueError):
            mx.grad(gathered("argsort"))(X)


def test_scopes_nest_and_an_exception_ends_them():
    scope = mx.index_gradient("error")
    assert scope.mode == "error"
    with scope, mx.index_gradient("stop"):
        mx.grad(gathered("argsort"))(X)
    with pytest.raises(KeyError), scope, scope:
        raise KeyError
    mx.grad(gathered("argsort"))(X)


def test_a_scope_is_left_once_and_on_its_own_thread():
    scope = mx.index_gradient("zero")
    with pytest.raises(RuntimeError, match="index_gradient was exited on another"):
        scope.__exit__(None, None, None)
    caught = []

    def leave():
        try:
            scope.__exit__(None, None, None)
        except RuntimeError as error:
            caught.append(error)

    with scope:
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
    assert len(caught) == 1
    mx.grad(gathered("argsort"))(X)


def test_the_mode_is_read_when_the_op_is_called():
    def f(x):
        with mx.index_gradient("error"):
            return gathered("argsort")(x)

    with pytest.raises(ValueError, match=r"\[argsort\]"):
        mx.grad(f)(X)

    def g(x):
        indices = mx.argsort(x)
        with mx.index_gradient("error"):
            return mx.take_along_axis(x, indices, -1).sum()

    assert mx.grad(g)(X).tolist() == mx.ones_like(X).tolist()


def test_the_scope_is_per_thread_and_the_default_per_process():
    results = {}

    def work(name):
        try:
            results[name] = mx.grad(gathered("argsort"))(X).tolist()
        except ValueError as error:
            results[name] = str(error)

    with mx.index_gradient("error"):
        thread = threading.Thread(target=work, args=("in a scope elsewhere",))
        thread.start()
        thread.join()
    mx.set_default_index_gradient("error")
    thread = threading.Thread(target=work, args=("under the default",))
    thread.start()
    thread.join()
    assert results["in a scope elsewhere"] == (2 * X).tolist()
    assert results["under the default"].startswith("[argsort]")


def test_a_bad_mode_raises_and_lists_the_good_ones():
    for attempt in (mx.index_gradient, mx.set_default_index_gradient):
        with pytest.raises(ValueError, match="'stop', 'zero' or 'error', got 'no'"):
            attempt("no")
    with pytest.raises(TypeError):
        mx.index_gradient(3)


@pytest.mark.parametrize("value, ok", [("zero", True), ("error", True), ("no", False)])
def test_the_environment_variable_is_read_at_import(value, ok):
    program = "import mlx.core as mx; print(mx.default_index_gradient())"
    environment = {**os.environ, "MLX_INDEX_GRADIENT": value}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
    )
    if ok:
        assert done.stdout.strip() == value, done.stderr
    else:
        assert done.returncode != 0
        assert "'stop', 'zero' or 'error', got 'no'" in done.stderr


# ---- error, behind a stop_gradient -------------------------------------------

# What a program may do with an index before it stops the gradient.
STOPPED = {
    "the index": lambda x, indices: mx.take_along_axis(
        x**2, mx.stop_gradient(indices), -1
    ),
    "a part of it": lambda x, indices: mx.take_along_axis(
        x**2, mx.stop_gradient(indices[..., :1] % 4), -1
    ),
    "a float of it": lambda x, indices: (
        x[..., :1] ** 2 * mx.stop_gradient(indices.astype(mx.float32))
    ),
    "what is gathered": lambda x, indices: (
        x[..., :1] ** 2 + mx.stop_gradient(mx.take_along_axis(x, indices, -1))
    ),
}


@pytest.mark.parametrize("what", STOPPED)
@ops
def test_error_accepts_what_is_behind_a_stop_gradient(name, what):
    def f(x):
        return STOPPED[what](x, OPS[name](x)).sum()

    def derivatives():
        tangent = mx.arange(8.0).reshape(2, 4)
        return [
            mx.grad(f)(X),
            mx.jvp(f, [X], [tangent])[1][0],
            mx.jvp(mx.grad(f), [X], [tangent])[1][0],
            mx.grad(lambda x: mx.jvp(f, [x], [tangent])[1][0])(X),
            mx.jvp(lambda x: mx.jvp(f, [x], [tangent])[1], [X], [tangent])[1][0],
            mx.compile(lambda x: mx.jvp(f, [x], [tangent])[1][0])(X),
            mx.jvp(mx.checkpoint(f), [X], [tangent])[1][0],
        ]

    wanted = [a.tolist() for a in derivatives()]
    with mx.index_gradient("error"):
        assert [a.tolist() for a in derivatives()] == wanted


def test_error_in_jvp_is_raised_if_any_use_of_the_index_is_not_stopped():
    def half_stopped(x):
        indices = mx.argsort(x)
        stopped = mx.take_along_axis(x, mx.stop_gradient(indices), -1)
        return stopped.sum() + indices.astype(mx.float32).sum()

    def nested(x):
        return mx.argsort(mx.argsort(x)).astype(mx.float32).sum()

    for f in (half_stopped, nested):
        with mx.index_gradient("error"), pytest.raises(ValueError, match=r"\[argsort"):
            mx.jvp(f, [X], [X])


def test_an_inner_jvp_leaves_the_index_to_the_outer_transform():
    """The inner function stops its use of the index. The outer one does not."""
    kept = []

    def inner(x):
        kept.append(mx.argsort(x))
        return mx.take_along_axis(x, mx.stop_gradient(kept[0]), -1).sum()

    def outer(x):
        _, (slope,) = mx.jvp(inner, [x], [mx.ones_like(x)])
        return slope + kept.pop().astype(mx.float32).sum()

    with mx.index_gradient("error"), pytest.raises(ValueError, match=r"\[argsort"):
        mx.grad(outer)(X)
