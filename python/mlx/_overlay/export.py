"""Exports graphs of stock MLX's primitives only, so that stock MLX can load them."""

import functools

from mlx import _selection
from mlx._overlay.originals import place, stock


def install(core):
    place(core, export_function)
    place(core, exporter)


def export_function(
    file_or_callback, fun, *args, shapeless=False, metadata=None, **kwargs
):
    return stock.export_function(
        file_or_callback,
        _portable(fun, shapeless),
        *args,
        shapeless=shapeless,
        metadata=metadata,
        **kwargs,
    )


def exporter(file, fun, *, shapeless=False, metadata=None):
    traced = _portable(fun, shapeless)
    return stock.exporter(file, traced, shapeless=shapeless, metadata=metadata)


def _portable(fun, shapeless):
    """Wraps ``fun`` so that its selections are traced as stock MLX's primitives."""

    @functools.wraps(fun)
    def traced(*args, **kwargs):
        with _selection.portable_graph(shapeless):
            return fun(*args, **kwargs)

    return traced
