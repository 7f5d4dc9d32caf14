"""The choice itself: from logits to the chosen experts and their weights.

:class:`TopKRouter` calls :func:`choose` and nothing else here, so one function has to
be replaced to compute the choice in another way.
"""

import mlx.core as mx
from mlx import _selection
from mlx.nn.routing._checks import checked_choice, checked_integer


def choose(
    logits: mx.array,
    k: int,
    *,
    score: str = "softmax",
    bias: mx.array | None = None,
    groups: int = 1,
    topk_groups: int = 1,
    group_score: str = "top2",
    renormalize: bool = True,
    scale: float = 1.0,
    indices: mx.array | None = None,
) -> tuple[mx.array, mx.array, mx.array]:
    """Chooses ``k`` experts for each row of logits. Checks no arguments.

    Args:
        logits (array): Shape ``(..., E)``, float32; ``-inf`` masks an expert.
        k (int): The number of experts to choose.
        score (str): ``"softmax"``, ``"sigmoid"`` or ``"sqrtsoftplus"``.
        bias (array, optional): Shape ``(E,)``, added to the scores for the choice.
        groups (int): The number of groups of neighbouring experts.
        topk_groups (int): The number of groups that a row may use.
        group_score (str): ``"top2"`` or ``"max"``.
        renormalize (bool): Whether the weights sum to ``scale``.
        scale (float): Multiplies the weights.
        indices (array, optional): Shape ``(..., k)``: the experts to use instead of
            the best ones. ``-1`` is padding.

    Returns:
        tuple: The weights, the indices, both of shape ``(..., k)``, and the scores of
        all experts. The weights of masked experts and of padding are 0.
    """
    if indices is None:
        weights, indices, probs = _selection.route(
            logits,
            k,
            score=score,
            bias=bias,
            groups=groups,
            topk_groups=topk_groups,
            group_score=group_score,
            excluded_score=-mx.inf,
            renormalize=False,
            scale=scale,
            masks_infinity=True,
            return_scores=True,
        )
        if not renormalize:
            return weights, indices, probs
        where, padding = indices, None
    else:
        where, padding = mx.maximum(indices, 0).astype(mx.uint32), indices < 0
        probs = None
    allowed = logits != -mx.inf
    counts = mx.take_along_axis(allowed, where, axis=-1)
    if padding is not None:
        # MLX's & is wrong under vmap if only one side is mapped over.
        counts = mx.where(padding, False, counts)
    if probs is None:
        probs = _scores(score, logits, allowed)
    scores = _log_scores(score, logits) if renormalize else probs
    weights = _weights(scores, where, counts, renormalize)
    return weights * scale if scale != 1 else weights, indices, probs


def _weights(scores, where, counts, renormalize):
    """Returns the weights of the experts at ``where``, and 0 if one does not count.

    With ``renormalize`` the scores are logarithms.
    """
    chosen = mx.take_along_axis(scores, where, axis=-1)
    if not renormalize:
        return mx.where(counts, chosen, 0)
    # The softmax of the log-scores is the chosen scores divided by their sum. With one
    # expert its gradient is exactly 0. The gradient of a quotient would have rounding
    # errors.
    return masked_softmax(mx.where(counts, chosen, -mx.inf), counts)


def masked_softmax(logits, allowed):
    """Returns the softmax of the allowed entries of a row, and 0 for the others.

    A row without allowed entries gives zeros, with derivatives of 0.
    """
    some = mx.any(allowed, axis=-1, keepdims=True)
    # The softmax of nothing but -inf would be NaN.
    return mx.where(some, mx.softmax(mx.where(some, logits, 0), axis=-1), 0)


def checked_groups(op, num_experts, k, groups, topk_groups, group_score):
    """Returns ``groups`` and ``topk_groups`` if a router can use them."""
    groups = checked_integer(op, "groups", groups)
    topk_groups = checked_integer(op, "topk_groups", topk_groups)
    checked_choice(op, "group_score", group_score, ("top2", "max"))
    if groups < 1 or num_experts % groups:
        raise ValueError(
            f"[{op}] groups must divide the number of experts {num_experts}, "
            f"got {groups}."
        )
    if not 1 <= topk_groups <= groups:
        raise ValueError(
            f"[{op}] topk_groups must be between 1 and {groups}, got {topk_groups}."
        )
    if topk_groups * (num_experts // groups) < k:
        raise ValueError(
            f"[{op}] {topk_groups} groups of {num_experts // groups} experts are "
            f"fewer than k = {k} experts."
        )
    return groups, topk_groups


def _scores(score, logits, allowed):
    """Returns the scores of all experts, 0 for masked ones."""
    if score == "softmax":
        return masked_softmax(logits, allowed)
    if score == "sigmoid":
        return mx.sigmoid(logits)
    # The square root of 0 has no derivative.
    softplus = mx.logaddexp(mx.where(allowed, logits, 0), 0.0)
    return mx.where(allowed, mx.sqrt(softplus), 0)


def _log_scores(score, logits):
    """Returns the logarithms of the scores up to a term per row."""
    if score == "softmax":
        return logits
    if score == "sigmoid":
        return -mx.logaddexp(-logits, 0.0)
    # For small logits, log(log(1 + e^x)) is x to within rounding.
    softplus = mx.logaddexp(mx.maximum(logits, -20), 0.0)
    return 0.5 * mx.where(logits < -20, logits, mx.log(softplus))
