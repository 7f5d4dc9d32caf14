"""Selection along an axis that is divided among processes."""

import threading
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx._overlay.vmap import under_vmap
from mlx.nn.routing._checks import checked_axis, checked_integer


def sharded_topk(
    x: mx.array,
    k: int,
    axis: int = -1,
    *,
    largest: bool = True,
    sizes: Sequence[int] | None = None,
    group: mx.distributed.Group | None = None,
) -> tuple[mx.array, mx.array]:
    """Returns what :func:`mlx.core.topk` would of an array divided among processes.

    The array is cut along ``axis``, and each process has one shard, in the order of the
    ranks: for example the logits of a part of a vocabulary. Each process selects the
    ``k`` best of its shard. One all-gather moves these candidates, and each process
    merges them. Every process gets the values and indices that ``mx.topk(whole, k,
    axis, sorted=True, return_indices=True)`` gives for the whole array, bit for bit,
    however it is cut.

    Gradient: exact for the own shard, if all processes compute the same loss. In
    ``jvp`` each process adds the tangent of its shard, so their sum is the whole
    tangent. ``mx.vmap`` is refused, because MLX's all-gather is wrong under it.

    All processes must evaluate the result, or a gradient of it, in the same order
    among their other messages: a process that does not keeps the others waiting.

    Cost: for each row, every process sends ``min(k, max(sizes))`` values and as many
    indices of 4 bytes, to ``group.size() - 1`` others.

    Args:
        x (array): This process's shard. All shards have the same type and the same
            shape but for ``axis``.
        k (int): How many elements to choose, from 0 to the size of the whole axis.
        axis (int, optional): The axis that is divided. Default: ``-1``.
        largest (bool, optional): Whether to choose the largest elements or the
            smallest. Default: ``True``.
        sizes (list(int), optional): The size of each process's shard along ``axis``, by
            rank; 0 is allowed. Every process must pass the same list. Default: all
            shards have the size of this one.
        group (Group, optional): The processes. Default: all of ``mx.distributed``.

    Returns:
        tuple(array, array): The values, best first, and their indices in the whole
        array, uint32. Both have ``k`` elements along ``axis``.

    Raises:
        ValueError: ``k`` is out of range, ``sizes`` do not fit, or it is called under
            ``mx.vmap``.
        TypeError: ``k`` is not an integer.
        IndexError: there is no such axis.
        RuntimeError: at evaluation, if the connection to another process is lost. For
            one that is late see :func:`eval_within`.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> routing.sharded_topk(mx.array([1.0, 3.0, 2.0]), 2)
        (array([3, 2], dtype=float32), array([1, 2], dtype=uint32))
    """
    return _sharded_topk(x, k, axis, largest, sizes, group)


def _sharded_topk(x, k, axis, largest, sizes, group):
    group = mx.distributed.init() if group is None else group
    axis = checked_axis("sharded_topk", x, axis)
    sizes = _checked_sizes(x.shape[axis], sizes, group)
    k = checked_integer("sharded_topk", "k", k)
    if not 0 <= k <= sum(sizes):
        raise ValueError(
            f"[sharded_topk] k must be between 0 and {sum(sizes)}, got {k}."
        )
    if under_vmap():
        raise ValueError(
            "[sharded_topk] vmap is not supported. Pass all rows in one array."
        )
    rows = mx.moveaxis(x, axis, -1)
    if k == 0 or 0 in rows.shape[:-1]:
        empty = (*rows.shape[:-1], k)
        values, indices = mx.zeros(empty, x.dtype), mx.zeros(empty, mx.uint32)
        return mx.moveaxis(values, -1, axis), mx.moveaxis(indices, -1, axis)
    first, own = sum(sizes[: group.rank()]), sizes[group.rank()]
    values, indices = _gathered(mx.stop_gradient(rows), k, largest, sizes, first, group)
    # Candidates lie by rank and, within a rank, best first. So among equal ones the
    # lower position has the lower index, which is how topk breaks ties.
    best = mx.topk(values, k, largest=largest, sorted=True, return_indices=True).indices
    values = mx.take_along_axis(values, best, axis=-1)
    indices = mx.take_along_axis(indices, best, axis=-1)
    if mx.issubdtype(x.dtype, mx.inexact):
        # The same bits again, but read from the shard, so that they have a gradient.
        mine = mx.logical_and(indices >= first, indices < first + own)
        if own > 0:
            place = mx.minimum(indices - first, own - 1)  # wraps around below `first`
            ours = mx.take_along_axis(rows, place, axis=-1)
        else:
            # An empty shard takes part in the gradient, too. Otherwise this process
            # would not evaluate the all-gather, for which the others wait. MLX's sum of
            # an empty array that is not contiguous never ends.
            ours = mx.contiguous(rows).sum(axis=-1, keepdims=True)
        values = mx.where(mine, ours, values)
    return mx.moveaxis(values, -1, axis), mx.moveaxis(indices, -1, axis)


