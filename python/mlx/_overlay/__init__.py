"""Loads MLX's own ``mlx.core`` and puts this fork's functions into it.

Functions written in C++ come from ``mlx._selection``. The modules of this package
hold what has to be Python. ``load`` loads the extension. ``ops``, ``transforms``,
``vmap``, ``index_outputs`` and ``export`` wrap functions of MLX that take Python
callables or keep state in Python.
"""

from mlx._overlay.load import load_core as load_core
from mlx._overlay.originals import stock as stock
