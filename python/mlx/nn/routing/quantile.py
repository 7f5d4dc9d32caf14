"""Quantile balancing: computes the bias of each expert that evens out the load."""

import mlx.core as mx
from mlx.nn.routing._checks import (
    check_floating,
    check_shape,
    checked_axis,
    checked_integer,
    checked_mask,
    shape_of,
)


def quantile_expert_bias(
    bias: mx.array, scores: mx.array, k: int, mask: mx.array | None = None
) -> mx.array:
    r"""Computes the bias with which each expert is chosen by its share of the tokens.

    .. math::
        \alpha_i &= (k+1)\text{-th largest of } s_{ij} + b_j \text{ over } j \\
        r_{ij} &= \alpha_i - s_{ij} \\
        b_j &\leftarrow \mathrm{quantile}_{k/E}(r_{\cdot j}), \quad
        b \leftarrow b - \mathrm{mean}(b)

    Token ``i`` chooses expert ``j`` if its bias is above :math:`r_{ij}`, as long as the
    threshold :math:`\alpha_i` of the token stays the same. So a share of ``k / E`` of
    the tokens would choose the expert. The thresholds change with the bias, so some
    repetitions are needed, one in each training step. The quantile interpolates
    linearly between two neighbours, as ``numpy.quantile`` does.

    The bias changes no gradient. Use no balancing loss beside it.

    Source: Kimi K3's technical report, 2.3.3; Megatron-LM and torchtitan have it. Cost:
    one selection for each token, one sort of ``N`` numbers for each expert; no expert
    runs. Proven: the fixed point is an even load, up to ties. Contested: that models
    get better than with :func:`update_expert_bias` is the claim of one laboratory, and
    marin reports a run in which it failed (issue 5232). Scores of few different values,
    such as bfloat16 ones, tie, and tied tokens all change expert at once.

    Args:
        bias (array): Shape ``(E,)``, floating: the bias with which the tokens were
            routed.
        scores (array): The scores without the bias, floating of shape ``(..., E)``;
            ``-inf`` at experts that are masked for a token. A token with a NaN does
            not count.
        k (int): The number of experts that a token chooses, from 1 to ``E``. If it is
            ``E``, every load is even, and the bias stays as it is.
        mask (array, optional): The tokens that count: bool, of a shape that
            broadcasts to that of ``scores`` without its last axis. Default: all
            tokens count.

    Returns:
        array: The new bias, of the shape and type of ``bias``. It has no gradient, and
        equals ``bias`` if no token counts. An expert that is masked for every token
        keeps its bias, up to the mean, and is left out of ``E``.

    Raises:
        ValueError: a shape or a type is not as above, or ``k`` is out of range.
        TypeError: ``k`` is not an integer.
        IndexError: ``scores`` have no dimensions.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> scores = mx.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.4], [0.6, 0.5]])
        >>> bias = routing.quantile_expert_bias(mx.zeros(2), scores, 1)
        >>> mx.argmax(scores + bias, axis=-1)
        array([0, 0, 1, 1], dtype=uint32)
    """
    return _quantile_expert_bias(bias, scores, k, mask)


def _quantile_expert_bias(bias, scores, k, mask):
    op = "quantile_expert_bias"
    k, rows = _checked(op, bias, scores, k, mask)
    if k == bias.size or scores.size == 0:
        return mx.stop_gradient(bias)
    required, counts = rows
    finite = counts & (mx.abs(required) != mx.inf)
    # An expert that is masked for many tokens gets the bias of the last one that can
    # choose it. Likewise where fewer than k + 1 experts are left.
    low = mx.where(finite, required, mx.inf).min(axis=0)
    high = mx.where(finite, required, -mx.inf).max(axis=0)
    required = mx.where(counts, mx.clip(required, low, high), mx.inf)
    ordered = mx.sort(required, axis=0)
    tokens = counts.sum().astype(mx.int64)
    known = mx.any(finite, axis=0)
    experts = mx.maximum(known.sum(), k).astype(mx.int64)
    # The position k / E (tokens - 1) of the quantile, in integers.
    scaled = mx.maximum(tokens - 1, 0) * k
    before = scaled // experts
    after = mx.minimum(before + 1, mx.maximum(tokens - 1, 0))
    part = (scaled % experts).astype(required.dtype) / experts.astype(required.dtype)
    low_value = mx.take(ordered, before, axis=0)
    quantile = low_value + part * (mx.take(ordered, after, axis=0) - low_value)
    return _centred(bias, quantile, known, tokens)


