"""Loads MLX's extension module, which then replaces this module in sys.modules."""

from mlx import _overlay

_overlay.load_core(__name__)
# A reload runs this file in the namespace of MLX's extension module, in which this
# name must not stay.
del _overlay
