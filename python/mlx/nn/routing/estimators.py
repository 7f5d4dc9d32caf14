"""Gradients for a choice, each with what it assumes."""

import mlx.core as mx
from mlx.nn.routing._checks import (
    checked_axis,
    checked_floating,
    checked_indices,
    checked_k,
    checked_shape,
    shape_of,
)


def straight_through(hard: mx.array, soft: mx.array) -> mx.array:
    """``hard`` going forward, the gradient of ``soft`` going back.

    Source: Bengio et al., 2013. Bias: the gradient is that of another function than
    the one computed, and how good it is depends on how near ``soft`` is to ``hard``.
    Cost: that of ``soft``. Written by hand as ``hard + soft - stop_gradient(soft)``
    it rounds; this does not.

    Args:
        hard (array): What is returned, bit for bit. It gets no gradient.
        soft (array): What is differentiated, floating, of the same shape. Entries
            that are not finite get no gradient.

    Returns:
        array: ``hard``, in the type of ``soft``.

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
    checked_floating("straight_through", "soft", soft)
    checked_shape("straight_through", "soft", soft, hard.shape)
    return mx.stop_gradient(hard.astype(soft.dtype)) - _minus_gradient_of(soft)


def _minus_gradient_of(soft):
    """Zeros to subtract: their gradient is that of ``-soft``.

    Subtracting 0.0 leaves each number as it is, while adding it changes -0.0.
    """
    return mx.where(mx.isfinite(soft), mx.stop_gradient(soft) - soft, 0)


def dense_router(
    probs: mx.array,
    indices: mx.array,
    outputs: mx.array,
    weights: mx.array | None = None,
    mean: mx.array | None = None,
) -> mx.array:
    r"""A sparse mixture whose router learns as if the mixture were dense.

    Going forward this is :math:`\sum_j w_j y_{i_j}` over the chosen experts. Going
    back, ``probs`` get the gradient of :math:`\sum_i p_i y_i` over all experts, the
    chosen experts that of the sparse mixture, and the others exactly none.

    Source: DenseMixer (Yao et al., 2025); with ``mean``, Default MoE (Panda et al.,
    arXiv 2504.12463). Bias: exact for the dense mixture, which is not what is
    computed; ``mean`` replaces what an expert would have answered by what it does on
    average. Cost: without ``mean``, unselected experts run, forward but not backward;
    with it they do not.

    Args:
        probs (array): Shape ``(..., E)``. What the router is trained through.
        indices (array): The chosen experts, integers of shape ``(..., k)``, with no
            expert twice.
        outputs (array): Shape ``(..., E, D)``: what all experts answer. With
            ``mean``, shape ``(..., k, D)``: what the chosen ones do, in the order of
            ``indices``.
        weights (array, optional): Shape ``(..., k)``: the weights of the chosen
            experts. They get no gradient. Default: ``probs`` at ``indices``.
        mean (array, optional): Shape ``(E, D)``: a running mean of what each expert
            answers, see :func:`update_expert_mean`. It gets no gradient.

    Returns:
        array: Shape ``(..., D)``, in the type of ``outputs``. Products are taken in
        that type; MLX's matmul accumulates those of half types in float32.

    Raises:
        ValueError: shapes do not fit, ``indices`` are no integers, or ``probs`` or
            ``outputs`` are not floating.

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
    checked_shape("dense_router", "weights", weights, indices.shape)
    dtype = outputs.dtype
    probs, weights = probs.astype(dtype), mx.stop_gradient(weights).astype(dtype)
    answers = mx.stop_gradient(outputs)
    if mean is None:
        outputs = mx.take_along_axis(outputs, indices[..., None], axis=-2)
        dense = _weighted(probs, answers)
    else:
        mean = mx.stop_gradient(mean).astype(dtype)
        better = answers - mx.take(mean, indices, axis=0)
        dense = probs @ mean
        dense = dense + _weighted(mx.take_along_axis(probs, indices, axis=-1), better)
    return _weighted(weights, outputs) - _minus_gradient_of(dense)


def _weighted(weights, outputs):
    return (weights[..., None, :] @ outputs).squeeze(-2)


def _check_mixture(probs, indices, outputs, mean):
    checked_floating("dense_router", "probs", probs)
    checked_floating("dense_router", "outputs", outputs)
    checked_indices("dense_router", indices)
    if min(probs.ndim, indices.ndim) == 0 or outputs.ndim != probs.ndim + 1:
        raise ValueError(
            "[dense_router] probs (...,E), indices (...,k) and outputs (...,E,D) or "
            f"(...,k,D) are needed, got shapes {shape_of(probs)}, "
            f"{shape_of(indices)} and {shape_of(outputs)}."
        )
    *batch, experts = probs.shape
    k, size = indices.shape[-1], outputs.shape[-1]
    checked_shape("dense_router", "indices", indices, (*batch, k))
    count = experts if mean is None else k
    checked_shape("dense_router", "outputs", outputs, (*batch, count, size))
    if mean is not None:
        checked_shape("dense_router", "mean", mean, (experts, size))


