"""The GPU kernel of ``routing.route`` in the emulator, and the code that launches it.

The results are compared bit by bit with a model in NumPy that adds floats in the order
of the kernel (route_model.py), and loosely with the CPU.
"""

import io
import re

import hooks
import mlx.core as mx
import numpy as np
import pytest
import route_model
from mlx import _selection
from route_chain import chain
from test_metal_host import run as run_code
from test_route import KINDS, SCORES, SHAPES, draw

from cases import GPU, laid_out
from metal_kernels import check_source, emulated, emulator, library

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
    {"E": 31, "k": 5, "ties": "higher"},
    {"E": 160, "k": 8, "ties": "higher", "eps": 0.25, "scale": 2.5},
    {"E": 20, "k": 20, "ties": "higher", "sorted": False, "renormalize": False},
    {"E": 240, "k": 8, "groups": 8, "topk_groups": 3, "group_ties": "higher"},
    {"E": 240, "k": 8, "groups": 8, "topk_groups": 3, "ties": "higher"},
    {
        "E": 60,
        "k": 30,
        "groups": 12,
        "topk_groups": 7,
        "ties": "higher",
        "group_ties": "higher",
        "group_score": "max",
    },
    {"E": 1000, "k": 40, "ties": "higher"},
]
SCORES = [*SCORES, "logits"]
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
            for j in range(i, i + 3):
                kind = KINDS[j % len(KINDS)]
                bias = bias_of(experts) if j % 2 else None
                dtype = DTYPES[(i + j) % 3]
                check(logits_of(kind, 5, experts, dtype), k, bias, **options)


def test_accesses_are_in_bounds_ordered_and_initialised():
    with emulated(tracked=True, seed=5):
        for i, settings in enumerate(SETTINGS):
            experts, k, options = split(settings)
            options.setdefault("score", SCORES[i % 4])
            bias = bias_of(experts)[::-1] if i % 2 else None
            check(logits_of("special", 3, experts, DTYPES[i % 3]), k, bias, **options)
        # Without scores, the kernel writes none.
        mx.eval(hooks.emulate_route(mx.zeros((3, 40)), 2))


def exact_logits(rows, experts, special):
    """Returns logits for which no score or weight depends on how exp rounds."""
    rng = np.random.default_rng(experts)
    pool = [0.0, -0.0, *special]
    return mx.array(rng.choice(pool, (rows, experts)).astype(np.float32))


@pytest.mark.parametrize("score", ["softmax", "sigmoid", "logits"])
@pytest.mark.parametrize("masks_infinity", [False, True])
def test_exact_scores_give_the_bits_of_the_cpu(score, masks_infinity):
    special = [-np.inf] if score == "softmax" else [-np.inf, np.inf, np.nan]
    for settings in SETTINGS:
        experts, k, options = split(settings)
        options = {**options, "score": score, "masks_infinity": masks_infinity}
        rng = np.random.default_rng(experts)
        bias = mx.array(rng.integers(-3, 4, experts).astype(np.float32) / 8)
        logits = exact_logits(30, experts, special)
        wanted = _selection.route(logits, k, bias=bias, return_scores=True, **options)
        with emulated():
            found = run(logits, k, bias=bias, **options)
        for got, right in zip(found, wanted, strict=True):
            assert_same_bits(numpy_of(got), numpy_of(right), settings)


@scores
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_cpu_chooses_the_same_experts_where_scores_are_far_apart(score, dtype):
    rng = np.random.default_rng(1)
    for settings in SETTINGS:
        experts, k, options = split(settings)
        options["score"] = score
        # Neighbours in the order are 1/256 or more apart, until they are all small.
        steps = rng.permuted(np.tile(np.arange(experts), (9, 1)), axis=-1)
        logits = mx.array((2 - steps / 256).astype(np.float32)).astype(dtype)
        wanted = _selection.route(logits, k, return_scores=True, **options)
        with emulated():
            found = run(logits, k, **options)
        assert mx.array_equal(found[1], wanted[1])
        rtol = {mx.float32: 2e-6, mx.float16: 1e-3, mx.bfloat16: 8e-3}[dtype]
        np.testing.assert_allclose(
            numpy_of(found[0]), numpy_of(wanted[0]), rtol=rtol, atol=1e-7
        )
        np.testing.assert_allclose(found[2], wanted[2], rtol=2e-6)