def eval_within(seconds: float, *arrays: Any) -> None:
    """Evaluates arrays as ``mx.eval`` does, but waits for a limited time.

    MLX waits for other processes without a limit. This raises an error instead. It
    cannot stop the evaluation, which goes on in the background. After an error the
    arrays have undefined values, and the group must not be used again: end the process,
    with ``os._exit`` if the evaluation goes on, since a normal exit waits for it.

    ``mx.distributed.init`` waits without a limit, too, and holds Python's lock, so no
    Python code can stop it. ``faulthandler.dump_traceback_later(seconds, exit=True)``
    before it and ``faulthandler.cancel_dump_traceback_later()`` after it end the
    process if the others do not connect.

    Args:
        seconds (float): How long to wait.
        arrays (arrays or trees of arrays): What to evaluate.

    Raises:
        TimeoutError: the arrays were not evaluated in time.
        RuntimeError: the evaluation failed, for example because the connection to
            another process was lost.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> routing.eval_within(10, mx.ones(3) + 1)
    """
    mx.async_eval(*arrays)
    errors = []

    def wait():
        try:
            mx.eval(*arrays)
        except Exception as error:  # it is raised again below
            errors.append(error)

    # Not a daemon: Python aborts if it ends while such a thread is inside MLX.
    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(seconds)
    if waiting.is_alive():
        raise TimeoutError(
            f"[eval_within] not evaluated within {seconds} s. Another process may be "
            "late or stopped."
        )
    if errors:
        raise errors[0]


def _checked_sizes(size, sizes, group):
    if sizes is None:
        return [size] * group.size()
    sizes = [checked_integer("sharded_topk", "sizes", n) for n in sizes]
    if len(sizes) != group.size() or min(sizes) < 0:
        raise ValueError(
            f"[sharded_topk] sizes must be {group.size()} sizes, got {sizes}."
        )
    if sizes[group.rank()] != size:
        raise ValueError(
            f"[sharded_topk] sizes must have this shard's size {size} at rank "
            f"{group.rank()}, got {sizes}."
        )
    return sizes


def _gathered(rows, k, largest, sizes, first, group):
    """Returns the candidates of all shards: values and indices in the whole axis."""
    most, own = min(k, max(sizes)), min(k, rows.shape[-1])
    values, indices = mx.topk(
        rows, own, largest=largest, sorted=True, return_indices=True
    )
    padding = [(0, 0)] * (rows.ndim - 1) + [(0, most - own)]
    values, indices = mx.pad(values, padding), mx.pad(indices + first, padding)
    # One message has both, as bytes.
    message = mx.concatenate([values.view(mx.uint8), indices.view(mx.uint8)], axis=-1)
    received = mx.distributed.all_gather(message[None], group=group)
    # The candidates that are not padding.
    kept = [r * most + i for r, n in enumerate(sizes) for i in range(min(n, most))]
    end = most * values.itemsize

    def unpacked(part, dtype):
        by_rank = mx.moveaxis(mx.contiguous(part).view(dtype), 0, -2)
        return mx.take(mx.flatten(by_rank, -2, -1), mx.array(kept), axis=-1)

    values = unpacked(received[..., :end], rows.dtype)
    return values, unpacked(received[..., end:], mx.uint32)
