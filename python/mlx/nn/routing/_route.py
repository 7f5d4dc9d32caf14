"""The choice and the weights of a router in one op."""

from typing import Literal

import mlx.core as mx
from mlx import _selection
from mlx.nn.routing._checks import checked_mask


def route(
    logits: mx.array,
    k: int,
    *,
    score: Literal["softmax", "sigmoid", "sqrtsoftplus"] = "softmax",
    bias: mx.array | None = None,
    groups: int = 1,
    topk_groups: int = 1,
    group_score: Literal["top2", "max"] = "top2",
    excluded_score: float = 0.0,
    renormalize: bool = True,
    eps: float = 0.0,
    scale: float = 1.0,
    mask: mx.array | None = None,
    sorted: bool = True,
    return_scores: bool = False,
) -> tuple[mx.array, ...]:
    if mask is not None:
        logits = mx.where(checked_mask("route", mask, logits.shape), logits, -mx.inf)
    # By position, because that takes less time.
    return _selection.route(
        logits,
        k,
        score,
        bias,
        groups,
        topk_groups,
        group_score,
        excluded_score,
        renormalize,
        eps,
        scale,
        sorted,
        mask is not None,
        return_scores,
    )


# Assigned, because a function of so many lines would be hard to read.
route.__doc__ = r"""Chooses ``k`` experts for each row of logits, and weighs them.

With the scores :math:`s_i` of the :math:`E` experts of a row and the bias
:math:`b_i`,

.. math::

    I = \text{the } k \text{ best of } s_i + b_i, \qquad
    w_i = \frac{s_i}{\epsilon + \sum_{j \in I} s_j} \cdot \text{scale},
    \quad i \in I.

The scores are the softmax of the row, or :math:`\sigma(l_i)` or
:math:`\sqrt{\log(1 + e^{l_i})}` of each logit. The bias affects the choice only
(DeepSeek-V3, arXiv 2412.19437). Without ``renormalize`` the weights are
:math:`s_i \cdot \text{scale}`.

With ``groups`` the experts form groups of neighbours of equal size. A row chooses
from its best ``topk_groups`` groups. A group is as good as the sum of its two best
:math:`s_i + b_i` (``"top2"``, DeepSeek-V3) or as its best one (``"max"``,
DeepSeek-V2, arXiv 2405.04434). NaN is the best score of a group, and the lower
index wins among equal groups. :math:`s_i + b_i` of the experts in other groups
becomes ``excluded_score``: with ``0.0``, as in mlx-lm and transformers, they can
still be chosen before experts with a negative value. ``-mx.inf``, as in DeepSeek's
own code, prevents that.

The choice has the order of ``argsort(-(s + b))``: the lower index wins among equal
experts, and NaN is chosen last. The indices are constants for transforms, as those
of :func:`mx.topk` are. The weights have the exact gradient of the formula for the
chosen experts. The bias gets none.

An expert at which ``mask`` is ``False`` has score and weight 0 and gets no
gradient. It does not count in the score of a group. It is chosen only if fewer
than ``k`` others are left, the lowest index first. A row whose chosen experts are
all masked has weights and gradients of 0. Without ``mask``, a logit of ``-inf`` is
a number like others: its expert has the softmax or sigmoid 0, and a softmax of
nothing but ``-inf`` is NaN.

The scores and the weights of half types are computed in float32, and the weights
are rounded at the end. On Linux all results, gradients too, have the bits of the
chain of MLX's ops for the formula, in the order ``softmax``, ``+``, ``topk``,
``argsort``, ``take_along_axis``, ``sum``, ``+``, ``/``, ``*``. The sum is taken in
the order of the indices. float64, GPUs, exported functions and macOS use that
chain itself.

Args:
    logits (array): Shape ``(..., E)``, floating.
    k (int): The number of experts to choose, from 1 to ``E``.
    score (str, optional): ``"softmax"``, ``"sigmoid"`` or ``"sqrtsoftplus"``.
        Default: ``"softmax"``.
    bias (array, optional): Shape ``(E,)``, floating. Default: no bias.
    groups (int, optional): The number of groups, which divides ``E``. Default:
        ``1``.
    topk_groups (int, optional): The number of groups that a row uses, from 1 to
        ``groups``. They must have ``k`` experts. Default: ``1``.
    group_score (str, optional): ``"top2"`` or ``"max"``. Default: ``"top2"``.
    excluded_score (float, optional): See above. Default: ``0.0``.
    renormalize (bool, optional): Whether to divide the weights by their sum.
        Default: ``True``.
    eps (float, optional): Added to the sum, at least 0. Default: ``0.0``.
    scale (float, optional): Multiplies the weights. Default: ``1.0``.
    mask (array, optional): bool, of a shape that broadcasts to that of ``logits``.
        ``False`` masks an expert. Default: no expert is masked.
    sorted (bool, optional): Whether the best expert comes first. Otherwise the
        indices are in the reverse of that order. Default: ``True``.
    return_scores (bool, optional): Whether to return the scores too. Default:
        ``False``.

Returns:
    tuple: The weights of shape ``(..., k)`` in the type of the logits, their
    indices as uint32, and with ``return_scores`` the scores of all experts, of
    shape ``(..., E)``: float32, or float64 for float64 logits.

Raises:
    ValueError: an argument is not as above.
    TypeError: ``k``, ``groups`` or ``topk_groups`` is not an integer.

Example:
    >>> import mlx.core as mx
    >>> from mlx.nn import routing
    >>> logits = mx.array([[0.0, 2.0, 1.0, 2.0]])
    >>> weights, indices = routing.route(logits, 2)
    >>> weights.tolist(), indices.tolist()
    ([[0.5, 0.5]], [[1, 3]])
"""