def quantile_histogram(
    bias: mx.array,
    scores: mx.array,
    k: int,
    bins: int = 1000,
    mask: mx.array | None = None,
    group: mx.distributed.Group | None = None,
) -> mx.array:
    r"""Counts the :math:`r_{ij}` of :func:`quantile_expert_bias` in bins.

    The bins of an expert have equal widths and cover ``min(bias) - 1`` to
    ``max(bias) + 1``, where every :math:`r_{ij}` lies if the scores are between 0 and
    1. Other values are counted in the first or the last bin, those of masked experts in
    the last one. Histograms of the same
    bias can be added up, over the parts of a batch and over processes, so the quantile
    of a global batch needs ``E * bins`` integers and not its scores.

    Source: Kimi K3's technical report, appendix D; TransformerEngine has it. Cost: one
    selection for each token, and one addition for each token and expert.

    Args:
        bias, scores, k, mask: As in :func:`quantile_expert_bias`.
        bins (int, optional): The number of bins of an expert. Default: ``1000``.
        group (Group, optional): Adds up the histograms of all processes of the group.
            Default: this process only.

    Returns:
        array: Shape ``(E, bins)``, int32. It is 0 if ``k`` is ``E``.

    Raises:
        ValueError: a shape or a type is not as above, or ``k`` or ``bins`` is out of
            range.
        TypeError: ``k`` or ``bins`` is not an integer.
        IndexError: ``scores`` have no dimensions.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> scores = mx.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.4], [0.6, 0.5]])
        >>> routing.quantile_histogram(mx.zeros(2), scores, 1, bins=4)
        array([[2, 2, 0, 0],
               [0, 0, 4, 0]], dtype=int32)
    """
    return _quantile_histogram(bias, scores, k, bins, mask, group)


def _quantile_histogram(bias, scores, k, bins, mask, group):
    op = "quantile_histogram"
    bins = checked_integer(op, "bins", bins)
    if bins < 1:
        raise ValueError(f"[{op}] bins must be positive, got {bins}.")
    k, rows = _checked(op, bias, scores, k, mask)
    histogram = mx.zeros(bias.size * bins, mx.int32)
    if k < bias.size and scores.size > 0:
        required, counts = rows
        low, width = _bins(bias.astype(required.dtype), bins)
        # The limits come before the cast, since infinities have no integer.
        places = mx.clip(mx.floor((required - low) / width), 0, bins - 1)
        places = mx.where(counts, places, 0).astype(mx.int32)
        places = places + bins * mx.arange(bias.size)
        ones = mx.broadcast_to(counts, places.shape).astype(mx.int32)
        histogram = histogram.at[places.flatten()].add(ones.flatten())
    histogram = mx.stop_gradient(histogram.reshape(bias.size, bins))
    if group is not None:
        histogram = mx.distributed.all_sum(histogram, group=group)
    return histogram


def histogram_expert_bias(bias: mx.array, histogram: mx.array, k: int) -> mx.array:
    """Computes the bias of :func:`quantile_expert_bias` from histograms.

    The quantile is interpolated linearly within its bin, so it is off by at most the
    width of a bin, ``(max(bias) - min(bias) + 2) / bins``, before the mean is
    subtracted. Where scores crowd together, as those of a saturated sigmoid do near 1,
    more bins are needed. Source: see :func:`quantile_histogram`. Cost: one pass over
    ``histogram``. Bias and what is contested: see :func:`quantile_expert_bias`.

    Args:
        bias (array): Shape ``(E,)``, floating: the bias with which the histogram was
            made.
        histogram (array): Shape ``(E, bins)``, integers: what
            :func:`quantile_histogram` returned, or a sum of that.
        k (int): The number of experts that a token chooses, from 1 to ``E``.

    Returns:
        array: The new bias, of the shape and type of ``bias``. It has no gradient, and
        equals ``bias`` if the histogram is empty or ``k`` is ``E``.

    Raises:
        ValueError: a shape or a type is not as above, or ``k`` is out of range.
        TypeError: ``k`` is not an integer.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> scores = mx.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.4], [0.6, 0.5]])
        >>> counts = routing.quantile_histogram(mx.zeros(2), scores, 1, bins=100)
        >>> bias = routing.histogram_expert_bias(mx.zeros(2), counts, 1)
        >>> mx.argmax(scores + bias, axis=-1)
        array([0, 0, 1, 1], dtype=uint32)
    """
    return _histogram_expert_bias(bias, histogram, k)


