"""``grad``, ``vjp`` and the like, with an error that names the op of an index.

A gather refuses to differentiate through its indices without saying where they came
from. In the mode ``error`` the ops that return indices record their names, and the
transforms here put them into the message.
"""

import mlx.core as mx
from mlx import _selection
from mlx._overlay.index_outputs import leaves
from mlx._overlay.originals import name_like, place, stock

_enter = _selection.enter_transform
_leave = _selection.leave_transform
_has_error_ops = _selection.has_error_ops


def install(core):
    for transform in (grad, value_and_grad, vjp, jvp):
        place(core, transform)


def grad(fun, argnums=None, argnames=()):
    return name_like(fun, _naming_the_op(stock.grad(fun, argnums, argnames)))


def value_and_grad(fun, argnums=None, argnames=()):
    return name_like(fun, _naming_the_op(stock.value_and_grad(fun, argnums, argnames)))


def vjp(fun, primals, cotangents):
    return _vjp(fun, primals, cotangents)


def jvp(fun, primals, tangents):
    hidden = None

    def traced(*args):
        nonlocal hidden
        outputs = fun(*args)
        if _has_error_ops():
            arrays = [a for a in leaves(outputs) if isinstance(a, mx.array)]
            hidden = _selection.hide_stopped_indices(arrays)
        return outputs

    try:
        return _jvp(traced, primals, tangents)
    finally:
        if hidden:
            _selection.show_indices(hidden)


def _naming_the_op(transform):
    """Returns ``transform``, whose error about an index names the op that made it."""

    def call(*args, **kwargs):
        _enter()
        try:
            return transform(*args, **kwargs)
        except ValueError as error:
            _raise_with_names(error)
            raise
        finally:
            _leave()

    return call


def _raise_with_names(error):
    ops = _selection.take_error_ops()
    if ops and "with respect to indices" in str(error):
        message = _selection.index_gradient_error(", ".join(ops))
        raise ValueError(message) from error


# ``stock`` has its functions by now: ``load`` fills it before it imports this module.
_vjp = _naming_the_op(stock.vjp)
_jvp = _naming_the_op(stock.jvp)
