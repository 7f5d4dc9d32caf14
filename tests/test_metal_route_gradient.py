"""The GPU kernel of the gradient of ``routing.route`` in the emulator.

The results are compared bit by bit with a model in NumPy (route_model.py), and loosely
with the CPU. Mistakes made in the kernel on purpose are noticed.
"""

import hooks
import mlx.core as mx
import numpy as np
import pytest
import route_model
from mlx import _selection
from test_metal_route import (
    DTYPES,
    SCORES,
    SETTINGS,
    assert_same_bits,
    logits_of,
    numpy_of,
    run_code,
    split,
)
from test_route import KINDS

from cases import GPU
from metal_kernels import emulated, emulator, write_kernels

scores = pytest.mark.parametrize("score", SCORES)


def inputs_of(kind, rows, experts, k, dtype, seed=0, with_scores=True, **options):
    """Returns logits, indices, scores, and cotangents of weights and scores.

    The cotangents of masked experts are infinite. They must not be used.
    """
    rng = np.random.default_rng([seed, rows, experts, k])
    if kind in ("some -inf", "first -inf"):
        logits = numpy_of(logits_of("normal", rows, experts, dtype, seed))
        first = np.arange(experts) < k
        masked = first if kind == "first -inf" else rng.random(logits.shape) < 0.3
        logits = np.where(masked, -np.inf, logits)
        logits = mx.array(logits.astype(np.float32)).astype(dtype)
    else:
        logits = logits_of(kind, rows, experts, dtype, seed)
    # In the emulator, MLX's route would use the kernels.
    _, indices, scores = route_model.route(numpy_of(logits), k, 32, **options)
    of_weights = rng.normal(0, 1, (rows, k)).astype(np.float32)
    of_scores = rng.normal(0, 1, (rows, experts)).astype(np.float32)
    if options.get("masks_infinity"):
        masked = numpy_of(logits) == -np.inf
        of_scores = np.where(masked, np.inf, of_scores)
        hidden = np.take_along_axis(masked, indices, -1)
        of_weights = np.where(hidden, np.inf, of_weights)
    of_weights = mx.array(of_weights).astype(dtype)
    of_scores = mx.array(of_scores.astype(np.float32)) if with_scores else None
    return logits, mx.array(indices), mx.array(scores), of_weights, of_scores


def run(logits, indices, scores, of_weights, of_scores, **options):
    found = hooks.emulate_route_gradient(
        logits, indices, scores, of_weights, of_scores=of_scores, **options
    )
    mx.eval(found)
    assert hooks.take_emulated_counts()["launches"] == 1
    return found


def check(kind, rows, experts, k, dtype, **options):
    """Compares the kernel with the model."""
    inputs = inputs_of(kind, rows, experts, k, dtype, **options)
    for name in ("with_scores", "bias"):
        options.pop(name, None)
    found = run(*inputs, **options)
    arrays = [None if a is None else numpy_of(a) for a in inputs]
    wanted = route_model.gradient(*arrays, **options)
    wanted = numpy_of(mx.array(wanted.astype(np.float32)).astype(dtype))
    what = f"{kind} {rows} {experts} {k} {dtype} {options}"
    assert_same_bits(numpy_of(found), wanted, what)


@scores
@pytest.mark.parametrize("masks_infinity", [False, True])
def test_bits_are_those_of_the_model(score, masks_infinity):
    with emulated(seed=3):
        for i, settings in enumerate(SETTINGS):
            experts, k, options = split(settings)
            options = {"score": score, "masks_infinity": masks_infinity, **options}
            for j in (i, i + 1):
                options["with_scores"] = j % 2 == 0
                kind = [*KINDS, "some -inf"][(i + j) % (len(KINDS) + 1)]
                check(kind, 5, experts, k, DTYPES[j % 3], **options)


def test_accesses_are_in_bounds_ordered_and_initialised():
    with emulated(tracked=True, seed=5):
        for i, settings in enumerate(SETTINGS):
            experts, k, options = split(settings)
            options.setdefault("score", SCORES[i % 4])
            options["with_scores"] = i % 2 == 0
            check("special", 3, experts, k, DTYPES[i % 3], **options)


def gradient_on(stream, inputs, k, **options):
    logits, _, _, of_weights, of_scores = inputs

    def weigh(logits):
        weights, _, scores = _selection.route(
            logits, k, return_scores=True, stream=stream, **options
        )
        return weights, scores

    _, (gradient,) = mx.vjp(weigh, [logits], [of_weights, of_scores])
    return numpy_of(gradient)


