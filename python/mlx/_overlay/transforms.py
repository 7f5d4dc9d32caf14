"""``grad``, ``vjp`` and others, whose errors name the op that made the index.

A gather refuses to differentiate through its indices without saying where they came
from. In the mode ``error`` the ops that return indices record their names, and the
transforms here put them into the message.
"""

import threading

import mlx.core as mx
from mlx import _selection
from mlx._overlay.index_outputs import leaves
from mlx._overlay.originals import name_like, place, stock
from mlx._overlay.vmap import tracing


class _State(threading.local):
    # Whether this thread is inside one of these transforms.
    active = False


_state = _State()
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
    hidden = []

    def traced(*args):
        outputs = fun(*args)
        if _has_error_ops():
            arrays = [a for a in leaves(outputs) if isinstance(a, mx.array)]
            hidden.append(_selection.hide_stopped_indices(arrays))
        return outputs

    try:
        return _jvp(traced, primals, tangents)
    finally:
        for changed in hidden:
            _selection.show_indices(changed)


def _naming_the_op(transform):
    """Returns ``transform``, whose error about an index names the op that made it.

    The recorded names of ops are forgotten when the outermost transform ends.
    """

    def call(*args, **kwargs):
        outermost = not _state.active
        _state.active = True
        under_vmap = tracing.depth > 0
        tracing.differentiating += under_vmap
        try:
            return transform(*args, **kwargs)
        except ValueError as error:
            _raise_with_names(error)
            raise
        finally:
            tracing.differentiating -= under_vmap
            if outermost:
                _state.active = False
                if _has_error_ops():
                    _selection.take_error_ops()

    return call


def _raise_with_names(error):
    ops = _selection.take_error_ops()
    if ops and "with respect to indices" in str(error):
        message = _selection.index_gradient_error(", ".join(ops))
        raise ValueError(message) from error


# ``stock`` has its functions by now: ``load`` fills it before it imports this module.
_vjp = _naming_the_op(stock.vjp)
_jvp = _naming_the_op(stock.jvp)
