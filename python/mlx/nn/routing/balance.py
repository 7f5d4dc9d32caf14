"""Losses and a bias that keep experts evenly loaded, and a loss on large logits.

``quantile.py`` has another rule for the bias.
"""

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
    *,
    per_sequence: bool = False,
    loads: mx.array | None = None,
) -> mx.array:
    r"""The auxiliary loss that pulls all experts towards the same load.

    .. math::
        \alpha E \sum_i f_i P_i

    :math:`f_i` is the share of all choices that fell on expert ``i``, and
    :math:`P_i` is its mean probability. If both are even, the loss is ``alpha``.

    Source: Switch Transformer (Fedus et al., 2021, eq. 4 to 6), with :math:`f` over
    all ``k`` choices. ``per_sequence`` averages the losses of single sequences, the
    strictest condition: DeepSeek-V3 (arXiv 2412.19437, eq. 17 to 20), which first
    divides the scores of a token by their sum. With ``loads`` of all processes
    (arXiv 2501.11873), the mean of their losses is that of one process with all tokens,
    if all have equally many. Only :math:`P` has a gradient. Bias: the loss adds a
    gradient that the task does not have. Contested: which tokens to balance over. Cost:
    one comparison for each choice and expert; no expert runs.

    Args:
        probs (array): Shape ``(..., E)``, floating.
        indices (array): The chosen experts, integers of shape ``(..., k)``. ``-1`` is
            padding; a token with nothing else does not count.
        alpha (float, optional): The weight of this loss. Default: ``0.01``.
        mask (array, optional): The tokens that count: bool, of a shape that
            broadcasts to that of ``probs`` without its last axis. The loss is that of
            the batch without the others, which may be NaN. Default: all count.
        per_sequence (bool, optional): Whether the last axis but one of ``probs`` is a
            sequence with a loss of its own. Sequences without a token that counts are
            left out of the mean. Default: ``False``.
        loads (array, optional): How many times each expert was chosen, shape ``(E,)``,
            as :func:`expert_loads` returns it. Default: counted from ``indices``.

    Returns:
        array: A scalar, 0 if no token counts; float32 for half types.

    Raises:
        ValueError: a shape or a type is not as above, or both ``per_sequence`` and
            ``loads`` are given.
        IndexError: an array has no dimensions, or too few for ``per_sequence``.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> probs = mx.array([[0.75, 0.25], [0.75, 0.25]])
        >>> routing.load_balance_loss(probs, mx.array([[0], [0]]), alpha=1)
        array(1.5, dtype=float32)
    """
    return _load_balance_loss(probs, indices, alpha, mask, per_sequence, loads)


def _load_balance_loss(probs, indices, alpha, mask, per_sequence, loads):
    check_floating("load_balance_loss", "probs", probs)
    check_indices("load_balance_loss", indices)
    checked_axis("load_balance_loss", probs, -2 if per_sequence else -1)
    checked_axis("load_balance_loss", indices, -1)
    wanted = (*probs.shape[:-1], indices.shape[-1])
    check_shape("load_balance_loss", "indices", indices, wanted)
    experts = probs.shape[-1]
    if loads is not None:
        check_shape("load_balance_loss", "loads", loads, (experts,))
        if per_sequence:
            raise ValueError("[load_balance_loss] per_sequence takes no loads.")
    if probs.dtype != mx.float64:
        probs = probs.astype(mx.float32)
    if mask is not None:
        mask = checked_mask("load_balance_loss", mask, probs.shape[:-1])
    if not mx.issubdtype(indices.dtype, mx.unsignedinteger):
        some = mx.any(indices >= 0, axis=-1)
        mask = some if mask is None else mx.where(some, mask, False)
    # Each sequence, or the whole batch, is a row of tokens.
    shape = (-1, *probs.shape[-2:]) if per_sequence else (1, -1, experts)
    if probs.size == 0:
        return probs.sum()
    probs = probs.reshape(shape)
    indices = indices.reshape(*probs.shape[:-1], -1)
    tokens, counts = probs.shape[1], None
    if mask is not None:
        mask = mask.reshape(probs.shape[:-1])
        probs = mx.where(mask[..., None], probs, 0)
        tokens, counts = mask.sum(axis=1, keepdims=True), mask[..., None]
    if loads is None:
        loads = _loads(indices, experts, counts)
    share = loads / mx.maximum(loads.sum(axis=-1, keepdims=True), 1)
    mean = probs.sum(axis=1) / mx.maximum(tokens, 1)
    losses = alpha * experts * (mx.stop_gradient(share) * mean).sum(axis=-1)
    sequences = len(probs) if mask is None else mx.any(mask, axis=1).sum()
    return losses.sum() / mx.maximum(sequences, 1)


