"""Gradients whose error names the op that made the index.

A gather refuses to differentiate through its indices without saying where they came
from. In the mode ``error`` the ops that return indices record their names, and the
transforms here put them into the message.
"""

import functools
import threading

from mlx import _selection
from mlx._overlay.originals import place, stock

# ``active`` while this thread is inside one of these transforms.
_transforming = threading.local()


def install(core):
    for transform in (grad, value_and_grad, vjp, jvp):
        place(core, transform)


def grad(fun, argnums=None, argnames=()):
    return _naming_the_op(stock.grad(fun, argnums, argnames))


def value_and_grad(fun, argnums=None, argnames=()):
    return _naming_the_op(stock.value_and_grad(fun, argnums, argnames))


def vjp(fun, primals, cotangents):
    return _call_naming_the_op(stock.vjp, fun, primals, cotangents)


def jvp(fun, primals, tangents):
    return _call_naming_the_op(stock.jvp, fun, primals, tangents)


def _naming_the_op(transform):
    @functools.wraps(transform)
    def call(*args, **kwargs):
        return _call_naming_the_op(transform, *args, **kwargs)

    return call


def _call_naming_the_op(transform, *args, **kwargs):
    """Calls ``transform``; a refusal to differentiate an index then names its op.

    The recorded names are forgotten when the outermost transform ends.
    """
    outermost = not getattr(_transforming, "active", False)
    _transforming.active = True
    try:
        return transform(*args, **kwargs)
    except ValueError as error:
        ops = _selection.take_error_ops()
        if ops and "with respect to indices" in str(error):
            message = _selection.index_gradient_error(", ".join(ops))
            raise ValueError(message) from error
        raise
    finally:
        if outermost:
            _transforming.active = False
            _selection.take_error_ops()
