"""``vmap``, which records that it is tracing a function.

``mlx.nn.routing`` asks for this with ``under_vmap``, to avoid ops of MLX that cannot
be vectorised.
"""

import threading

from mlx._overlay.originals import name_like, place, stock


class _Tracing(threading.local):
    """What this thread is tracing."""

    # How many nested calls of ``vmap``.
    depth = 0
    # How many derivatives (``grad``, ``vjp``, ...) inside a ``vmap``.
    differentiating = 0


tracing = _Tracing()


def install(core):
    place(core, vmap)


def under_vmap():
    """Returns whether this thread is tracing a function for ``vmap``."""
    return tracing.depth > 0


def vmap(fun, in_axes=0, out_axes=0):
    def mapped(*args, **kwargs):
        tracing.depth += 1
        try:
            return fun(*args, **kwargs)
        finally:
            tracing.depth -= 1

    return stock.vmap(name_like(fun, mapped), in_axes, out_axes)
