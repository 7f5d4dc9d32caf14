"""``grad``, ``vjp`` and the like, with an error that names the op of an index.

A gather refuses to differentiate through its indices without saying where they came
from. In the mode ``error`` the ops that return indices record their names, and the
transforms here put them into the message.
"""

import functools
import threading

from mlx import _selection
from mlx._overlay.originals import place, stock

# ``active`` is True while this thread is inside one of these transforms.
_transforming = threading.local()


def install(core):
    for transform in (grad, value_and_grad, vjp, jvp):
        place(core, transform)


def grad(fun, argnums=None, argnames=()):
    return _naming_the_op(stock.grad(fun, argnums, argnames), fun)


def value_and_grad(fun, argnums=None, argnames=()):
    return _naming_the_op(stock.value_and_grad(fun, argnums, argnames), fun)


def vjp(fun, primals, cotangents):
    return _vjp(fun, primals, cotangents)


def jvp(fun, primals, tangents):
    return _jvp(fun, primals, tangents)


def _naming_the_op(transform, named_like):
    """Returns ``transform``, whose error about an index names the op that made it.

    The recorded names of ops are forgotten when the outermost transform ends. The
    result has the name and the docstring of ``named_like``.
    """

    def call(*args, **kwargs):
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

    return functools.update_wrapper(call, named_like)


# ``stock`` has its functions by now: ``load`` fills it before it imports this module.
_vjp = _naming_the_op(stock.vjp, stock.vjp)
_jvp = _naming_the_op(stock.jvp, stock.jvp)
