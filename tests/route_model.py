"""A model in NumPy of the GPU kernel of ``routing.route``.

It adds floats in the order in which docs/metal.md says that the kernel does. exp and
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


def softmax(x, width, mirrored=False):
    """A mirrored row is added from its end."""
    if mirrored:
        return softmax(x[:, ::-1], width)[:, ::-1]
    numerators = exp(x - x.max(axis=-1, keepdims=True))
    pad = -x.shape[-1] % width
    padded = np.pad(numerators, ((0, 0), (0, pad)))
    by_lane = np.zeros((len(x), width), np.float32)
    for part in np.split(padded, padded.shape[-1] // width, axis=-1):
        by_lane = by_lane + part
    return numerators * (one / add_lanes(by_lane))


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
            highest = np.where(hidden, -np.inf, weights).max(axis=-1, keepdims=True)
            exponentials = exp(weights - highest.astype(np.float32))
            weights = np.where(hidden, np.float32(0), exponentials)
        if renormalize:
            total = np.zeros((len(x), 1), np.float32)
            for i in range(k):
                total = total + weights[:, i : i + 1]
            total = total + np.float32(eps) if eps else total
            if masks_infinity:
                total = np.where(hidden.all(-1, keepdims=True), one, total)
            weights = weights / total
        weights = weights * np.float32(scale)
    return weights, indices.astype(np.uint32), scores
