"""Losses and a bias that keep experts evenly loaded, and a loss on large logits."""

import mlx.core as mx
from mlx.nn.routing._checks import (
    check_floating,
    check_indices,
    check_shape,
    checked_axis,
    shape_of,
)


def load_balance_loss(
    probs: mx.array, indices: mx.array, alpha: float = 0.01
) -> mx.array:
    r"""The auxiliary loss that pulls all experts towards the same load.

    .. math::
        \alpha E \sum_i f_i P_i

    :math:`f_i` is the share of all choices that fell on expert ``i``, and
    :math:`P_i` is its mean probability. If both are even, the loss is ``alpha``.

    Source: Switch Transformer (Fedus et al., 2021, eq. 4 to 6), with :math:`f` over
    all ``k`` choices. Only :math:`P` has a gradient. Bias: the loss adds a gradient
    that the task does not have. Cost: one comparison for each choice and expert; no
    expert runs.

    Args:
        probs (array): Shape ``(..., E)``, floating.
        indices (array): The chosen experts, integers of shape ``(..., k)``.
        alpha (float, optional): The weight of this loss. Default: ``0.01``.

    Returns:
        array: A scalar. Half types are computed and returned in float32.

    Raises:
        ValueError: the shapes do not match, ``probs`` are not floating, or
            ``indices`` are not integers.
        IndexError: an array has no dimensions.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> probs = mx.array([[0.75, 0.25], [0.75, 0.25]])
        >>> routing.load_balance_loss(probs, mx.array([[0], [0]]), alpha=1)
        array(1.5, dtype=float32)
    """
    check_floating("load_balance_loss", "probs", probs)
    check_indices("load_balance_loss", indices)
    checked_axis("load_balance_loss", probs, -1)
    checked_axis("load_balance_loss", indices, -1)
    wanted = (*probs.shape[:-1], indices.shape[-1])
    check_shape("load_balance_loss", "indices", indices, wanted)
    experts = probs.shape[-1]
    if probs.dtype != mx.float64:
        probs = probs.astype(mx.float32)
    share = _loads(indices, experts) / max(indices.size, 1)
    probs = mx.flatten(probs[None], 0, -2)
    mean = probs.sum(axis=0) / max(len(probs), 1)
    return alpha * experts * (share * mean).sum()


def router_z_loss(logits: mx.array, alpha: float = 1e-3) -> mx.array:
    r"""The auxiliary loss that penalizes large logits of a router.

    .. math::
        \alpha \; \mathrm{mean} \Big(\log \sum_i e^{z_i}\Big)^2

    Source: ST-MoE (Zoph et al., 2022, eq. 5). Bias: the loss adds a gradient that
    the task does not have. Cost: one ``logsumexp``; no expert runs.

    Args:
        logits (array): Shape ``(..., E)``, floating; ``-inf`` masks an entry.
        alpha (float, optional): The weight of this loss. Default: ``1e-3``.

    Returns:
        array: A scalar. Half types are computed and returned in float32.

    Raises:
        ValueError: ``logits`` are not floating.
        IndexError: ``logits`` have no dimensions.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> routing.router_z_loss(mx.array([[1.0], [3.0]]), alpha=1)
        array(5, dtype=float32)
    """
    check_floating("router_z_loss", "logits", logits)
    checked_axis("router_z_loss", logits, -1)
    if logits.dtype != mx.float64:
        logits = logits.astype(mx.float32)
    if logits.size == 0:
        return logits.sum()
    return alpha * mx.logsumexp(logits, axis=-1).square().mean()


def update_expert_bias(
    bias: mx.array, indices: mx.array, rate: float = 1e-3
) -> mx.array:
    r"""Lowers the bias of overloaded experts, and raises that of the others.

    .. math::
        b_i \leftarrow b_i + u \, \mathrm{sign}(\bar c - c_i)

    :math:`c_i` is the number of times that expert ``i`` was chosen, and
    :math:`\bar c` is the mean of :math:`c_i` over the experts. A router chooses by
    score plus bias but weighs by the score alone, so the bias changes no gradient.
    Source: Wang et al., 2024 (arXiv 2408.15664). Cost: one comparison for each choice
    and expert.

    Args:
        bias (array): Shape ``(E,)``, floating.
        indices (array): The experts chosen in a training step, integers of any
            shape.
        rate (float, optional): :math:`u`, in the units of the scores.
            Default: ``1e-3``.

    Returns:
        array: The new bias, of the shape and type of ``bias``. It has no gradient.

    Raises:
        ValueError: ``bias`` does not have one dimension or is not floating, or
            ``indices`` are not integers.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> bias = mx.zeros(3)
        >>> routing.update_expert_bias(bias, mx.array([[0, 1], [0, 1]]), rate=0.5)
        array([-0.5, -0.5, 0.5], dtype=float32)
    """
    check_floating("update_expert_bias", "bias", bias)
    check_indices("update_expert_bias", indices)
    if bias.ndim != 1:
        raise ValueError(
            f"[update_expert_bias] bias must have shape (E,), got {shape_of(bias)}."
        )
    load = _loads(indices, bias.size)
    # Computed in integers, so that an even load gives exactly 0.
    error = mx.sign(indices.size - load * bias.size)
    return mx.stop_gradient(bias + (rate * error).astype(bias.dtype))


def _loads(indices, experts):
    """Counts how many times each expert was chosen."""
    return (indices.reshape(-1, 1) == mx.arange(experts)).sum(axis=0).astype(mx.int64)