@scores
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_cpu_gives_nearly_the_same(score, dtype):
    rtol = {mx.float32: 1e-4, mx.float16: 2e-3, mx.bfloat16: 1.6e-2}[dtype]
    for settings in SETTINGS:
        experts, k, options = split(settings)
        options["score"] = score
        inputs = list(inputs_of("normal", 9, experts, k, dtype, **options))
        inputs[1:3] = _selection.route(inputs[0], k, return_scores=True, **options)[1:]
        wanted = gradient_on(mx.cpu, inputs, k, **options)
        mx.eval(inputs)
        with emulated():
            found = run(*inputs, **options)
        np.testing.assert_allclose(numpy_of(found), wanted, rtol=rtol, atol=2e-5)


def test_rows_without_an_allowed_expert_get_no_gradient():
    for score in SCORES:
        options = {"score": score, "masks_infinity": True}
        inputs = list(inputs_of("normal", 2, 40, 4, mx.float32, **options))
        inputs[0] = mx.full((2, 40), -np.inf)
        inputs[2] = mx.zeros((2, 40))
        with emulated():
            assert not mx.any(run(*inputs, **options)).item()


def test_no_rows_and_many():
    with emulated(seed=4):
        empty = [mx.zeros((0, n), t) for n, t in ((9, mx.float32), (3, mx.uint32))]
        found = hooks.emulate_route_gradient(
            empty[0], empty[1], empty[0], mx.zeros((0, 3))
        )
        mx.eval(found)
        assert found.shape == (0, 9)
        assert hooks.take_emulated_counts()["launches"] == 0
        check("normal", 700, 60, 4, mx.float32)


@scores
def test_without_a_usable_kernel_the_chain_of_ops_is_evaluated(score):
    for settings in SETTINGS:
        experts, k, options = split(settings)
        options["score"] = score
        inputs = inputs_of("normal", 9, experts, k, mx.float32, **options)
        logits, _, _, of_weights, of_scores = inputs
        chosen = _selection.route(logits, k, return_scores=True, **options)[1:]
        found = hooks.route_gradient_by_stock(
            logits, *chosen, of_weights, of_scores=of_scores, **options
        )
        wanted = gradient_on(mx.cpu, inputs, k, **options)
        assert_same_bits(numpy_of(found), wanted, settings)


def test_the_limit_of_the_kernel():
    code = """
import mlx.core as mx, hooks
for k in (64, 65):
    print(hooks.has_route_gradient(mx.zeros((2, 5000)), k))
print(hooks.has_route_gradient(mx.zeros((2, 50), mx.float64), 4))
"""
    assert run_code(code).stdout.split() == ["True", "False", "False"]
    found = run_code(code, MLX_TOPK_GPU="0").stdout.split()
    assert found == ["False", "False", "False"]


@pytest.mark.parametrize("engine", [GPU])
@scores
def test_a_gpu_gives_nearly_the_gradient_of_the_cpu(engine, score):
    for dtype in DTYPES:
        rtol = {mx.float32: 1e-4, mx.float16: 2e-3, mx.bfloat16: 1.6e-2}[dtype]
        for settings in SETTINGS:
            experts, k, options = split(settings)
            options["score"] = score
            inputs = list(inputs_of("normal", 9, experts, k, dtype, **options))
            # Scores differ by more than devices round differently.
            steps = np.random.default_rng(experts).permuted(
                np.tile(np.arange(experts), (9, 1)), axis=-1
            )
            inputs[0] = mx.array((2 - steps / 256).astype(np.float32)).astype(dtype)
            found, wanted = (
                gradient_on(s, inputs, k, **options) for s in (mx.gpu, mx.cpu)
            )
            np.testing.assert_allclose(found, wanted, rtol=rtol, atol=2e-5)


# ---- mistakes ----------------------------------------------------------------

