"""``vmap``, which counts its depth, because some ops of MLX cannot be vectorised."""

import functools
import threading

from mlx._overlay.originals import place, stock

# ``depth`` is how many functions this thread is tracing for vmap, nested.
_tracing = threading.local()


def install(core):
    place(core, vmap)


def under_vmap():
    """Returns whether this thread is tracing a function for ``vmap``."""
    return getattr(_tracing, "depth", 0) > 0


def vmap(fun, in_axes=0, out_axes=0):
    @functools.wraps(fun)
    def mapped(*args, **kwargs):
        _tracing.depth = getattr(_tracing, "depth", 0) + 1
        try:
            return fun(*args, **kwargs)
        finally:
            _tracing.depth -= 1

    return stock.vmap(mapped, in_axes, out_axes)
