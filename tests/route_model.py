"""A model in NumPy of the GPU kernels of ``routing.route`` and of its gradient.

It adds floats in the order in which docs/metal.md says that the kernels do. exp and
log are those of the C library, which the emulator calls too. So the bits are those of
the emulated kernel.
"""

import ctypes
import ctypes.util
import functools

import numpy as np

_C = ctypes.CDLL(ctypes.util.find_library("m"))
one = np.float32(1)


def _function(name):
    call = getattr(_C, name)
    call.argtypes, call.restype = [ctypes.c_float], ctypes.c_float
    return np.vectorize(call, otypes=[np.float32])


exp, log = _function("expf"), _function("logf")


def add_lanes(by_lane):
    """Adds the sums of lanes width / 2 apart first, those of neighbours last."""
    lanes = np.arange(by_lane.shape[-1])
    step = len(lanes) // 2
    while step > 0:
        by_lane = by_lane + by_lane[..., lanes ^ step]
        step //= 2
    return by_lane[..., :1]


def sum_of_row(a, width):
    """Each lane adds the elements that are ``width`` apart. Then the lanes add."""
    pad = -a.shape[-1] % width
    padded = np.pad(a, ((0, 0), (0, pad)))
    by_lane = np.zeros((len(a), width), np.float32)
    for part in np.split(padded, padded.shape[-1] // width, axis=-1):
        by_lane = by_lane + part
    return add_lanes(by_lane)


def sum_in_order(a):
    total = np.zeros((len(a), 1), np.float32)
    for i in range(a.shape[-1]):
        total = total + a[:, i : i + 1]
    return total


def exponentials(chosen, hidden):
    """Returns e^(logit - greatest logit), and 0 for hidden experts."""
    highest = np.where(hidden, -np.inf, chosen).max(axis=-1, keepdims=True)
    found = exp(chosen - highest.astype(np.float32))
    return np.where(hidden, np.float32(0), found)


def denominator(chosen, hidden, eps):
    """``hidden`` are the chosen experts that are masked."""
    total = sum_in_order(chosen)
    total = total + np.float32(eps) if eps else total
    return np.where(hidden.all(-1, keepdims=True), one, total)


def softmax(x, width, mirrored=False):
    """A mirrored row is added from its end."""
    if mirrored:
        return softmax(x[:, ::-1], width)[:, ::-1]
    numerators = exp(x - x.max(axis=-1, keepdims=True))
    return numerators * (one / sum_of_row(numerators, width))


def sigmoid(x):
    y = one / (one + exp(np.abs(x)))
    return np.where(x < 0, y, one - y)


def sqrtsoftplus(x):
    small = exp(-np.abs(x))
    total = one + small
    exact = np.where(total == one, one, total - one)
    logs = np.where(total == one, small, log(total) * (small / exact))
    return np.sqrt(np.maximum(x, np.float32(0)) + logs)


def order(a, nan_first=False, ties="lower"):
    """Returns a descending order, with NaN at one end. ``ties`` orders equal elements
    by their index."""
    nan = ~np.isnan(a) if nan_first else np.isnan(a)
    index = np.broadcast_to(np.arange(a.shape[-1]), a.shape)
    return np.lexsort((index if ties == "lower" else -index, -a, nan), axis=-1)


def group_scores(grouped, group_score, masks):
    ascending = np.take_along_axis(grouped, order(grouped, True)[..., ::-1], -1)
    best = ascending[..., -1]
    if group_score == "max" or grouped.shape[-1] == 1:
        return best
    second = ascending[..., -2]
    alone = masks & (second == -np.inf)
    return np.where(alone, best, second + best)


def route(
    x,
    k,
    width,
    *,
    score="softmax",
    bias=None,
    groups=1,
    topk_groups=1,
    group_score="top2",
    excluded_score=0.0,
    renormalize=True,
    eps=0.0,
    scale=1.0,
    sorted=True,
    masks_infinity=False,
    ties="lower",
    group_ties="lower",
):
    """Returns weights in float32, indices and scores for rows ``x`` of logits."""
    functions = {
        "softmax": functools.partial(softmax, width=width, mirrored=ties == "higher"),
        "sigmoid": sigmoid,
        "sqrtsoftplus": sqrtsoftplus,
        "logits": lambda x: x,
    }
    masked = masks_infinity & (x == -np.inf)
    with np.errstate(all="ignore"):
        scores = np.where(masked, np.float32(0), functions[score](x))
        biased = scores if bias is None else scores + bias
        biased = np.where(masked, np.float32(-np.inf), biased)
        if topk_groups < groups:
            grouped = biased.reshape(len(x), groups, -1)
            worth = group_scores(grouped, group_score, masks_infinity)
            dropped = order(worth, True, group_ties)[:, topk_groups:]
            np.put_along_axis(grouped, dropped[..., None], excluded_score, axis=1)
            biased = grouped.reshape(x.shape)
            biased = np.where(masked, np.float32(-np.inf), biased)
        indices = order(biased, ties == "higher", ties)[:, :k]
        indices = indices if sorted else indices[:, ::-1]
        weights = np.take_along_axis(scores, indices, -1)
        hidden = np.take_along_axis(masked, indices, -1)
        if renormalize and score == "logits":
            eps = 0.0
            weights = exponentials(weights, hidden)
        if renormalize:
            weights = weights / denominator(weights, hidden, eps)
            weights = np.where(hidden, np.float32(0), weights)
        weights = weights * np.float32(scale)
    return weights, indices.astype(np.uint32), scores


def gradient(
    x,
    indices,
    scores,
    of_weights,
    of_scores=None,
    *,
    score="softmax",
    renormalize=True,
    eps=0.0,
    scale=1.0,
    masks_infinity=False,
    **_,
):
    """Returns the cotangents of logits ``x``, in float32."""
    masked = masks_infinity & (x == -np.inf)
    zero = np.float32(0)
    with np.errstate(all="ignore"):
        hidden = np.take_along_axis(masked, indices, -1)
        chosen = np.where(hidden, zero, np.take_along_axis(scores, indices, -1))
        of_chosen = np.where(hidden, zero, of_weights) * np.float32(scale)
        if renormalize:
            is_logit = score == "logits"
            numerators = exponentials(chosen, hidden) if is_logit else chosen
            total = denominator(numerators, hidden, 0.0 if is_logit else eps)
            shared = sum_in_order(numerators * of_chosen) / total
            slopes = numerators if is_logit else one
            of_chosen = slopes * ((of_chosen - shared) / total)
        cotangents = np.zeros_like(x)
        products = np.zeros((len(x), 1), np.float32)
        if of_scores is not None:
            cotangents = np.where(masked, zero, of_scores)
            products = sum_of_row(scores * cotangents, 32)
        products = products + sum_in_order(chosen * of_chosen)
        given = np.take_along_axis(cotangents, indices, -1)
        np.put_along_axis(cotangents, indices, of_chosen + given, -1)
        if score == "softmax":
            result = scores * (cotangents - products)
        elif score == "sigmoid":
            result = cotangents * (scores * (one - scores))
        elif score == "sqrtsoftplus":
            result = np.float32(0.5) * cotangents / scores * sigmoid(x)
        else:
            result = cotangents
    return np.where(masked, zero, result)
