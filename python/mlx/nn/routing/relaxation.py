"""A smooth approximation of top-k: entries between 0 and 1 that sum to k.

Accuracy: half types are computed in float32 and rounded once. In float32, for any
finite input, each entry is within 1e-6 of its exact value, and a row's sum within
``2e-6 * k`` of ``k``. float64 is no more accurate, since ``mx.exp`` of float64 has the
accuracy of float32.

Derivatives exist to any order. Where ``p`` is 1/2, the second derivative of
``"laplace"`` jumps, and the mean of both sides is returned. Like every custom function
of MLX, ``soft_topk`` is refused by ``mx.compile(..., shapeless=True)`` and
``mx.export_function``.
"""

import math
from typing import Literal

import mlx.core as mx
from mlx.nn.routing._checks import (
    check_floating,
    checked_axis,
    checked_choice,
    checked_k,
    checked_positive,
)

_KINDS = ("sigmoid", "laplace")

# The search for the threshold starts within log(2 n) of it, in units of tau. That is
# below 23 for any axis. Halving that distance 8 times leaves less than 0.1. From there
# Newton's method needs 3 steps to reach 1e-9, because the derivative of log(slope) is
# at most 1. The fourth step is a margin.
_HALVINGS = 8
_NEWTON_STEPS = 4

# `_sum` adds up blocks of this many numbers.
_BLOCK = 32


def soft_topk(
    x: mx.array,
    k: int,
    tau: float = 1.0,
    kind: Literal["sigmoid", "laplace"] = "sigmoid",
    axis: int = -1,
) -> mx.array:
    r"""Returns a smooth approximation of the mask of the ``k`` largest entries.

    .. math::
        p_i = F\left(\frac{x_i - b}{\tau}\right), \qquad \sum_i p_i = k

    :math:`F` is the distribution function of the logistic distribution
    (``"sigmoid"``) or of the Laplace distribution (``"laplace"``). The threshold
    :math:`b` makes the sum right. With :math:`f = F'`, the gradient for a cotangent
    :math:`c` is :math:`f \, (c - \langle f, c\rangle / \sum_i f_i) \, / \, \tau`.
    Source: LapSum (Struski et al., ICML 2025), which is ``"laplace"``.

    As ``tau`` goes to 0, ``p`` goes to the mask of :func:`mlx.core.topk`, except that
    entries which tie for the last places share them equally. Bias: none for ``p``
    itself. The gradient is a biased estimate for a loss of the hard mask: a smaller
    ``tau`` gives less bias and more variance. Cost: 13 passes over ``x`` and one
    ``mx.topk`` of ``k + 1``. Whatever ``p`` multiplies is needed for all entries: in
    a mixture, all experts run.

    Args:
        x (array): Scores of any shape, floating. ``-inf`` masks an entry: its ``p``
            is 0, and if at most ``k`` others remain, theirs is 1, without gradients.
            ``inf`` counts as the greatest finite number. A NaN makes its row NaN.
        k (int): The sum of the entries, from 0 to the size of the axis.
        tau (float, optional): The temperature, in the units of ``x``. For a
            temperature in an array, divide ``x`` by it. Default: ``1.0``.
        kind (str, optional): ``"sigmoid"`` or ``"laplace"``. Default: ``"sigmoid"``.
        axis (int, optional): The axis. Default: ``-1``.

    Returns:
        array: ``p``, of the shape and type of ``x``. The docstring of the module
        ``mlx.nn.routing.relaxation`` states its accuracy.

    Raises:
        ValueError: ``k``, ``tau``, ``kind`` or the type of ``x`` is not as above.
        TypeError: ``k`` is not an integer, or ``tau`` is an array.
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
    check_floating("soft_topk", "x", x)
    axis = checked_axis("soft_topk", x, axis)
    k = checked_k("soft_topk", k, x, axis)
    tau = checked_positive("soft_topk", "tau", tau)
    checked_choice("soft_topk", "kind", kind, _KINDS)
    return _relaxed_along(x, k, tau, kind, axis)


def _relaxed_along(x, k, tau, kind, axis):
    if x.size == 0:
        return mx.zeros_like(x)
    rows = mx.moveaxis(x, axis, -1)
    if x.dtype != mx.float64:
        rows = rows.astype(mx.float32)
    # A tau that the type cannot represent gives the result of the nearest one.
    limits = mx.finfo(rows.dtype)
    tau = min(max(tau, 2.0 * limits.smallest_normal), limits.max)
    p, _, _ = _relaxed(k, tau, kind)(rows)
    return mx.moveaxis(p, -1, axis).astype(x.dtype)


def _relaxed(k: int, tau: float, kind: str):
    """Returns a function of rows with the outputs ``p``, ``1 - p`` and ``f / sum f``.

    With ``z = (x - b) / tau``, the derivatives of these three need only the three
    themselves:

    - ``dz = (dx - <f / sum f, dx>) / tau`` and ``dp = f dz``;
    - ``f / sum f`` is the softmax of ``log f``, and ``d log f = (log f)' dz``.

    So the rules below can be differentiated again, to any order. They divide by
    nothing that may underflow, so they hold for a nearly hard ``p`` too.
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
    """Sums each row, in blocks of `_BLOCK` and then over the blocks.

    MLX's sum on the CPU adds one number after another, which loses digits in a long
    row.
    """
    while x.shape[-1] > _BLOCK:
        missing = -x.shape[-1] % _BLOCK
        if missing:
            x = mx.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])
        x = mx.unflatten(x, -1, (-1, _BLOCK)).sum(axis=-1)
    return mx.sum(x, axis=-1, keepdims=True)


