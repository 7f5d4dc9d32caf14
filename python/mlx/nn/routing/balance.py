"""Losses and a bias that keep experts evenly loaded, and a loss on large logits."""

import mlx.core as mx
from mlx.nn.routing._checks import (
    check_floating,
    check_indices,
    check_shape,
    checked_axis,
    checked_mask,
    shape_of,
)


def load_balance_loss(
    probs: mx.array,
    indices: mx.array,
    alpha: float = 0.01,
    mask: mx.array | None = None,
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
        mask (array, optional): The tokens that count: bool, of a shape that
            broadcasts to that of ``probs`` without its last axis. The loss is that of
            the batch without the others, which may be NaN. Default: all count.

    Returns:
        array: A scalar, 0 if no token counts; float32 for half types.

    Raises:
        ValueError: a shape or a type is not as above.
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
    tokens, choices = max(probs.size // max(experts, 1), 1), max(indices.size, 1)
    counts = None
    if mask is not None:
        mask = checked_mask("load_balance_loss", mask, probs.shape[:-1])
        probs = mx.where(mask[..., None], probs, 0)
        counts = mx.broadcast_to(mask[..., None], indices.shape)
        tokens, choices = mx.maximum(mask.sum(), 1), mx.maximum(counts.sum(), 1)
    share = _loads(indices, experts, counts) / choices
    mean = mx.flatten(probs[None], 0, -2).sum(axis=0) / tokens
    return alpha * experts * (share * mean).sum()


def router_z_loss(
    logits: mx.array, alpha: float = 1e-3, mask: mx.array | None = None
) -> mx.array:
    r"""The auxiliary loss that penalizes large logits of a router.

    .. math::
        \alpha \; \mathrm{mean} \Big(\log \sum_i e^{z_i}\Big)^2

    Source: ST-MoE (Zoph et al., 2022, eq. 5). Bias: the loss adds a gradient that
    the task does not have. Cost: one ``logsumexp``; no expert runs.

    Args:
        logits (array): Shape ``(..., E)``, floating; ``-inf`` masks an entry. A token
            with nothing but ``-inf`` does not count.
        alpha (float, optional): The weight of this loss. Default: ``1e-3``.
        mask (array, optional): The tokens that count: bool, of a shape that
            broadcasts to that of ``logits`` without its last axis. The loss is that
            of the batch without the other tokens, which get no gradient even if they
            are NaN. Default: all tokens count.

    Returns:
        array: A scalar; 0 if no token counts. Half types are computed and returned in
        float32.

    Raises:
        ValueError: ``logits`` are not floating, or ``mask`` is not bool or does not
            broadcast.
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
    counts = mx.any(logits != -mx.inf, axis=-1)
    if mask is not None:
        counts = counts & checked_mask("router_z_loss", mask, counts.shape)
    if logits.size == 0:
        return logits.sum()
    # The zeros replace what would have an infinite value or a gradient of NaN.
    squares = mx.logsumexp(mx.where(counts[..., None], logits, 0), axis=-1).square()
    return alpha * mx.where(counts, squares, 0).sum() / mx.maximum(counts.sum(), 1)


def update_expert_bias(
    bias: mx.array,
    indices: mx.array,
    rate: float = 1e-3,
    mask: mx.array | None = None,
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
        mask (array, optional): The tokens that count: bool, of a shape that
            broadcasts to that of ``indices`` without its last axis. The result is that
            of the batch without the other tokens. Default: all tokens count.

    Returns:
        array: The new bias, of the shape and type of ``bias``. It has no gradient, and
        equals ``bias`` if no token counts.

    Raises:
        ValueError: ``bias`` does not have one dimension or is not floating,
            ``indices`` are not integers, or ``mask`` is not bool or does not
            broadcast.
        IndexError: ``indices`` have no dimensions, and ``mask`` is given.

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
    counts, choices = None, indices.size
    if mask is not None:
        checked_axis("update_expert_bias", indices, -1)
        mask = checked_mask("update_expert_bias", mask, indices.shape[:-1])
        counts = mx.broadcast_to(mask[..., None], indices.shape)
        choices = counts.sum().astype(mx.int64)
    load = _loads(indices, bias.size, counts)
    # Computed in integers, so that an even load gives exactly 0.
    error = mx.sign(choices - load * bias.size)
    return mx.stop_gradient(bias + (rate * error).astype(bias.dtype))


def _loads(indices, experts, counts=None):
    """Counts how many times each expert was chosen, where ``counts`` is true."""
    chosen = indices.reshape(-1, 1) == mx.arange(experts)
    if counts is not None:
        chosen = chosen & counts.reshape(-1, 1)
    return chosen.sum(axis=0).astype(mx.int64)
