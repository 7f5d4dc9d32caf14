"""What keeps experts evenly loaded and logits small."""

import mlx.core as mx
from mlx.nn.routing._checks import (
    checked_axis,
    checked_floating,
    checked_indices,
    checked_shape,
    shape_of,
)


def load_balance_loss(
    probs: mx.array, indices: mx.array, alpha: float = 0.01
) -> mx.array:
    r"""The auxiliary loss that rewards an even load.

    .. math::
        \alpha E \sum_i f_i P_i

    with :math:`f_i` the share of all choices that fell on expert ``i`` and
    :math:`P_i` the mean of its probability. It is ``alpha`` where both are even.

    Source: Switch Transformer (Fedus et al., 2021, eq. 4 to 6), with :math:`f` over
    all ``k`` choices. Only :math:`P` has a gradient. Bias: it pulls the router away
    from the task's own gradient. Cost: one comparison for each choice and expert;
    no expert runs.

    Args:
        probs (array): Shape ``(..., E)``, floating.
        indices (array): The chosen experts, integers of shape ``(..., k)``.
        alpha (float, optional): The weight of this loss. Default: ``0.01``.

    Returns:
        array: A scalar, computed and returned in float32 (float64 for float64).

    Raises:
        ValueError: shapes do not fit, or a type is wrong.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> probs = mx.array([[0.75, 0.25], [0.75, 0.25]])
        >>> routing.load_balance_loss(probs, mx.array([[0], [0]]), alpha=1)
        array(1.5, dtype=float32)
    """
    checked_floating("load_balance_loss", "probs", probs)
    checked_indices("load_balance_loss", indices)
    checked_axis("load_balance_loss", probs, -1)
    checked_axis("load_balance_loss", indices, -1)
    wanted = (*probs.shape[:-1], indices.shape[-1])
    checked_shape("load_balance_loss", "indices", indices, wanted)
    experts = probs.shape[-1]
    if probs.dtype != mx.float64:
        probs = probs.astype(mx.float32)
    share = _loads(indices, experts) / max(indices.size, 1)
    probs = mx.flatten(probs[None], 0, -2)
    mean = probs.sum(axis=0) / max(len(probs), 1)
    return alpha * experts * (share * mean).sum()


def router_z_loss(logits: mx.array, alpha: float = 1e-3) -> mx.array:
    r"""The auxiliary loss that keeps a router's logits small.

    .. math::
        \alpha \; \mathrm{mean} \Big(\log \sum_i e^{z_i}\Big)^2

    Source: ST-MoE (Zoph et al., 2022, eq. 5). Bias: as any regularizer's. Cost: a
    ``logsumexp``; no expert runs.

    Args:
        logits (array): Shape ``(..., E)``, floating; ``-inf`` masks an entry.
        alpha (float, optional): The weight of this loss. Default: ``1e-3``.

    Returns:
        array: A scalar, computed and returned in float32 (float64 for float64).

    Raises:
        ValueError: ``logits`` are not floating.
        IndexError: ``logits`` have no dimensions.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> routing.router_z_loss(mx.array([[1.0], [3.0]]), alpha=1)
        array(5, dtype=float32)
    """
    checked_floating("router_z_loss", "logits", logits)
    checked_axis("router_z_loss", logits, -1)
    if logits.dtype != mx.float64:
        logits = logits.astype(mx.float32)
    if logits.size == 0:
        return logits.sum()
    return alpha * mx.logsumexp(logits, axis=-1).square().mean()


def update_expert_bias(
    bias: mx.array, indices: mx.array, rate: float = 1e-3
) -> mx.array:
    r"""Moves the bias of each expert against its load; a balance without a loss.

    .. math::
        b_i \leftarrow b_i + u \, \mathrm{sign}(\bar c - c_i)

    with :math:`c_i` the number of times that expert ``i`` was chosen and
    :math:`\bar c` its mean over experts. The choice is made by score plus bias, and
    weighted by the score alone, so that the bias distorts no gradient. Source: Wang
    et al., 2024 (arXiv 2408.15664). Cost: one comparison for each choice and expert.

    Args:
        bias (array): Shape ``(E,)``, floating.
        indices (array): The chosen experts of a step, integers of any shape.
        rate (float, optional): ``u``, in the units of the scores. Default: ``1e-3``.

    Returns:
        array: The new bias, of the type of ``bias``. It has no gradient.

    Raises:
        ValueError: ``bias`` is no vector, or a type is wrong.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> bias = mx.zeros(3)
        >>> routing.update_expert_bias(bias, mx.array([[0, 1], [0, 1]]), rate=0.5)
        array([-0.5, -0.5, 0.5], dtype=float32)
    """
    checked_floating("update_expert_bias", "bias", bias)
    checked_indices("update_expert_bias", indices)
    if bias.ndim != 1:
        raise ValueError(
            f"[update_expert_bias] bias must have shape (E,), got {shape_of(bias)}."
        )
    load = _loads(indices, bias.size)
    # In whole numbers, so that an even load is exactly even.
    error = mx.sign(indices.size - load * bias.size)
    return mx.stop_gradient(bias + (rate * error).astype(bias.dtype))


def _loads(indices, experts):
    """How many times each expert was chosen."""
    return (indices.reshape(-1, 1) == mx.arange(experts)).sum(axis=0).astype(mx.int64)