# A text in the kernel, and the wrong text to replace it.
MUTANTS = [
    ("some = some || !is_masked_score(chosen[i], settings);", "some = true;"),
    ("return some ? total : 1.0f;", "return total;"),
    ("logits[expert])) == masked_score()", "logits[expert])) == 0u"),
    (
        "return settings.masks_infinity != 0 &&\n        as_type<uint>(Real",
        "return as_type<uint>(Real",
    ),
    (
        "masked ? masked_score() : as_type<uint>(scores[expert])",
        "as_type<uint>(scores[expert])",
    ),
    (
        "masked ? 0.0f : Real<Order>::of(of_weights[i])",
        "Real<Order>::of(of_weights[i])",
    ),
    ("of_chosen[i] = cotangent * settings.scale;", "of_chosen[i] = cotangent;"),
    (
        "settings.scale;\n    }\n    simdgroup_barrier(mem_flags::mem_threadgroup);",
        "settings.scale;\n    }",
    ),
    ("total += rounded_product(score, of_chosen[i], settings.zero)", "total += score"),
    ("chosen_product(settings) / total", "chosen_product(settings)"),
    (
        "/ total;\n    simdgroup_barrier(mem_flags::mem_threadgroup);",
        "/ total;",
    ),
    ("exponential ? score_of(chosen[i], settings) : 1.0f", "1.0f"),
    ("(of_chosen[i] - shared) / total", "of_chosen[i] - shared"),
    (
        "/ total);\n    }\n    simdgroup_barrier(mem_flags::mem_threadgroup);",
        "/ total);\n    }",
    ),
    (
        "settings.adds_of_scores != 0 && !is_masked(expert, settings)",
        "settings.adds_of_scores != 0",
    ),
    ("return given ? of_scores[expert] : 0.0f", "return of_scores[expert]"),
    ("rounded_product(scores[i], cotangent, settings.zero)", "cotangent"),
    ("simd_size / 2; step > 0; step /= 2", "simd_size / 4; step > 0; step /= 2"),
    ("return total + chosen_product(settings);", "return total;"),
    ("score * (cotangent - total)", "score * cotangent"),
    ("cotangent * (score * (1.0f - score))", "cotangent * score"),
    ("0.5f * cotangent / score * slope", "0.5f * cotangent * slope"),
    ("0.5f * cotangent / score * slope", "0.5f * cotangent / score"),
    ("word(masked ? 0.0f : result)", "word(result)"),
    ("    simdgroup_barrier(mem_flags::mem_device);\n", ""),
    ("of_chosen[i] + of_score(expert, settings)", "of_chosen[i]"),
    ("      logits + first,", "      logits,"),
    ("indices + first_chosen", "indices"),
    ("      scores + first,", "      scores,"),
    ("of_weights + first_chosen", "of_weights"),
    ("of_scores + first", "of_scores"),
    ("      out + first,", "      out,"),
    ("uint slot = 2u * simd_size * simd;", "uint slot = 0;"),
    ("if (settings.renormalizes != 0) {\n    if", "if (true) {\n    if"),
    ("exponentiate<simd_size>(lane, args.k, row.chosen, settings);", ""),
]


def build(folder, old="", new=""):
    """Returns the path of a library with ``new`` for ``old``."""
    names = [f"topk_route_gradient_{t}" for t in ("float32", "bfloat16", "float16")]
    source = write_kernels(folder, old, new, names=names)
    return emulator.build(source, tracked=True, include_dirs=[folder]).path


def check_all(path):
    """Runs the kernels of the library at ``path``. Fails if a result is wrong."""
    with emulated(path=path, seed=1):
        for score in SCORES:
            for masks in (False, True):
                options = {"score": score, "masks_infinity": masks}
                check("special", 7, 100, 9, mx.float32, **options)
                check("normal", 3, 40, 40, mx.bfloat16, scale=2.5, **options)
                check("some -inf", 3, 40, 40, mx.float32, **options)
                options["with_scores"] = False
                check("ties", 3, 33, 4, mx.float16, eps=0.5, **options)
                options["renormalize"] = False
                check("special", 3, 40, 40, mx.float32, **options)
        check("normal", 300, 20, 2, mx.float32)
        # All scores are -inf, so the masked experts are chosen: they are the first.
        bias = np.full(40, -np.inf, np.float32)
        check("first -inf", 3, 40, 4, mx.float32, masks_infinity=True, bias=bias)


@pytest.mark.slow
def test_the_kernel_without_a_mistake_passes(tmp_path):
    check_all(build(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("old, new", MUTANTS, ids=range(len(MUTANTS)))
def test_a_mistake_is_noticed(old, new, tmp_path):
    path = build(tmp_path, old, new)
    with pytest.raises(AssertionError):
        check_all(path)
