"""The chain of MLX's ops that ``routing.route`` replaces, and a program that runs it.

``python tests/route_chain.py IN OUT`` loads a list of pairs (settings, arrays) and
stores the results of :func:`chain_results` for each, with whichever MLX Python finds.
The tests do this with stock MLX, which has to import this file. So this file uses no
other module of the tests.
"""

import pickle
import sys

import mlx.core as mx
import numpy as np


def scores_of(logits, score):
    if score == "softmax":
        return mx.softmax(logits, axis=-1)
    if score == "sigmoid":
        return mx.sigmoid(logits)
    return mx.sqrt(mx.logaddexp(logits, 0.0))


def biased_scores(scores, settings, bias, kept=None):
    """Returns the numbers by which experts are chosen.

    ``kept`` are the groups that each row uses. By default, MLX's ``argpartition`` finds
    them.
    """
    biased = scores if bias is None else scores + bias
    groups = settings.get("groups", 1)
    drop = groups - settings.get("topk_groups", 1)
    if drop == 0:
        return biased
    grouped = mx.unflatten(biased, -1, (groups, -1))
    if kept is None:
        worth = group_scores(grouped, settings)[..., None]
        worst = mx.argpartition(worth, kth=drop - 1, axis=-2)[..., :drop, :]
    else:
        number = mx.arange(groups)
        is_kept = mx.any(kept[..., None] == number, axis=-2)
        # A stable sort puts the groups that are not kept first.
        worst = mx.argsort(is_kept, axis=-1)[..., :drop, None]
    excluded = mx.array(settings.get("excluded_score", 0.0))
    grouped = mx.put_along_axis(grouped, mx.stop_gradient(worst), excluded, axis=-2)
    return mx.flatten(grouped, -2, -1)


def group_scores(grouped, settings):
    if settings.get("group_score", "top2") == "max" or grouped.shape[-1] == 1:
        return mx.max(grouped, axis=-1)
    return mx.topk(grouped, 2, axis=-1).sum(axis=-1)


def best_groups(scores, settings, bias):
    """Returns the groups to keep: NaN is best, the lower index wins among equals."""
    biased = scores if bias is None else scores + bias
    grouped = mx.unflatten(biased, -1, (settings["groups"], -1))
    worth = np.array(group_scores(grouped, settings))
    order = np.lexsort((-worth, ~np.isnan(worth)), axis=-1)
    return mx.array(order[..., : settings["topk_groups"]].astype(np.uint32))


def weights_of(scores, indices, settings):
    weights = mx.take_along_axis(scores, indices, axis=-1)
    if settings.get("renormalize", True):
        total = weights.sum(axis=-1, keepdims=True)
        if settings.get("eps", 0.0):
            total = total + settings["eps"]
        weights = weights / total
    scale = settings.get("scale", 1.0)
    return weights * scale if scale != 1 else weights


def chain(logits, settings, bias, indices=None):
    """Returns weights, indices and scores. By default a stable sort chooses."""
    single = logits.astype(mx.float64 if logits.dtype == mx.float64 else mx.float32)
    scores = scores_of(single, settings["score"])
    if indices is None:
        kept = None
        if settings.get("topk_groups", 1) < settings.get("groups", 1):
            kept = best_groups(scores, settings, bias)
        biased = biased_scores(scores, settings, bias, kept)
        indices = mx.argsort(-biased, axis=-1)[..., : settings["k"]]
        if not settings.get("sorted", True):
            indices = indices[..., ::-1]
    weights = weights_of(scores, mx.stop_gradient(indices), settings)
    return weights.astype(logits.dtype), indices, scores


def chain_results(settings, arrays):
    """Returns the results of the chain as NumPy arrays.

    ``partitioned`` are the biased scores of the experts that ``argpartition`` chooses,
    as mlx-lm writes it. The weights and the gradient are those for the given indices.
    """
    dtype = getattr(mx, settings["dtype"])
    logits = mx.array(arrays["logits"]).astype(dtype)
    bias = None if arrays["bias"] is None else mx.array(arrays["bias"])
    given = mx.array(arrays["indices"])
    _, indices, scores = chain(logits, settings, bias)
    weights, _, _ = chain(logits, settings, bias, given)
    biased = biased_scores(scores, settings, bias)
    k = settings["k"]
    best = mx.argpartition(-biased, kth=k - 1, axis=-1)[..., :k]
    cotangents = mx.array(arrays["cotangents"]).astype(dtype)
    of_scores = mx.array(arrays["of_scores"])

    def loss(logits):
        weights, _, scores = chain(logits, settings, bias, given)
        return (weights * cotangents).sum() + (scores * of_scores).sum()

    def simple_loss(logits):
        return (chain(logits, settings, bias, given)[0] * cotangents).sum()

    results = {
        "indices": indices,
        "scores": scores,
        "weights": weights,
        "partitioned": mx.take_along_axis(biased, best, axis=-1),
        "gradient": mx.grad(simple_loss)(logits),
        "gradient_with_scores": mx.grad(loss)(logits),
        "biased": biased,
    }
    single = {name: a.astype(mx.float32) for name, a in results.items()}
    single["indices"] = indices
    return {name: np.array(a) for name, a in single.items()}


if __name__ == "__main__":
    assert "topk" not in mx.__version__, mx.__version__
    mx.set_default_device(mx.cpu)
    with open(sys.argv[1], "rb") as file:
        calls = pickle.load(file)
    results = [chain_results(settings, arrays) for settings, arrays in calls]
    with open(sys.argv[2], "wb") as file:
        pickle.dump(results, file)
