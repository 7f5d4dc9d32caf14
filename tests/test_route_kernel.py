"""The GPU kernel of ``routing.route`` in the emulator, and the code that launches it.

The results are compared bit by bit with a model in NumPy that adds floats in the order
of the kernel (route_model.py), and loosely with the CPU.
"""

import hooks
import mlx.core as mx
import numpy as np
import pytest
from mlx import _selection

import route_model
from metal_kernels import emulated
from test_route import KINDS, SCORES, SHAPES, draw

DTYPES = [mx.float32, mx.bfloat16, mx.float16]
# The kernel has up to 1024 experts and 64 chosen ones.
SETTINGS = [s for s in SHAPES if s["E"] <= 1024 and s["k"] <= 64]
SETTINGS += [
    {"E": 1, "k": 1},
    {"E": 8, "k": 8, "score": "sigmoid"},
    {"E": 20, "k": 20, "sorted": False},
    {"E": 31, "k": 3},
    {"E": 60, "k": 30},
    {"E": 200, "k": 64, "groups": 10, "topk_groups": 7},
    {"E": 512, "k": 22, "groups": 64, "topk_groups": 9, "masks_infinity": True},
    {"E": 1024, "k": 8, "groups": 2, "topk_groups": 1},
    {"E": 1024, "k": 40, "renormalize": False},
]
scores = pytest.mark.parametrize("score", SCORES)


def split(settings):
    """Returns the number of experts, k, and the other settings."""
    options = {name: a for name, a in settings.items() if name not in ("E", "k")}
    return settings["E"], settings["k"], options


def numpy_of(a):
    """Returns an array as NumPy's: floats as float32."""
    return np.array(a if a.dtype == mx.uint32 else a.astype(mx.float32))


def assert_same_bits(got, wanted, what):
    """Compares bits. All NaNs are alike."""
    assert got.dtype == wanted.dtype and got.shape == wanted.shape, what
    same = got.view(np.uint32) == wanted.view(np.uint32)
    if got.dtype == np.float32:
        same |= np.isnan(got) & np.isnan(wanted)
    assert same.all(), f"{what}: differs at {np.argwhere(~same)[:3]}"


def width_of(logits, k, **options):
    """Returns how many lanes share a row."""
    (name,) = hooks.route_sources(logits, k, **options)
    return int(name.split("_")[-2])


def run(logits, k, **options):
    """Runs the kernel and returns weights, indices and scores."""
    results = hooks.emulate_route(logits, k, return_scores=True, **options)
    mx.eval(results)
    assert hooks.take_emulated_counts()["launches"] == 1
    return results


def check(logits, k, bias=None, **options):
    """Compares the kernel with the model."""
    found = run(logits, k, bias=bias, **options)
    rows = numpy_of(logits).reshape(-1, logits.shape[-1])
    bias = None if bias is None else np.array(bias)
    width = width_of(logits, k, **options)
    weights, indices, scores = route_model.route(rows, k, width, bias=bias, **options)
    wanted = [mx.array(weights).astype(logits.dtype), mx.array(indices), scores]
    for name, got, right in zip(
        ("weights", "indices", "scores"), found, wanted, strict=True
    ):
        right = right if name == "scores" else numpy_of(right)
        got = numpy_of(got).reshape(right.shape)
        what = f"{name} of {logits.shape} {logits.dtype} {k} {options}"
        assert_same_bits(got, right, what)


def logits_of(kind, rows, experts, dtype, seed=0):
    rng = np.random.default_rng([seed, rows, experts, KINDS.index(kind)])
    return mx.array(draw(kind, rows, experts, rng)).astype(dtype)


def bias_of(experts, seed=0):
    rng = np.random.default_rng([seed, experts])
    return mx.array(rng.normal(0, 0.1, experts).astype(np.float32))


@scores
@pytest.mark.parametrize("masks_infinity", [False, True])
def test_bits_are_those_of_the_model(score, masks_infinity):
    with emulated(seed=3):
        for i, settings in enumerate(SETTINGS):
            experts, k, options = split(settings)
            options = {"score": score, "masks_infinity": masks_infinity, **options}
            for j, kind in enumerate(KINDS):
                bias = bias_of(experts) if (i + j) % 2 else None
                dtype = DTYPES[(i + j) % 3]
                check(logits_of(kind, 5, experts, dtype), k, bias, **options)
