"""Stands in for MLX's extension module until it is loaded, then gives way to it."""

import sys

from mlx import _overlay

sys.modules[__name__] = _overlay.load_core(__name__)
