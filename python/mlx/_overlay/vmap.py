"""``vmap``, which records that it is tracing a function.

``mlx.nn.routing`` asks for this with ``under_vmap``, to avoid ops of MLX that cannot
be vectorised.
"""

import functools
import threading

from mlx._overlay.originals import place, stock

# ``depth`` is how many nested calls of ``vmap`` this thread is tracing.
_tracing = threading.local()


def install(core):
    place(core, vmap)


def under_vmap():
    """Returns whether this thread is tracing a function for ``vmap``."""
    return getattr(_tracing, "depth", 0) > 0


def vmap(fun, in_axes=0, out_axes=0):
    if not callable(fun):
        return stock.vmap(fun, in_axes, out_axes)  # MLX's own error

    @functools.wraps(fun)
    def mapped(*args, **kwargs):
        _tracing.depth = getattr(_tracing, "depth", 0) + 1
        try:
            return fun(*args, **kwargs)
        finally:
            _tracing.depth -= 1

    return stock.vmap(mapped, in_axes, out_axes)