def expert_loads(
    indices: mx.array,
    num_experts: int,
    mask: mx.array | None = None,
    group: mx.distributed.Group | None = None,
) -> mx.array:
    """Counts how many times each expert was chosen.

    Their maximum divided by their mean is a usual measure of how even a load is.
    Cost: one comparison for each choice and expert; with ``group`` an ``all_sum`` of
    ``num_experts`` integers.

    Args:
        indices (array): The chosen experts, integers of any shape. ``-1`` is padding.
        num_experts (int): The number of experts.
        mask (array, optional): The tokens that count: bool, of a shape that
            broadcasts to that of ``indices`` without its last axis. Default: all
            tokens count.
        group (Group, optional): Counts the choices of all processes of the group.
            Default: those of this process.

    Returns:
        array: Shape ``(num_experts,)``, int64. It has no gradient.

    Raises:
        ValueError: ``indices`` are not integers, or ``mask`` is not bool or does not
            broadcast.
        IndexError: ``indices`` have no dimensions, and ``mask`` is given.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> routing.expert_loads(mx.array([[0, 1], [0, -1]]), 3)
        array([2, 1, 0], dtype=int64)
    """
    return _group_loads("expert_loads", indices, num_experts, mask, group)


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
    group: mx.distributed.Group | None = None,
) -> mx.array:
    r"""Lowers the bias of overloaded experts, and raises that of the others.

    .. math::
        b_i \leftarrow b_i + u \, \mathrm{sign}(\bar c - c_i)

    :math:`c_i` is the number of times that expert ``i`` was chosen, and
    :math:`\bar c` is the mean of :math:`c_i` over the experts. A router chooses by
    score plus bias but weighs by the score alone, so the bias changes no gradient.
    Source: Wang et al., 2024 (arXiv 2408.15664). Cost: one comparison for each choice
    and expert. The step has a fixed size, so a skewed load takes many steps to even
    out, and an even one keeps moving by ``rate``; :func:`quantile_expert_bias` computes
    the bias instead.

    Args:
        bias (array): Shape ``(E,)``, floating.
        indices (array): The experts chosen in a training step, integers of any
            shape. ``-1`` is padding.
        rate (float, optional): :math:`u`, in the units of the scores.
            Default: ``1e-3``.
        mask (array, optional): The tokens that count: bool, of a shape that
            broadcasts to that of ``indices`` without its last axis. The result is that
            of the batch without the other tokens. Default: all tokens count.
        group (Group, optional): The processes whose tokens count too, at the cost of
            an ``all_sum`` of ``E`` integers. All get the same bias. Default: this
            process only.

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
    if bias.ndim != 1:
        raise ValueError(
            f"[update_expert_bias] bias must have shape (E,), got {shape_of(bias)}."
        )
    load = _group_loads("update_expert_bias", indices, bias.size, mask, group)
    # Computed in integers, so that an even load gives exactly 0.
    error = mx.sign(load.sum() - load * bias.size)
    return mx.stop_gradient(bias + (rate * error).astype(bias.dtype))


def _group_loads(op, indices, experts, mask, group):
    """Returns the loads of all processes of the group, shape ``(experts,)``."""
    check_indices(op, indices)
    counts = None
    if mask is not None:
        checked_axis(op, indices, -1)
        mask = checked_mask(op, mask, indices.shape[:-1])
        counts = mx.broadcast_to(mask[..., None], indices.shape).reshape(-1, 1)
    loads = _loads(indices.reshape(-1, 1), experts, counts)
    if group is not None:
        loads = mx.distributed.all_sum(loads, group=group)
    return loads


def _loads(indices, experts, counts=None):
    """Counts how many times each expert was chosen, where ``counts`` is true.

    ``indices`` have the shape ``(..., tokens, k)``, and the result ``(..., experts)``.
    An index of -1 equals no expert, so it is not counted.
    """
    chosen = indices[..., None] == mx.arange(experts)
    if counts is not None:
        chosen = chosen & counts[..., None]
    return chosen.sum(axis=(-3, -2)).astype(mx.int64)
