"""The choice itself: from logits to the chosen experts and their weights.

:class:`TopKRouter` calls :func:`choose` and nothing else here, so one function has to
be replaced to compute the choice in another way.
"""

import mlx.core as mx
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
    indices: mx.array | None = None,
) -> tuple[mx.array, mx.array, mx.array]:
    """Chooses ``k`` experts for each row of logits. Checks no arguments.

    Args:
        logits (array): Shape ``(..., E)``, float32; ``-inf`` masks an expert.
        k (int): The number of experts to choose.
        score (str): ``"softmax"`` or ``"sigmoid"``.
        bias (array, optional): Shape ``(E,)``, added to the scores for the choice.
        groups (int): The number of groups of neighbouring experts.
        topk_groups (int): The number of groups that a row may use.
        group_score (str): ``"top2"`` or ``"max"``.
        renormalize (bool): Whether the weights sum to 1.
        indices (array, optional): Shape ``(..., k)``: the experts to use instead of
            the best ones. ``-1`` is padding.

    Returns:
        tuple: The weights, the indices, both of shape ``(..., k)``, and the scores of
        all experts. The weights of masked experts and of padding are 0.
    """
    allowed = logits != -mx.inf
    log_scores, probs = _scores(score, logits, allowed)
    if indices is None:
        preference = logits
        if bias is not None:
            # A masked expert stays masked, whatever its bias.
            preference = mx.where(allowed, probs + bias, -mx.inf)
        if topk_groups < groups:
            ranking = mx.where(allowed, probs, -mx.inf) if bias is None else preference
            usable = _usable(ranking, groups, topk_groups, group_score)
            preference = mx.where(usable, preference, -mx.inf)
        indices = mx.topk(
            mx.stop_gradient(preference), k, sorted=True, return_indices=True
        ).indices
        where, counts = indices, mx.take_along_axis(allowed, indices, axis=-1)
    else:
        where = mx.maximum(indices, 0).astype(mx.uint32)
        counts = mx.take_along_axis(allowed, where, axis=-1)
        # MLX's & is wrong under vmap if only one side is mapped over.
        counts = mx.where(indices >= 0, counts, False)
    scores = log_scores if renormalize else probs
    return _weights(scores, where, counts, renormalize), indices, probs


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
    """Returns the logarithms of the scores up to a term per row, and the scores."""
    if score == "softmax":
        return logits, masked_softmax(logits, allowed)
    return -mx.logaddexp(-logits, 0.0), mx.sigmoid(logits)


def _usable(preference, groups, topk_groups, group_score):
    """Returns a mask of the experts in the best ``topk_groups`` groups of a row.

    Masked experts, at ``-inf``, do not count in the score of a group. A group with
    nothing else is the worst.
    """
    grouped = mx.unflatten(mx.stop_gradient(preference), -1, (groups, -1))
    best = mx.max(grouped, axis=-1)
    if group_score == "top2":
        pair = mx.topk(grouped, min(2, grouped.shape[-1]))
        total = mx.where(pair == -mx.inf, 0, pair).sum(axis=-1)
        best = mx.where(best == -mx.inf, -mx.inf, total)
    chosen = mx.topk(best, topk_groups, return_indices=True).indices
    usable = mx.any(chosen[..., None] == mx.arange(groups), axis=-2)
    return mx.repeat(usable, grouped.shape[-1], axis=-1)
