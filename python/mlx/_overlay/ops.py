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
        empty = _draw_of_nothing(a, axis, shape, num_samples)
        if empty is not None:
            return stock.zeros(empty, stock.uint32)
        if _searches_cumulative_sums(a, axis, shape, num_samples):
            return _draw_from_one_row(a, shape, num_samples, key, stream)
        return stock.categorical(a, axis, shape, num_samples, key, stream)

    return _selection.index_op("categorical", draw, logits)


def _draw_of_nothing(logits, axis, shape, num_samples):
    """Returns the shape of the result if it has no elements, or else None.

    MLX raises an error for such a draw. If arguments are bad, returns None too, so that
    MLX raises its error for them.
    """
    if not -logits.ndim <= axis < logits.ndim or None not in (shape, num_samples):
        return None
    axis %= logits.ndim
    if logits.shape[axis] == 0:
        listed = ",".join(map(str, logits.shape))
        raise ValueError(
            f"[categorical] axis {axis} of an array with shape ({listed}) has no "
            "elements."
        )
    rows = logits.shape[:axis] + logits.shape[axis + 1 :]
    wanted = rows if shape is None else tuple(shape)
    if num_samples is not None:
        wanted = (*rows, num_samples)
    if 0 not in wanted:
        return None
    sizes = zip(reversed(rows), reversed(wanted), strict=False)
    fits = len(rows) <= len(wanted) and all(n in (1, m) for n, m in sizes)
    return wanted if num_samples is not None or fits else None


def _searches_cumulative_sums(logits, axis, shape, num_samples):
    """Returns whether MLX draws with ``searchsorted``, which it cannot vectorise."""
    if not _selection.is_tracer(logits) or not -logits.ndim <= axis < logits.ndim:
        return False
    # Other arguments are errors, which MLX raises.
    if shape is not None:
        wanted = num_samples is None and len(shape) >= max(1, logits.ndim - 1)
    else:
        wanted = num_samples is not None
    return wanted and logits.size == logits.shape[axis] > 0


def _draw_from_one_row(logits, shape, num_samples, key, stream):
    """Draws what MLX draws, in a way that can be vectorised."""
    if shape is None:
        shape = (1,) * (logits.ndim - 1) + (num_samples,)
    row = logits.reshape(-1).astype(stock.float32)
    largest = row.max(stream=stream)
    # Among infinite logits the draw is uniform.
    weights = stock.where(
        stock.isinf(largest, stream=stream),
        stock.equal(row, largest, stream=stream).astype(stock.float32),
        stock.exp(stock.subtract(row, largest, stream=stream), stream=stream),
        stream=stream,
    )
    sums = stock.cumsum(weights, inclusive=False, stream=stream)
    uniform = stock.random.uniform(shape=shape, key=key, stream=stream)
    total = stock.sum(weights, stream=stream)
    found = _selection.sorted_search(
        sums, stock.multiply(uniform, total, stream=stream)
    )
    return stock.subtract(found, stock.array(1, stock.uint32), stream=stream)
