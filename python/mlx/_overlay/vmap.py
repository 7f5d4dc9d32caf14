"""``vmap``, which records that it is tracing a function.

``mlx.nn.routing`` asks for this with ``under_vmap``, to avoid ops of MLX that cannot
be vectorised.
"""

from mlx import _selection
from mlx._overlay.originals import name_like, place, stock

under_vmap = _selection.under_vmap
_enter = _selection.enter_vmap
_leave = _selection.leave_vmap


def install(core):
    place(core, vmap)


def vmap(fun, in_axes=0, out_axes=0):
    if not callable(fun):
        return stock.vmap(fun, in_axes, out_axes)  # MLX's own error

    def mapped(*args, **kwargs):
        _enter()
        try:
            return fun(*args, **kwargs)
        finally:
            _leave()

    return stock.vmap(name_like(fun, mapped), in_axes, out_axes)
