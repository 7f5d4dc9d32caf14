"""``routing.route`` gives the bits of the chain of ops that it replaces."""

import itertools
import os
import pathlib
import pickle
import platform
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
from mlx.nn import routing
from route_chain import chain, chain_results

from cases import INSTRUCTIONS

ROOT = pathlib.Path(__file__).parents[1]
SCORES = ["softmax", "sigmoid", "sqrtsoftplus"]
scores = pytest.mark.parametrize("score", SCORES)

# Settings that every kind of input is tried with.
SHAPES = [
    {"E": 8, "k": 2},
    {"E": 128, "k": 8},
    {"E": 60, "k": 4, "renormalize": False},
    {"E": 160, "k": 6, "renormalize": False, "scale": 16.0},
    {"E": 33, "k": 33, "scale": 0.7},
    {"E": 5, "k": 1, "sorted": False},
    {"E": 256, "k": 8, "groups": 8, "topk_groups": 4, "scale": 2.5},
    {"E": 160, "k": 6, "groups": 8, "topk_groups": 3, "group_score": "max"},
    {"E": 64, "k": 8, "groups": 4, "topk_groups": 1, "eps": 1e-20},
    {"E": 12, "k": 3, "groups": 12, "topk_groups": 5, "excluded_score": -np.inf},
    {"E": 300, "k": 20, "groups": 3, "topk_groups": 2, "sorted": False},
    {"E": 1030, "k": 70},
]
KINDS = ["normal", "ties", "wide", "special", "equal"]


def draw(kind, rows, experts, rng):
    shape = (rows, experts)
    if kind == "normal":
        logits = rng.normal(0, 2, shape)
    elif kind == "ties":
        logits = rng.integers(-3, 4, shape)
    elif kind == "wide":
        logits = rng.normal(0, 60, shape)
    elif kind == "special":
        logits = rng.normal(0, 1, shape)
        pool = [np.nan, np.inf, -np.inf, 0.0, -0.0, 90, -90, 3e38]
        chosen = rng.random(shape) < rng.choice([0.01, 0.5, 1], (rows, 1))
        logits = np.where(chosen, rng.choice(pool, shape), logits)
        logits = np.where(rng.random((rows, 1)) < 0.05, -np.inf, logits)
    else:
        logits = np.broadcast_to(rng.normal(0, 1, (rows, 1)), shape)
    return logits.astype(np.float32)


def calls_of(score, rows, seed):
    """Returns settings and arrays for the chain, with the results of ``route``."""
    rng = np.random.default_rng(seed)
    kinds = itertools.cycle(KINDS)
    dtypes = itertools.cycle(["float32", "bfloat16", "float32", "float16"])
    calls = []
    for shape, biased in itertools.product(SHAPES, (False, True)):
        for kind in (next(kinds), next(kinds)):
            settings = {**shape, "score": score, "dtype": next(dtypes)}
            experts, k = settings.pop("E"), settings["k"]
            bias = rng.normal(0, 0.1, experts).astype(np.float32) if biased else None
            arrays = {
                "logits": draw(kind, rows, experts, rng),
                "bias": bias,
                "cotangents": rng.normal(0, 1, (rows, k)).astype(np.float32),
                "of_scores": rng.normal(0, 1, (rows, experts)).astype(np.float32),
            }
            calls.append((settings, arrays))
    return calls


def route_with(logits, settings, bias, **extra):
    options = {name: a for name, a in settings.items() if name not in ("k", "dtype")}
    return routing.route(logits, settings["k"], bias=bias, **options, **extra)


def our_results(settings, arrays):
    dtype = getattr(mx, settings["dtype"])
    logits = mx.array(arrays["logits"]).astype(dtype)
    bias = None if arrays["bias"] is None else mx.array(arrays["bias"])
    cotangents = mx.array(arrays["cotangents"]).astype(dtype)
    of_scores = mx.array(arrays["of_scores"])
    weights, indices, scores = route_with(logits, settings, bias, return_scores=True)
    alone = route_with(logits, settings, bias)
    assert len(alone) == 2 and alone[0].dtype == dtype and scores.dtype == mx.float32
    assert mx.array_equal(alone[1], indices)

    def loss(logits):
        weights, _, scores = route_with(logits, settings, bias, return_scores=True)
        return (weights * cotangents).sum() + (scores * of_scores).sum()

    def simple_loss(logits):
        return (route_with(logits, settings, bias)[0] * cotangents).sum()

    results = {
        "weights": weights,
        "scores": scores,
        "gradient": mx.grad(simple_loss)(logits),
        "gradient_with_scores": mx.grad(loss)(logits),
    }
    single = {name: np.array(a.astype(mx.float32)) for name, a in results.items()}
    return {**single, "indices": np.array(indices)}


