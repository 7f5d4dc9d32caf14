"""Gradient estimators for a choice of experts; each states what it assumes."""

import mlx.core as mx
from mlx.nn.routing._checks import (
    check_floating,
    check_indices,
    check_shape,
    checked_axis,
    checked_k,
    checked_mask,
    shape_of,
)


def straight_through(hard: mx.array, soft: mx.array) -> mx.array:
    """Returns ``hard`` in the forward pass, with the gradient of ``soft``.

    Source: Bengio et al., 2013 (arXiv 1308.3432). Bias: the gradient is not that of
    the function that is computed; it is better the nearer ``soft`` is to ``hard``.
    Cost: that of ``soft``. The usual ``hard + soft - stop_gradient(soft)`` rounds
    ``hard``; this returns it bit for bit.

    Args:
        hard (array): The value, of any type. It gets no gradient.
        soft (array): The array that gets the gradient, floating, of the shape of
            ``hard``. Entries that are infinite or NaN get none.

    Returns:
        array: ``hard``, cast to the type of ``soft``.

    Raises:
        ValueError: the shapes differ, or ``soft`` is not floating.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> def second(x):
        ...     hard = (x == x.max()).astype(x.dtype)
        ...     return routing.straight_through(hard, mx.softmax(x))[1]
        >>> x = mx.array([0.0, 0.0, 1.0])
        >>> second(x)
        array(0, dtype=float32)
        >>> [round(g, 4) for g in mx.grad(second)(x).tolist()]
        [-0.0449, 0.167, -0.1221]
    """
    check_floating("straight_through", "soft", soft)
    check_shape("straight_through", "soft", soft, hard.shape)
    return mx.stop_gradient(hard.astype(soft.dtype)) - _minus_gradient_of(soft)


def _minus_gradient_of(soft):
    """Returns zeros whose gradient is that of ``-soft``, for a caller to subtract.

    Subtracting 0.0 changes no number, while adding it turns -0.0 into 0.0.
    """
    return mx.where(mx.isfinite(soft), mx.stop_gradient(soft) - soft, 0)


def dense_router(
    probs: mx.array,
    indices: mx.array,
    outputs: mx.array,
    weights: mx.array | None = None,
    mean: mx.array | None = None,
) -> mx.array:
    r"""Returns a sparse mixture that trains its router like a dense one.

    The value is :math:`\sum_j w_j y_{i_j}` over the chosen experts. ``probs`` get
    the gradient of :math:`\sum_i p_i y_i` over all experts. The outputs of chosen
    experts get the gradient of the sparse mixture, the others exactly zero.

    Source: DenseMixer (Yao et al., 2025); with ``mean``, Default MoE (Panda et al.,
    arXiv 2504.12463). Bias: the router's gradient is exact for the dense mixture, but
    the sparse one is computed. ``mean`` adds the error of using an expert's mean
    output. Cost: without ``mean`` all experts run forward, the chosen ones backward.

    Args:
        probs (array): Shape ``(..., E)``, floating: the router's probabilities. A
            row of zeros is an input without experts: with default ``weights`` its
            output is 0 if the expert outputs are finite, and experts get no gradient
            from it. The row itself gets the gradient of the dense mixture, but
            :class:`TopKRouter` passes none of it on to its parameters.
        indices (array): The chosen experts, integers of shape ``(..., k)``, with no
            expert twice.
        outputs (array): Floating, of shape ``(..., E, D)``: the outputs of all
            experts. With ``mean``, of shape ``(..., k, D)``: those of the chosen
            experts, in the order of ``indices``.
        weights (array, optional): Shape ``(..., k)``: the weights of the chosen
            experts. They get no gradient. Default: ``probs`` at ``indices``.
        mean (array, optional): Shape ``(E, D)``: the mean output of each expert, see
            :func:`update_expert_mean`. It gets no gradient.

    Returns:
        array: Shape ``(..., D)``, computed in the type of ``outputs``.

    Raises:
        ValueError: the shapes do not match, ``indices`` are not integers, or
            ``probs`` or ``outputs`` are not floating.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> probs, outputs = mx.array([0.5, 0.3, 0.2]), mx.array([[1.0], [2.0], [4.0]])
        >>> chosen = mx.topk(probs, 1, return_indices=True).indices
        >>> y = lambda probs: routing.dense_router(probs, chosen, outputs)[0]
        >>> y(probs), mx.grad(y)(probs)
        (array(0.5, dtype=float32), array([1, 2, 4], dtype=float32))
    """
    _check_mixture(probs, indices, outputs, mean)
    if weights is None:
        weights = mx.take_along_axis(probs, indices, axis=-1)
    check_shape("dense_router", "weights", weights, indices.shape)
    dtype = outputs.dtype
    probs, weights = probs.astype(dtype), mx.stop_gradient(weights).astype(dtype)
    dense = _dense_mixture(probs, indices, mx.stop_gradient(outputs), mean)
    if mean is None:
        outputs = mx.take_along_axis(outputs, indices[..., None], axis=-2)
    return _weighted_sum(weights, outputs) - _minus_gradient_of(dense)


