"""The result type ``TopKResult``, and ``categorical``.

``categorical`` is written in Python because it calls MLX's Python function, which keeps
its default random key in Python.
"""

from typing import NamedTuple

from mlx import _selection
from mlx._overlay.originals import place, stock

_INDEX_NOTE = (
    "The indices have no gradient. :class:`index_gradient` says how a\n"
    "transform treats them.\n"
)


def install(core):
    class TopKResult(NamedTuple):
        """The chosen elements and their indices, from :func:`top_k` or :func:`topk`."""

        values: core.array
        indices: core.array

    _selection.set_result_type(TopKResult)
    place(core.random, categorical, _INDEX_NOTE)
    # This comes last: ``load`` patches ``core`` again unless it has TopKResult.
    place(core, TopKResult)


def categorical(logits, axis=-1, shape=None, num_samples=None, key=None, stream=None):
    def draw(a):
        return stock.categorical(a, axis, shape, num_samples, key, stream)

    return _selection.index_op("categorical", draw, logits)