def on_stock(calls, folder):
    if platform.machine() == "aarch64":
        # build/stock is for x86-64. The ops whose bits are compared are MLX's own.
        return [chain_results(settings, arrays) for settings, arrays in calls]
    source, target = folder / "in.pickle", folder / "out.pickle"
    source.write_bytes(pickle.dumps(calls))
    subprocess.run(
        [sys.executable, ROOT / "tests/route_chain.py", source, target],
        env={**os.environ, "PYTHONPATH": str(ROOT / "build/stock")},
        check=True,
        timeout=600,
    )
    return pickle.loads(target.read_bytes())


def assert_same_bits(got, wanted, what):
    """Compares bits. All NaNs are alike."""
    assert got.dtype == wanted.dtype and got.shape == wanted.shape, what
    same = got.view(np.uint32) == wanted.view(np.uint32)
    if got.dtype == np.float32:
        same |= np.isnan(got) & np.isnan(wanted)
    assert same.all(), f"{what}: {np.argwhere(~same)[:3]} of {got.shape}"


def group_ties(stock, settings, arrays):
    """Returns the rows in which the choice of groups is not unique."""
    groups, kept = settings.get("groups", 1), settings.get("topk_groups", 1)
    rows = len(stock["scores"])
    if kept == groups:
        return np.zeros(rows, bool)
    biased = stock["scores"] if arrays["bias"] is None else arrays["bias"]
    if arrays["bias"] is not None:
        biased = stock["scores"] + arrays["bias"]
    grouped = np.sort(biased.reshape(rows, groups, -1), axis=-1)
    worth = grouped[..., -1]
    if settings.get("group_score", "top2") == "top2" and grouped.shape[-1] > 1:
        worth = worth + grouped[..., -2]
    worth = np.sort(worth, axis=-1)
    a, b = worth[:, groups - kept - 1], worth[:, groups - kept]
    return (a == b) | np.isnan(a)


def compare_with_stock(calls, folder):
    ours = [our_results(settings, arrays) for settings, arrays in calls]
    given = [
        (settings, {**arrays, "indices": result["indices"]})
        for (settings, arrays), result in zip(calls, ours, strict=True)
    ]
    found = on_stock(given, folder)
    for (settings, arrays), mine, stock in zip(given, ours, found, strict=True):
        for name in mine:
            assert_same_bits(mine[name], stock[name], f"{name} of {settings}")
        # Where introselect has no choice, argpartition chooses the same scores.
        biased = np.take_along_axis(stock["biased"], mine["indices"], axis=-1)
        unique = ~group_ties(stock, settings, arrays)
        a = np.sort(biased[unique], axis=-1) + np.float32(0)
        b = np.sort(stock["partitioned"][unique], axis=-1) + np.float32(0)
        assert_same_bits(a, b, f"the scores that argpartition chooses, {settings}")


# The kernels in use, and those for fewer instructions.
@pytest.mark.parametrize("engine", ["kernel", *INSTRUCTIONS])
@scores
def test_bits_are_those_of_stocks_chain(score, engine, tmp_path):
    compare_with_stock(calls_of(score, 140, 1), tmp_path)


# All seeds together draw a million rows for each score, or a quarter of that.
ROWS = 675 if os.environ.get("HYPOTHESIS_PROFILE") == "quick" else 2700


@pytest.mark.slow
@scores
@pytest.mark.parametrize("seed", range(8))
def test_bits_of_a_million_rows(score, seed, tmp_path):
    compare_with_stock(calls_of(score, ROWS, 100 + seed), tmp_path)


@pytest.mark.slow  # MLX compiles C++ code.
@scores
def test_a_compiled_chain_has_the_same_bits(score):
    settings = {"k": 6, "score": score, "groups": 4, "topk_groups": 2, "scale": 2.5}
    bias = 0.1 * mx.random.normal((64,))
    logits = mx.random.normal((2000, 64))
    weights, indices, scores = route_with(logits, settings, bias, return_scores=True)
    compiled = mx.compile(lambda x, i: chain(x, settings, bias, i))
    chained = compiled(logits, indices)
    assert_same_bits(np.array(weights), np.array(chained[0]), "weights")
    assert_same_bits(np.array(scores), np.array(chained[2]), "scores")


