"""The result type of ``top_k``, and ``categorical``, whose key is Python state."""

from typing import NamedTuple

from mlx import _selection
from mlx._overlay.originals import place, stock

_INDEX_NOTE = (
    "The indices have no gradient: see :class:`index_gradient` for what a\n"
    "transform makes of them.\n"
)


def install(core):
    class TopKResult(NamedTuple):
        """What :func:`top_k` returns: the chosen elements and where they were."""

        values: core.array
        indices: core.array

    _selection.set_result_type(TopKResult)
    place(core.random, categorical, _INDEX_NOTE)
    # Last, because ``load`` takes its presence to mean that all is in place.
    place(core, TopKResult)


def categorical(logits, axis=-1, shape=None, num_samples=None, key=None, stream=None):
    def draw(a):
        return stock.categorical(a, axis, shape, num_samples, key, stream)

    return _selection.index_op("categorical", draw, logits)
