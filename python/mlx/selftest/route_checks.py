# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Checks the kernels of ``mlx.nn.routing.route`` on a GPU against the CPU."""

import itertools
import traceback

import mlx.core as mx
from mlx import _selection

SCORES = ("softmax", "sigmoid", "sqrtsoftplus", "logits")
# Settings beside ``score``, for each kind of kernel.
SETTINGS = [
    {"E": 1, "k": 1},
    {"E": 8, "k": 2},
    {"E": 31, "k": 3, "sorted": False},
    {"E": 60, "k": 4, "renormalize": False},
    {"E": 128, "k": 8, "scale": 2.5},
    {"E": 160, "k": 6, "groups": 8, "topk_groups": 3, "group_score": "max"},
    {"E": 256, "k": 8, "groups": 8, "topk_groups": 4, "eps": 1e-20},
    {"E": 300, "k": 20, "groups": 3, "topk_groups": 2, "excluded_score": -1.0},
    {"E": 20, "k": 20},
    {"E": 512, "k": 22},
    {"E": 200, "k": 64},
    {"E": 1024, "k": 30, "groups": 64, "topk_groups": 9},
    {"E": 32, "k": 4, "ties": "higher", "sorted": False},
    {"E": 256, "k": 8, "groups": 8, "topk_groups": 3, "group_ties": "higher"},
    {"E": 240, "k": 40, "groups": 12, "topk_groups": 7, "ties": "higher"},
]
ROWS = (1, 9, 700)
# How far weights and scores may be apart, relative to their size.
TOLERANCES = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}


def exact_logits(rows, experts, score, key):
    """Returns logits for which no score depends on how a device rounds exponentials."""
    special = [] if score == "softmax" else [float("inf"), float("nan")]
    pool = mx.array([0.0, -0.0, -float("inf"), *special])
    return pool[mx.random.randint(0, pool.size, (rows, experts), key=key)]


def spread_logits(rows, experts, key):
    """Returns logits whose scores differ by more than devices round differently."""
    order = mx.argsort(mx.random.uniform(shape=(rows, experts), key=key), axis=-1)
    return 2 - order / 256


def inputs_of(kind, dtype, rows, experts, score):
    """Returns logits and a bias."""
    with mx.stream(mx.cpu):
        key = mx.random.key(rows + experts)
        if kind == "spread":
            logits, bias = spread_logits(rows, experts, key), None
        else:
            logits = exact_logits(rows, experts, score, key)
            bias = mx.random.randint(-3, 4, (experts,), key=key) / 8
        logits = logits.astype(getattr(mx, dtype))
        mx.eval(logits)
    return logits, bias


def route_gradient(logits, k, cotangents, *, stream, **options):
    """Returns the gradient of the logits."""

    def weigh(logits):
        weights, _, scores = _selection.route(logits, k, stream=stream, **options)
        return weights, scores

    _, (gradient,) = mx.vjp(weigh, [logits], cotangents)
    return gradient


def close(a, b, tolerance, smallest=1e-7):
    a, b = a.astype(mx.float32), b.astype(mx.float32)
    smallest = smallest if tolerance else 0
    return mx.allclose(a, b, tolerance, smallest, equal_nan=True).item()


def check_gradient(device, dtype, logits, k, options):
    """Returns whether the device computes the gradient that the CPU does."""
    with mx.stream(mx.cpu):
        key = mx.random.key(k)
        shape = (*logits.shape[:-1], k)
        of_weights = mx.random.normal(shape, key=key).astype(logits.dtype)
        cotangents = [of_weights, mx.random.normal(logits.shape, key=key)]
        mx.eval(cotangents)
    with device.active():
        found = device.route_gradient(
            logits, k, cotangents, stream=device.stream, **options
        )
        mx.eval(found)
    with mx.stream(mx.cpu):
        expected = route_gradient(logits, k, cotangents, stream=mx.cpu, **options)
        return close(found, expected, 10 * TOLERANCES[dtype], 1e-4)


def check(device, kind, dtype, rows, options):
    """Returns whether the device routes as the CPU does.

    The gradient is checked for the kind of logits that have one in each row.
    """
    options = dict(options)
    experts, k = options.pop("E"), options.pop("k")
    logits, bias = inputs_of(kind, dtype, rows, experts, options["score"])
    options |= {"bias": bias, "return_scores": True}
    with device.active():
        found = device.route(logits, k, stream=device.stream, **options)
        mx.eval(found)
    if kind == "spread" and not check_gradient(device, dtype, logits, k, options):
        return False
    with mx.stream(mx.cpu):
        expected = _selection.route(logits, k, stream=mx.cpu, **options)
        mx.eval(expected)
        exact = kind == "exact"
        return (
            mx.array_equal(found[1], expected[1]).item()
            and close(found[0], expected[0], 0 if exact else TOLERANCES[dtype])
            and close(found[2], expected[2], 0 if exact else TOLERANCES["float32"])
        )


def check_route(device, dtype, failures):
    """Runs all checks of a type and returns their number. Appends to ``failures``."""
    made = 0
    masks = ({}, {"masks_infinity": True})
    cases = itertools.product(("exact", "spread"), SCORES, masks, SETTINGS, ROWS)
    for kind, score, mask, settings, rows in cases:
        # The square root of a logarithm is never exact. Large batches take the same
        # path with every score.
        if score == "sqrtsoftplus" and kind == "exact":
            continue
        if rows > 9 and (score != "softmax" or settings["E"] > 256 or mask):
            continue
        made += 1
        options = {"score": score, **mask, **settings}
        try:
            wrong = (
                None if check(device, kind, dtype, rows, options) else "a wrong result"
            )
        except Exception:
            wrong = traceback.format_exc()
        if wrong:
            failures.append(f"route {dtype} {kind} rows={rows} {options}: {wrong}")
    return made