def _dense_mixture(probs, indices, outputs, mean):
    """Returns the mixture of all experts by ``probs``.

    With ``mean``, experts that were not chosen are replaced by their mean output.
    """
    if mean is None:
        return _weighted_sum(probs, outputs)
    mean = mx.stop_gradient(mean).astype(outputs.dtype)
    correction = outputs - mx.take(mean, indices, axis=0)
    chosen_probs = mx.take_along_axis(probs, indices, axis=-1)
    return probs @ mean + _weighted_sum(chosen_probs, correction)


def _weighted_sum(weights, outputs):
    return (weights[..., None, :] @ outputs).squeeze(-2)


def _check_mixture(probs, indices, outputs, mean):
    check_floating("dense_router", "probs", probs)
    check_floating("dense_router", "outputs", outputs)
    check_indices("dense_router", indices)
    if min(probs.ndim, indices.ndim) == 0 or outputs.ndim != probs.ndim + 1:
        raise ValueError(
            "[dense_router] probs (...,E), indices (...,k) and outputs (...,E,D) or "
            f"(...,k,D) are needed, got shapes {shape_of(probs)}, "
            f"{shape_of(indices)} and {shape_of(outputs)}."
        )
    *batch, experts = probs.shape
    k, size = indices.shape[-1], outputs.shape[-1]
    check_shape("dense_router", "indices", indices, (*batch, k))
    count = experts if mean is None else k
    check_shape("dense_router", "outputs", outputs, (*batch, count, size))
    if mean is not None:
        check_shape("dense_router", "mean", mean, (experts, size))


def update_expert_mean(
    mean: mx.array,
    outputs: mx.array,
    indices: mx.array,
    decay: float = 0.99,
    mask: mx.array | None = None,
) -> mx.array:
    r"""Updates the running mean of each expert's output, for :func:`dense_router`.

    .. math::
        m_i \leftarrow d \, m_i + (1 - d) \, \bar y_i

    :math:`\bar y_i` is the mean output of expert ``i`` in this call, and ``d`` the
    decay. An expert that was not chosen keeps its mean. Source: Default MoE (Panda et
    al., arXiv 2504.12463).

    Args:
        mean (array): Shape ``(E, D)``, floating: the means so far.
        outputs (array): Shape ``(..., k, D)``, floating: the outputs of the chosen
            experts.
        indices (array): Shape ``(..., k)``, integers: the chosen experts.
        decay (float, optional): The weight of the old mean, from 0 to 1.
            Default: ``0.99``.
        mask (array, optional): The tokens that count: bool, of a shape that
            broadcasts to that of ``indices`` without its last axis. The result is that
            of the batch without the other tokens, even if they are NaN. Default: all
            tokens count.

    Returns:
        array: The new means, of the shape and type of ``mean``. They are computed in
        float32 and have no gradient. They equal ``mean`` if no token
        counts.

    Raises:
        ValueError: the shapes do not match, ``indices`` are not integers, ``mask`` is
            not bool or does not broadcast, or ``decay`` is not between 0 and 1.
        IndexError: ``indices`` have no dimensions.
    """
    check_indices("update_expert_mean", indices)
    checked_axis("update_expert_mean", indices, -1)
    if mean.ndim != 2:
        raise ValueError(
            f"[update_expert_mean] mean must have shape (E,D), got {shape_of(mean)}."
        )
    wanted = (*indices.shape, mean.shape[1])
    check_shape("update_expert_mean", "outputs", outputs, wanted)
    if not 0 <= decay <= 1:
        raise ValueError(
            f"[update_expert_mean] decay must be between 0 and 1, got {decay}."
        )
    counts = None
    if mask is not None:
        mask = checked_mask("update_expert_mean", mask, indices.shape[:-1])
        counts = mx.broadcast_to(mask[..., None], indices.shape)
    return updated_mean(mean, outputs, indices, decay, counts)