def _histogram_expert_bias(bias, histogram, k):
    op = "histogram_expert_bias"
    k = _checked_bias(op, bias, k)
    if not mx.issubdtype(histogram.dtype, mx.integer):
        raise ValueError(f"[{op}] histogram must be integers, got {histogram.dtype}.")
    if histogram.ndim != 2 or histogram.shape[0] != bias.size or histogram.size == 0:
        raise ValueError(
            f"[{op}] histogram must have shape ({bias.size},bins), "
            f"got {shape_of(histogram)}."
        )
    if k == bias.size:
        return mx.stop_gradient(bias)
    wide = bias if bias.dtype == mx.float64 else bias.astype(mx.float32)
    bins = histogram.shape[1]
    low, width = _bins(wide, bins)
    histogram = histogram.astype(mx.int64)
    tokens = histogram.sum(axis=1)
    # Where an expert is masked, the count is in the last bin.
    known = histogram[:, -1] < tokens
    experts = mx.maximum(known.sum(), k)
    # All counts are multiplied by E, so that the target k / E of them is an integer.
    until = mx.cumsum(histogram, axis=1) * experts
    target = tokens[:, None] * k
    bin_ = mx.minimum((until < target).sum(axis=1, keepdims=True), bins - 1)
    inside = mx.take_along_axis(histogram, bin_, axis=1) * experts
    missing = target - (mx.take_along_axis(until, bin_, axis=1) - inside)
    part = missing.astype(wide.dtype) / mx.maximum(inside, 1).astype(wide.dtype)
    quantile = low + width * (bin_.astype(wide.dtype) + part).squeeze(1)
    return _centred(bias, quantile, known, tokens.max())


def _bins(bias, bins):
    """Returns where the first bin begins, and the width of a bin."""
    low = bias.min() - 1
    return low, (bias.max() + 1 - low) / bins


def _centred(bias, quantile, known, tokens):
    """Returns the new bias, with a mean of 0, where the quantile is known."""
    moved = mx.where(known, quantile, bias.astype(quantile.dtype))
    moved = moved - moved.mean()
    return mx.stop_gradient(mx.where(tokens > 0, moved.astype(bias.dtype), bias))


def _checked_bias(op, bias, k):
    check_floating(op, "bias", bias)
    if bias.ndim != 1:
        raise ValueError(f"[{op}] bias must have shape (E,), got {shape_of(bias)}.")
    k = checked_integer(op, "k", k)
    if not 1 <= k <= bias.size:
        raise ValueError(f"[{op}] k must be between 1 and {bias.size}, got {k}.")
    return k


def _checked(op, bias, scores, k, mask):
    """Returns ``k`` and, unless it is ``E``, what each row requires of the bias.

    The latter is a pair: the :math:`r_{ij}`, of shape ``(N, E)``, and which rows
    count, of shape ``(N, 1)``.
    """
    k = _checked_bias(op, bias, k)
    check_floating(op, "scores", scores)
    checked_axis(op, scores, -1)
    check_shape(op, "scores", scores, (*scores.shape[:-1], bias.size))
    if mask is not None:
        mask = checked_mask(op, mask, scores.shape[:-1])
    if k == bias.size or scores.size == 0:
        return k, None
    scores = mx.stop_gradient(mx.flatten(scores[None], 0, -2))
    if scores.dtype != mx.float64:
        scores = scores.astype(mx.float32)
    counts = ~mx.any(mx.isnan(scores), axis=-1, keepdims=True)
    if mask is not None:
        counts = counts & mask.reshape(-1, 1)
    scores = mx.where(counts, scores, 0)
    biased = scores + mx.stop_gradient(bias).astype(scores.dtype)
    # The worst of the k + 1 best comes first.
    threshold = mx.topk(biased, k + 1)[:, :1]
    masked = scores == -mx.inf
    return k, (mx.where(masked, mx.inf, threshold - scores), counts)