def update_expert_mean(
    mean: mx.array, outputs: mx.array, indices: mx.array, decay: float = 0.99
) -> mx.array:
    """A running mean of what each expert answers, for :func:`dense_router`.

    Source: Default MoE (Panda et al., arXiv 2504.12463). Experts that nobody chose
    keep the mean they have. Nothing here is differentiated.

    Args:
        mean (array): Shape ``(E, D)``, the mean so far.
        outputs (array): Shape ``(..., k, D)``, what the chosen experts answer.
        indices (array): Shape ``(..., k)``, the chosen experts.
        decay (float, optional): How much of the old mean stays, from 0 to 1.
            Default: ``0.99``.

    Returns:
        array: The new mean, of the shape and type of ``mean``; computed in float32.

    Raises:
        ValueError: shapes do not fit, ``indices`` are no integers, or ``decay`` is
            not between 0 and 1.
    """
    checked_indices("update_expert_mean", indices)
    if mean.ndim != 2:
        raise ValueError(
            f"[update_expert_mean] mean must have shape (E,D), got {shape_of(mean)}."
        )
    experts, size = mean.shape
    checked_shape("update_expert_mean", "outputs", outputs, (*indices.shape, size))
    if not 0 <= decay <= 1:
        raise ValueError(
            f"[update_expert_mean] decay must be between 0 and 1, got {decay}."
        )
    old = mx.stop_gradient(mean).astype(mx.float32)
    answers = mx.stop_gradient(outputs).astype(mx.float32).reshape(-1, size)
    chosen = (indices.reshape(-1, 1) == mx.arange(experts)).astype(mx.float32)
    count = chosen.sum(axis=0)[:, None]
    new = (chosen.T @ answers) / mx.maximum(count, 1)
    updated = mx.where(count > 0, decay * old + (1 - decay) * new, old)
    return updated.astype(mean.dtype)


def sample_topk(
    logits: mx.array, k: int, key: mx.array | None = None
) -> tuple[mx.array, mx.array]:
    r"""Draws ``k`` different entries, and says how likely that draw was.

    Gumbel top-k (Kool et al., ICML 2019): the ``k`` largest of ``logits`` plus
    Gumbel noise are a draw without replacement from ``softmax(logits)``, whose
    ordered (Plackett-Luce) log-probability is

    .. math::
        \log P(i_1, \ldots, i_k) =
            \sum_j \Big(z_{i_j} - \log \sum_{i \notin \{i_1 .. i_{j-1}\}} e^{z_i}\Big)

    For a loss ``L`` of the indices, ``(L - baseline) * grad(log_prob)`` is an
    unbiased estimate of the gradient of the expected loss as long as the baseline
    does not depend on the same draw: with several draws take the mean loss of the
    others. Bias: none. Its variance is large; average many draws. Cost: ``k`` times
    the size of ``logits``. Only the chosen experts need to run.

    Args:
        logits (array): Shape ``(..., E)``, floating. ``-inf`` masks an entry, which
            is drawn only when nothing else is left, at log-probability ``-inf``.
        k (int): How many, from 0 to ``E``.
        key (array, optional): A PRNG key. Default: MLX's global state. Under
            :func:`mlx.core.vmap` map the key too, or all draws share their noise.

    Returns:
        tuple(array, array): The indices, uint32 of shape ``(..., k)`` in the order
        drawn; and the log-probability of shape ``(...)``, which is differentiable in
        ``logits``. It is float32 (float64 for float64), for half types too.

    Raises:
        ValueError: ``k`` is out of range, or ``logits`` are not floating.
        TypeError: ``k`` is no integer.
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
    checked_floating("sample_topk", "logits", logits)
    k = checked_k("sample_topk", k, logits, checked_axis("sample_topk", logits, -1))
    z = logits if logits.dtype == mx.float64 else logits.astype(mx.float32)
    noise = mx.random.gumbel(z.shape, key=key).astype(z.dtype)
    perturbed = mx.stop_gradient(z) + noise
    indices = mx.topk(perturbed, k, sorted=True, return_indices=True).indices
    return indices, _ordered_log_prob(z, indices)


def _ordered_log_prob(z, indices):
    """The Plackett-Luce log-probability of ``indices`` in their order."""
    if indices.shape[-1] == 0:
        return z[..., :0].sum(axis=-1)
    drawn = indices[..., None] == mx.arange(z.shape[-1])
    drawn_before = mx.cumsum(drawn, axis=-2, inclusive=False) > 0
    left = mx.where(drawn_before, -mx.inf, z[..., None, :])
    chosen = mx.take_along_axis(z, indices, axis=-1)
    # With nothing but -inf left, logsumexp has no gradient to give.
    possible = chosen != -mx.inf
    left = mx.where(possible[..., None], left, 0)
    log_probs = mx.where(possible, chosen - mx.logsumexp(left, axis=-1), -mx.inf)
    return log_probs.sum(axis=-1)