@pytest.mark.parametrize(
    "experts, k", [(32, 4), (64, 4), (160, 8), (256, 8), (512, 16), (1024, 30)]
)
@pytest.mark.parametrize("tracked", [False, True])
def test_good_experts_in_few_lanes(experts, k, tracked):
    """More experts reach the bound than there is room for, so the kernel bisects."""
    rng = np.random.default_rng(7)
    good = np.arange(experts) % 8 < 3
    logits = rng.integers(0, 40, (5, experts)) / 16 + 3 * good
    with emulated(tracked=tracked, seed=2):
        check(mx.array(logits.astype(np.float32)), k, score="sigmoid")


@pytest.mark.parametrize(
    "layout", ["transposed", "axis outermost", "strided", "reversed", "offset"]
)
def test_any_strides(layout):
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (3, 2, 77)).astype(np.float32)
    for dtype in DTYPES:
        with emulated(tracked=True):
            for ties in ("lower", "higher"):
                check(laid_out(values, dtype, layout, 2), 5, ties=ties)
    row = mx.array(values[0, 0])
    bias = mx.array(rng.normal(0, 0.1, 154).astype(np.float32))
    with emulated(tracked=True):
        check(mx.broadcast_to(row, (4, 77)), 5)
        for view in (bias[::2], bias[::-2], mx.broadcast_to(bias[0], (77,))):
            for ties in ("lower", "higher"):
                check(row[None], 5, view, score="sigmoid", ties=ties)


def test_no_rows_and_one_dimension():
    with emulated():
        weights, indices = hooks.emulate_route(mx.zeros((2, 0, 40)), 3)
        mx.eval(weights, indices)
        assert weights.shape == indices.shape == (2, 0, 3)
        assert hooks.take_emulated_counts()["launches"] == 0
        check(mx.array(draw("normal", 1, 40, np.random.default_rng(0))[0]), 3)


@pytest.mark.parametrize(
    "settings",
    [
        {"E": 128, "k": 8},
        {"E": 256, "k": 8, "groups": 8, "topk_groups": 4},
        {"E": 600, "k": 40, "groups": 4, "topk_groups": 2},
        {"E": 60, "k": 4, "ties": "higher", "score": "logits"},
    ],
)
def test_a_row_has_the_same_bits_in_any_batch(settings):
    experts, k, options = split(settings)
    logits = logits_of("normal", 1200, experts, mx.float32)
    with emulated(seed=9):
        whole = run(logits, k, **options)
        counts = []
        for rows in (slice(0, 1), slice(1, 700), slice(1100, 1200)):
            mx.eval(hooks.emulate_route(logits[rows], k, **options))
            counts.append(hooks.take_emulated_counts()["threadgroups"])
            part = run(logits[rows], k, **options)
            for got, right in zip(part, whole, strict=True):
                assert_same_bits(numpy_of(got), numpy_of(right[rows]), rows)
    # A large batch has larger threadgroups.
    assert counts[0] == 1 and counts[1] > counts[2] > 1


def test_weights_are_rounded_to_even():
    """Here each weight lies halfway between two numbers of the type."""
    options = {"score": "sigmoid", "renormalize": False}
    for dtype, bit, weight in [
        (mx.bfloat16, 8, 0.5),
        (mx.float16, 11, 0.5),
        (mx.bfloat16, 7, 0.50390625),
    ]:
        for scale in (1 + 2.0**-bit, 1 + 2.0**-bit - 2.0**-20):
            with emulated():
                weights, *_ = run(mx.zeros((1, 9), dtype), 1, scale=scale, **options)
            assert weights.item() == weight or scale < 1 + 2.0**-bit
            assert weights.item() == mx.array(0.5 * scale).astype(dtype).item()


def test_rows_without_an_allowed_expert():
    """All weights are 0, and equal experts are chosen by their index."""
    logits = np.random.default_rng(0).normal(0, 1, (6, 40)).astype(np.float32)
    logits[1] = logits[4] = -np.inf
    logits[2, 3:] = -np.inf
    for score in SCORES:
        options = {"score": score, "masks_infinity": True}
        with emulated():
            check(mx.array(logits), 5, bias_of(40), **options)
            weights, indices, scores = run(mx.array(logits), 5, **options)
            check(mx.array(logits), 5, bias_of(40), ties="higher", **options)
            last = run(mx.array(logits), 5, ties="higher", **options)[1]
        for row in (1, 4):
            assert indices[row].tolist() == [0, 1, 2, 3, 4]
            assert last[row].tolist() == [39, 38, 37, 36, 35]
            assert weights[row].tolist() == 5 * [0.0]
            assert scores[row].tolist() == 40 * [0.0]
        assert sorted(indices[2].tolist()[:3]) == [0, 1, 2]
        assert indices[2].tolist()[3:] == [3, 4]
        assert weights[2].tolist()[3:] == [0.0, 0.0]