def updated_mean(mean, outputs, indices, decay, counts=None):
    """Does what ``update_expert_mean`` does, for the choices where ``counts`` is true.

    ``counts`` has the shape of ``indices``.
    """
    experts, size = mean.shape
    old = mx.stop_gradient(mean).astype(mx.float32)
    answers = mx.stop_gradient(outputs).astype(mx.float32).reshape(-1, size)
    chosen = indices.reshape(-1, 1) == mx.arange(experts)
    if counts is not None:
        counts = counts.reshape(-1, 1)
        # A product with 0 would not remove NaN.
        answers = mx.where(counts, answers, 0)
        chosen = chosen & counts
    chosen = chosen.astype(mx.float32)
    count = chosen.sum(axis=0)[:, None]
    new = (chosen.T @ answers) / mx.maximum(count, 1)
    updated = mx.where(count > 0, decay * old + (1 - decay) * new, old)
    return updated.astype(mean.dtype)


def sample_topk(
    logits: mx.array, k: int, key: mx.array | None = None
) -> tuple[mx.array, mx.array]:
    r"""Draws ``k`` different entries, and returns the log-probability of the draw.

    The ``k`` largest of ``logits`` plus Gumbel noise are a draw without replacement
    from ``softmax(logits)``. Its ordered (Plackett-Luce) log-probability is

    .. math::
        \log P(i_1, \ldots, i_k) =
            \sum_j \Big(z_{i_j} - \log \sum_{i \notin \{i_1 .. i_{j-1}\}} e^{z_i}\Big)

    For a loss ``L`` of the indices, ``(L - baseline) * grad(log_prob)`` estimates the
    gradient of the expected loss. Bias: none if the baseline does not depend on the
    same draw; with several draws, the mean loss of the others is such a baseline. The
    variance is large, so average many draws. Cost: ``k`` times the size of
    ``logits``; only the chosen experts run. Source: Kool et al., ICML 2019.

    Args:
        logits (array): Shape ``(..., E)``, floating. An entry of ``-inf`` is masked:
            it is drawn only if no other is left, with log-probability ``-inf``
            and no gradient. If all entries are masked, the lowest indices are drawn.
        k (int): The number of entries to draw, from 0 to ``E``.
        key (array, optional): A PRNG key. Default: MLX's global state. Under
            :func:`mlx.core.vmap` map the key too, or all draws share their noise.

    Returns:
        tuple(array, array): The indices, uint32 of shape ``(..., k)``, in the order
        drawn, and the log-probability, of shape ``(...)``, differentiable in
        ``logits``. It is float32 for half types.

    Raises:
        ValueError: ``k`` is out of range, or ``logits`` are not floating.
        TypeError: ``k`` is not an integer.
        IndexError: ``logits`` have no dimensions.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> logits = mx.array([0.0, 1.0, 2.0])
        >>> indices, log_prob = routing.sample_topk(logits, 2, mx.random.key(0))
        >>> indices.shape, log_prob.shape
        ((2,), ())
        >>> def score_function(logits, losses, key, draws=8):
        ...     many = mx.broadcast_to(logits, (draws, *logits.shape))
        ...     indices, log_prob = routing.sample_topk(many, 1, key)
        ...     loss = mx.take(losses, indices[:, 0])
        ...     others = (loss.sum() - loss) / (draws - 1)
        ...     return (mx.stop_gradient(loss - others) * log_prob).mean()
        >>> losses = mx.array([1.0, 0.0, 0.0])
        >>> mx.grad(score_function)(logits, losses, mx.random.key(0)).shape
        (3,)
    """
    check_floating("sample_topk", "logits", logits)
    k = checked_k("sample_topk", k, logits, checked_axis("sample_topk", logits, -1))
    z = logits if logits.dtype == mx.float64 else logits.astype(mx.float32)
    noise = mx.random.gumbel(z.shape, key=key).astype(z.dtype)
    perturbed = mx.stop_gradient(z) + noise
    indices = mx.topk(perturbed, k, sorted=True, return_indices=True).indices
    return indices, _ordered_log_prob(z, indices)


def _ordered_log_prob(z, indices):
    """Computes the Plackett-Luce log-probability of ``indices`` in their order."""
    if indices.shape[-1] == 0:
        return z[..., :0].sum(axis=-1)
    drawn = indices[..., None] == mx.arange(z.shape[-1])
    drawn_before = mx.cumsum(drawn, axis=-2, inclusive=False) > 0
    left = mx.where(drawn_before, -mx.inf, z[..., None, :])
    chosen = mx.take_along_axis(z, indices, axis=-1)
    # logsumexp of nothing but -inf has a gradient of NaN. Such draws are impossible,
    # and the value that replaces -inf here does not reach the result.
    possible = chosen != -mx.inf
    left = mx.where(possible[..., None], left, 0)
    log_probs = mx.where(possible, chosen - mx.logsumexp(left, axis=-1), -mx.inf)
    return log_probs.sum(axis=-1)
