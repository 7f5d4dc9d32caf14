"""A smooth top-k: entries between 0 and 1 that sum to k."""

import math
from typing import Literal

import mlx.core as mx
from mlx.nn.routing._checks import (
    checked_axis,
    checked_choice,
    checked_floating,
    checked_k,
    checked_positive,
)

_KINDS = ("sigmoid", "laplace")

# The root lies within log(2 n) of where it is first sought, which is 23 at most.
# Halving that 8 times leaves less than 0.1, and since the logarithm of the slope
# changes no faster than the root, Newton's method goes from 0.1 to 1e-9 in 3 steps.
_HALVINGS = 8
_NEWTON_STEPS = 4

# How many numbers are added up in order.
_BLOCK = 32


def soft_topk(
    x: mx.array,
    k: int,
    tau: float = 1.0,
    kind: Literal["sigmoid", "laplace"] = "sigmoid",
    axis: int = -1,
) -> mx.array:
    r"""A smooth relaxation of the mask of the ``k`` largest entries along an axis.

    .. math::
        p_i = F\left(\frac{x_i - b}{\tau}\right), \qquad \sum_i p_i = k

    with the one threshold :math:`b` that makes the sum right. ``F`` is the
    distribution function of the logistic (``"sigmoid"``) or of the Laplace
    distribution (``"laplace"``, for which this is LapSum: Struski et al., ICML 2025).
    With :math:`f = F'` and the cotangent :math:`c` the gradient is

    .. math::
        \frac{1}{\tau} f \left(c - \frac{\langle f, c\rangle}{\sum_i f_i}\right)

    As ``tau`` goes to 0, ``p`` goes to the mask of 0 and 1 that :func:`mlx.core.topk`
    chooses, except that entries which tie for the last places share them equally.

    Bias: the gradient is exact for ``p``. Of a loss on the hard mask it is a biased
    estimate, less so but more variable the smaller ``tau``. Cost: 13 passes over
    ``x`` and one ``mx.topk`` of ``k + 1``. What is multiplied by ``p`` must be
    computed for all entries: in a mixture, all experts run.

    Derivatives of any order exist under all of MLX's transforms; only
    ``mx.compile(..., shapeless=True)`` refuses this, as any custom function. For
    ``"laplace"`` the second jumps where ``p`` is 1/2, and is taken as the mean there.

    Args:
        x (array): Scores of any shape, floating. ``-inf`` masks an entry: its ``p``
            is 0, and if fewer than ``k`` remain theirs are 1. ``inf`` counts as the
            greatest finite number. A NaN makes its row NaN.
        k (int): What the entries sum to, from 0 to the size of the axis.
        tau (float, optional): The temperature, in the units of ``x``. For one that
            is an array divide ``x`` by it. Default: ``1.0``.
        kind (str, optional): ``"sigmoid"`` or ``"laplace"``. Default: ``"sigmoid"``.
        axis (int, optional): The axis. Default: ``-1``.

    Returns:
        array: ``p``, of the shape and type of ``x``. float16 and bfloat16 are
        computed in float32 and rounded at the end. In float32, for any finite input,
        each entry is within 1e-6 of its exact value, and their sum within 2e-6 of
        ``k`` in proportion. In float64 too ``mx.exp`` has a float32's accuracy.

    Raises:
        ValueError: ``k``, ``tau``, ``kind`` or the type of ``x`` is not as above.
        TypeError: ``k`` is no integer, or ``tau`` is an array.
        IndexError: ``x`` has no such axis.

    Example:
        >>> import mlx.core as mx
        >>> from mlx.nn import routing
        >>> x = mx.array([2.0, 1.0, 0.0, -1.0])
        >>> p = routing.soft_topk(x, 2)
        >>> [round(p_i, 4) for p_i in p.tolist()], p.sum().item()
        ([0.8176, 0.6225, 0.3775, 0.1824], 2.0)
        >>> routing.soft_topk(x, 2, tau=0.001)
        array([1, 1, 0, 0], dtype=float32)
    """
    checked_floating("soft_topk", "x", x)
    axis = checked_axis("soft_topk", x, axis)
    k = checked_k("soft_topk", k, x, axis)
    tau = checked_positive("soft_topk", "tau", tau)
    checked_choice("soft_topk", "kind", kind, _KINDS)
    if x.size == 0:
        return mx.zeros_like(x)
    rows = mx.moveaxis(x, axis, -1)
    if x.dtype != mx.float64:
        rows = rows.astype(mx.float32)
    # What a float32 cannot hold is as good as the last that it can.
    limits = mx.finfo(rows.dtype)
    tau = min(max(tau, 2.0 * limits.smallest_normal), limits.max)
    p, _, _ = _relaxed(k, tau, kind)(rows)
    return mx.moveaxis(p, -1, axis).astype(x.dtype)