# ---- the host ----------------------------------------------------------------


def test_the_limits_of_the_kernel():
    wide = mx.zeros((2, 1024))
    assert hooks.route_sources(wide, 64, groups=64, topk_groups=8)
    assert not hooks.route_sources(mx.zeros((2, 1025)), 4)
    assert not hooks.route_sources(wide, 65)
    assert not hooks.route_sources(wide, 4, groups=128, topk_groups=8)
    assert not hooks.route_sources(wide.astype(mx.float64), 4)
    higher = {"ties": "higher", "group_ties": "higher"}
    assert hooks.route_sources(wide, 4, score="logits", **higher)
    code = """
import mlx.core as mx, hooks
print(len(hooks.route_sources(mx.zeros((2, 1024)), 4)))
"""
    assert run_code(code).stdout.split() == ["1"]
    assert run_code(code, MLX_TOPK_GPU="0").stdout.split() == ["0"]


def test_each_kernel_is_used():
    used = set()
    for experts in (1, 8, 20, 32, 60, 64, 128, 160, 256, 300, 512, 1000):
        for k in (1, 4, 8, 16, 30, 64):
            for dtype in DTYPES:
                if k <= experts:
                    used |= set(hooks.route_sources(mx.zeros((2, experts), dtype), k))
    kernels = {n for n in library().kernels if re.match(r"topk_route_[a-z]+\d", n)}
    assert used == kernels


def test_the_library_contains_the_source_of_the_kernel(tmp_path):
    ((name, text),) = hooks.route_sources(mx.zeros((2, 160), mx.bfloat16), 8).items()
    assert name == "topk_route_bfloat16_10_16_1"
    file = tmp_path / f"{name}.metal"
    file.write_text(text)
    assert not check_source(file)
    assert emulator.build(file).kernels == [name]


@scores
def test_without_a_usable_kernel_the_chain_of_ops_is_evaluated(score):
    for settings in SHAPES:
        experts, k, options = split(settings)
        options["score"] = score
        logits = logits_of("normal", 20, experts, mx.float32)
        bias = bias_of(experts)
        found = hooks.route_by_stock(
            logits, k, bias=bias, return_scores=True, **options
        )
        wanted = _selection.route(logits, k, bias=bias, return_scores=True, **options)
        for got, right in zip(found, wanted, strict=True):
            assert_same_bits(numpy_of(got), numpy_of(right), settings)


# Primitives that make a view of their input and launch no kernel.
VIEWS = {"Broadcast", "ExpandDims", "Flatten", "Reshape", "Slice", "Squeeze"}
VIEWS |= {"StopGradient", "Transpose", "Unflatten"}


def launches_of(*outputs):
    """Returns the names of the primitives that launch at least one kernel."""
    dot = io.StringIO()
    mx.export_to_dot(dot, *outputs)
    names = re.findall(r'label ?= ?"(\w+)"', dot.getvalue())
    return [name for name in names if name[0].isupper() and name not in VIEWS]


@pytest.mark.parametrize(
    "settings, least", [({}, 5), ({"groups": 8, "topk_groups": 4}, 9)]
)
def test_one_launch_replaces_those_of_the_chain(settings, least):
    logits = mx.zeros((4, 256)) + 1
    bias = mx.zeros(256) + 1
    mx.eval(logits, bias)
    options = {"score": "sigmoid", "scale": 2.5, **settings}
    found = launches_of(*chain(logits, {"k": 8, **options}, bias)[:2])
    assert len(found) >= least, found
    with emulated():
        run(logits, 8, bias=bias, **options)  # asserts that there is one launch


@pytest.mark.parametrize("engine", [GPU])
@scores
def test_a_gpu_routes_as_the_cpu_does(engine, score):
    for dtype in DTYPES:
        for settings in SETTINGS:
            experts, k, options = split(settings)
            options["score"] = score
            steps = np.random.default_rng(experts).permuted(
                np.tile(np.arange(experts), (9, 1)), axis=-1
            )
            logits = mx.array((2 - steps / 256).astype(np.float32)).astype(dtype)
            results = [
                _selection.route(logits, k, return_scores=True, stream=s, **options)
                for s in (mx.gpu, mx.cpu)
            ]
            (weights, indices, scores), wanted = results
            assert mx.array_equal(indices, wanted[1])
            np.testing.assert_allclose(scores, wanted[2], rtol=1e-5)
            rtol = {mx.float32: 1e-5, mx.float16: 1e-3, mx.bfloat16: 8e-3}[dtype]
            np.testing.assert_allclose(
                numpy_of(weights), numpy_of(wanted[0]), rtol=rtol, atol=1e-7
            )