def _density(p, rest, kind):
    """Returns ``f`` and the derivative of ``log f``. ``rest`` is ``1 - p``."""
    if kind == "sigmoid":
        return p * rest, rest - p
    return mx.minimum(p, rest), mx.sign(rest - p)


def _solution(x, k, tau, kind):
    """Returns ``p``, ``1 - p`` and ``f / sum f`` of each row."""
    masked = x == -mx.inf
    t, upper = _offsets(x, masked, k, tau)
    z = t - _root(t, upper, k, kind)
    not_a_number = mx.any(mx.isnan(x), axis=-1, keepdims=True)
    p, rest = _tail(z, kind), _tail(-z, kind)
    # Computes f / sum f as the softmax of log f. This is finite even if every f
    # underflows to 0. z is infinite for masked entries. It is limited to a finite
    # number, because the difference of two infinities would be NaN.
    far = mx.minimum(mx.abs(z), 1e30)
    log_density = -far - (2 * mx.log1p(mx.exp(-far)) if kind == "sigmoid" else 0)
    weights = mx.exp(log_density - mx.max(log_density, axis=-1, keepdims=True))
    share = weights / _sum(weights)
    return tuple(mx.where(not_a_number, mx.nan, out) for out in (p, rest, share))


def _offsets(x, masked, k, tau):
    """Returns ``(x - m) / tau``, and a mask of the entries that reach the k-th largest.

    ``m`` is the midpoint between the k-th largest entry (``last``) and the next one
    (``after``). It is not subtracted directly, which would lose digits. Entries that
    reach ``last`` get ``x - last`` plus half of the gap between the two. All others get
    ``x - after`` minus half of the gap.
    """
    x = mx.minimum(x, mx.finfo(x.dtype).max)
    # The difference of two halves is finite for any two finite numbers.
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
    """Returns the ``u`` for which ``F(t - u)`` sums to ``k``.

    ``balance`` is that sum minus ``k``. It is computed as the sum of ``F`` over the
    lower entries, minus the sum of ``1 - F`` over the ``upper`` ones, plus the number
    of upper entries beyond ``k``, which tie for the last place. If the choice is nearly
    hard, the first two sums are tiny. They keep their digits here, while a sum that is
    close to ``k`` would round them away.
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
    """Returns ``F(z)`` with a small relative error, however small ``F(z)`` is."""
    if kind == "sigmoid":
        return mx.sigmoid(z)
    e = mx.exp(-mx.abs(z)) / 2
    return mx.where(z < 0, e, 1 - e)