def _relaxed(k: int, tau: float, kind: str):
    """The function of rows that returns ``p``, ``1 - p`` and ``f / sum f``.

    These three have derivatives in terms of each other, without a division:

    | ``dz = (dx - <f / sum f, dx>) / tau``, ``dp = f dz``, and ``f / sum f`` is the
    | softmax of ``log f``, where ``d log f = (log f)' dz``,

    so that the rules below hold to any order, and where ``p`` is nearly hard too.
    """

    @mx.custom_function
    def relaxed(x):
        return _solution(x, k, tau, kind)

    @relaxed.vjp
    def vjp(_, cotangents, outputs):
        p, rest, share = outputs
        c_p, c_rest, c_share = cotangents
        density, slope = _density(p, rest, kind)
        c_log = share * (c_share - _sum(share * c_share))
        c_z = density * (c_p - c_rest) + slope * c_log
        return (c_z - share * _sum(c_z)) / tau

    @relaxed.jvp
    def jvp(x, tangent):
        p, rest, share = relaxed(x)
        density, slope = _density(p, rest, kind)
        d_z = (tangent - _sum(share * tangent)) / tau
        d_log = slope * d_z
        return density * d_z, -density * d_z, share * (d_log - _sum(share * d_log))

    @relaxed.vmap
    def vmap(x, axis):
        return relaxed(mx.moveaxis(x, axis, 0)), (0, 0, 0)

    return relaxed


def _sum(x):
    """Sums rows block by block: on the CPU MLX adds up in order, and loses digits."""
    while x.shape[-1] > _BLOCK:
        missing = -x.shape[-1] % _BLOCK
        if missing:
            x = mx.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])
        x = mx.unflatten(x, -1, (-1, _BLOCK)).sum(axis=-1)
    return mx.sum(x, axis=-1, keepdims=True)


def _density(p, rest, kind):
    """``f`` and the derivative of ``log f``, from ``p`` and ``1 - p``."""
    if kind == "sigmoid":
        return p * rest, rest - p
    return mx.minimum(p, rest), mx.sign(rest - p)


def _solution(x, k, tau, kind):
    masked = x == -mx.inf
    t, upper = _offsets(x, masked, k, tau)
    z = t - _root(t, upper, k, kind)
    not_a_number = mx.any(mx.isnan(x), axis=-1, keepdims=True)
    p, rest = _tail(z, kind), _tail(-z, kind)
    # Softmax of log f. Where f underflows throughout, so does the gradient.
    far = mx.minimum(mx.abs(z), 1e30)
    log_density = -far - (2 * mx.log1p(mx.exp(-far)) if kind == "sigmoid" else 0)
    weights = mx.exp(log_density - mx.max(log_density, axis=-1, keepdims=True))
    share = weights / _sum(weights)
    return tuple(mx.where(not_a_number, mx.nan, out) for out in (p, rest, share))


def _offsets(x, masked, k, tau):
    """``x`` in units of ``tau``, seen from amid the last chosen and the next entry.

    Each is subtracted from the nearer of these two, so that no difference of
    entries gets lost, be they large, equal or far apart. Also says which entries
    are no less than the last chosen one.
    """
    x = mx.minimum(x, mx.finfo(x.dtype).max)
    # Halves of finite numbers have finite differences.
    half, unit = x / 2, tau / 2
    best = mx.topk(half, min(k + 1, x.shape[-1]), sorted=True)
    last = best[..., k - 1 : k] if k > 0 else mx.full_like(best, mx.inf)
    after = best[..., k:] if k < x.shape[-1] else mx.full_like(last, -mx.inf)
    open_end = (after == -mx.inf) | (last == mx.inf)
    gap = mx.where(open_end, mx.inf, (last - after) / unit)
    upper = half >= last
    t = mx.where(upper, (half - last) / unit + gap / 2, (half - after) / unit - gap / 2)
    return mx.where(masked, -mx.inf, t), upper


def _root(t, upper, k, kind):
    """The ``u`` for which ``F(t - u)`` sums to ``k``.

    Sought as the balance between what the upper entries lack and what the lower
    ones have: both may be tiny, and neither is a difference. Upper entries beyond
    ``k`` tie for the last place, and one more of them counts as a lower one.
    """
    sign = mx.where(upper, -1.0, 1.0).astype(t.dtype)
    excess = _sum(upper.astype(t.dtype)) - k
    u = mx.zeros_like(excess)
    step = math.log(2 * t.shape[-1])
    for _ in range(_HALVINGS):
        step /= 2
        balance = _sum(sign * _tail(sign * (t - u), kind)) + excess
        u = mx.where(balance > 0, u + step, u - step)
    for _ in range(_NEWTON_STEPS):
        z = t - u
        balance = _sum(sign * _tail(sign * z, kind)) + excess
        slope = _sum(_density(_tail(z, kind), _tail(-z, kind), kind)[0])
        u = u + mx.where(slope > 0, mx.clip(balance / slope, -1, 1), 0)
    return u


def _tail(z, kind):
    """The distribution function ``F``, exact where it is small."""
    if kind == "sigmoid":
        return mx.sigmoid(z)
    e = mx.exp(-mx.abs(z)) / 2
    return mx.where(z < 0, e, 1 - e)