def reference_loss(logits, indices, settings):
    """Computes the loss of the next test by NumPy, which has exact exponentials."""
    if settings["score"] == "softmax":
        scores = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    elif settings["score"] == "sigmoid":
        scores = 1 / (1 + np.exp(-logits))
    else:
        scores = np.sqrt(np.log1p(np.exp(logits)))
    weights = np.take_along_axis(scores, indices, axis=-1)
    weights = weights / weights.sum(axis=-1, keepdims=True) * settings["scale"]
    return (weights * [1.0, -2, 3]).sum() + (scores**2).sum()


@scores
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_is_that_of_finite_differences(score, dtype):
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 1, (4, 12)).astype(np.float32).astype(np.float64)
    direction = rng.normal(0, 1, (4, 12))
    settings = {"k": 3, "score": score, "groups": 3, "topk_groups": 2, "scale": 1.5}
    bias = mx.array(rng.normal(0, 0.1, 12).astype(np.float32))

    def loss(x):
        weights, _, scores = route_with(x, settings, bias, return_scores=True)
        return (weights * mx.array([1.0, -2, 3])).sum() + (scores**2).sum()

    with mx.stream(mx.cpu):
        x = mx.array(logits, getattr(mx, dtype))
        indices = np.array(route_with(x, settings, bias)[1])
        gradient = mx.grad(loss)(x)
        assert gradient.dtype == x.dtype
        slope = (np.array(gradient) * direction).sum()
    step = 1e-6 * direction
    high = reference_loss(logits + step, indices, settings)
    low = reference_loss(logits - step, indices, settings)
    # MLX computes exponentials in float32 for float64 too.
    assert slope == pytest.approx((high - low) / 2e-6, rel=2e-6)


def test_float64_is_the_chain():
    logits = mx.array(np.random.default_rng(3).normal(0, 1, (50, 16)), mx.float64)
    settings = {"k": 4, "score": "sigmoid", "groups": 4, "topk_groups": 2}
    with mx.stream(mx.cpu):
        got = route_with(logits, settings, None, return_scores=True)
        for a, b in zip(got, chain(logits, settings, None), strict=True):
            assert a.dtype == b.dtype and np.array_equal(a, b)


# ---- TopKRouter --------------------------------------------------------------


@scores
@pytest.mark.parametrize("renormalize", [False, True])
def test_the_router_chooses_and_weighs_as_route_does(score, renormalize):
    router = routing.TopKRouter(
        16, 12, 3, score, renormalize, True, groups=4, topk_groups=2, scale=2.5
    )
    router.expert_bias = 0.1 * mx.random.normal((12,))
    x = mx.random.normal((40, 16))
    x = mx.concatenate([x, 200 * x])
    chosen = router(x)
    settings = {"k": 3, "score": score, "groups": 4, "topk_groups": 2, "scale": 2.5}
    settings = {**settings, "renormalize": renormalize, "excluded_score": -mx.inf}
    weights, indices, scores = route_with(
        chosen.logits, settings, router.expert_bias, return_scores=True
    )
    assert mx.array_equal(chosen.indices, indices)
    assert mx.array_equal(chosen.probs, scores)
    if renormalize:
        # The router divides logarithms, which also works where all scores are 0.
        assert mx.all(mx.isfinite(chosen.weights))
        rows = mx.all(mx.isfinite(weights), axis=-1, keepdims=True)
        weights = mx.where(rows, weights, chosen.weights)
        np.testing.assert_allclose(chosen.weights, weights, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(chosen.weights.sum(-1), 2.5, rtol=1e-5)
    else:
        assert mx.array_equal(chosen.weights, weights)


@scores
def test_the_router_replays_with_the_same_weights(score):
    router = routing.TopKRouter(16, 12, 3, score, scale=2.5)
    x = 100 * mx.random.normal((40, 16))
    chosen = router(x)
    replayed = router(x, indices=chosen.indices)
    assert mx.array_equal(chosen.weights, replayed.weights)
    assert mx.array_equal(chosen.probs, replayed.probs)

    def loss(weight, indices):
        router.weight = weight
        return (router(x, indices=indices).weights * mx.array([1.0, -2, 3])).sum()

    gradients = [mx.grad(loss)(router.weight, i) for i in (None, chosen.indices)]
    assert mx.all(mx.isfinite(gradients[0])) and mx.array_equal(*gradients)
