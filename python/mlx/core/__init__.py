"""Stands in for MLX's extension module until it is loaded, then gives way to it."""

from mlx import _overlay

_overlay.load_core(__name__)
# A reload runs this file inside the module that mlx.core is by then.
del _overlay
