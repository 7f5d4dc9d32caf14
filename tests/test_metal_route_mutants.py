"""Mistakes made in the kernel of ``routing.route`` on purpose: the checks of this file
notice every one."""

import mlx.core as mx
import numpy as np
import pytest
from test_metal_route import bias_of, check, logits_of

from metal_kernels import emulated, emulator, write_kernels

KERNELS = [
    "float32_1_32_1",
    "float32_4_8_1",
    "float32_10_16_1",
    "float32_16_16_1",
    "float32_4_32_2",
]
KERNELS += ["float32_8_32_2", "bfloat16_10_16_1", "float16_10_16_1"]

# For each part of the kernel: a text in it, and the wrong text to replace it.
MUTANTS = {
    "numbers": [
        ("return float(as_type<half>(word));", "return float(word);"),
        ("bits + 0x7fffu + ((bits >> 16) & 1u)", "bits + 0x8000u"),
        ("uint(word) << 16", "uint(word) << 15"),
        ("return x < 0.0f ? y : 1.0f - y;", "return y;"),
        ("float high = max(x, 0.0f);", "float high = x;"),
        ("if (sum != 1.0f) {", "if (true) {"),
        ("return sqrt(high + log_of_sum);", "return high + log_of_sum;"),
        ("return nan_is_best ? order_float32", "return true ? order_float32"),
        ("return nan_is_best ? order_float32", "return false ? order_float32"),
        ("0x80000000u | (0u - number) : number", "0u - number : number"),
    ],
    "groups": [
        (
            "second = max(max(second, other.second), min(best, other.best));",
            "second = max(second, other.second);",
        ),
        ("settings.masks_infinity != 0 && pair.second == 0", "false"),
        ("settings.sums_pair == 0 || alone", "alone"),
        ("start + first / lanes", "start + first"),
        ("!= 0 ? i > group : i < group", "!= 0 ? i < group : i > group"),
        ("!= 0 ? i > group : i < group", "!= 0 ? i >= group : i < group"),
        ("better < settings.topk_groups", "better <= settings.topk_groups"),
        ("elements.position(i) < size && memory[group] == 0", "memory[group] == 0"),
        ("set_bits(i, settings.excluded_score)", "set_bits(i, 0)"),
        ("width / members + uint(number >= members)", "width / members"),
        ("memory + row_of_threads * words", "memory"),
        ("    memory[group] = uint(better", "    group_keys[group] = uint(better"),
    ],
    "scores": [
        ("infinite && masks_infinity", "infinite"),
        (
            "elements.has(i) ? max(highest, scores[i]) : highest",
            "max(highest, scores[i])",
        ),
        ("highest = max(highest, exchanged_float(highest, step));", ""),
        ("exp(scores[i] - highest)", "exp(scores[i])"),
        (
            "elements.has(i) ? exp(scores[i] - highest) : 0.0f",
            "exp(scores[i] - highest)",
        ),
        (
            "    for (uint step = width / 2; step > 0; step /= 2) {\n      total +=",
            "    for (uint step = 1; step < width; step *= 2) {\n      total +=",
        ),
        ("is_masked(i) ? 0.0f : scores[i]", "scores[i]"),
        ("scores + number * args.axis_size", "scores"),
        ("is_masked(i) ? masked_score() : as_type<uint>(x)", "as_type<uint>(x)"),
        ("} else if (settings.score == 2) {", "} else {"),
        ("out[expert(elements.position(i))]", "out[elements.position(i)]"),
        (
            "uint index = expert(elements.position(i))",
            "uint index = elements.position(i)",
        ),
        ("* settings.bias_stride", "* 1"),
        ("settings.has_bias != 0 && elements", "elements"),
    ],
    "choice": [
        ("elements.position(i) < size ? key : 0u", "key"),
        ("count >= elements.k ? bit : 0u", "count + 1u >= elements.k ? bit : 0u"),
        (
            "passing = elements.reaching_first(kth_key());",
            "passing = elements.reaching(kth_key());",
        ),
        (
            "is_masked(i) ? masked_score() : as_type<uint>(scores[i])",
            "as_type<uint>(scores[i])",
        ),
        (
            "chosen.scores[place] = chosen.slot_scores[i]",
            "chosen.scores[rank] = chosen.slot_scores[i]",
        ),
        ("sorted ? rank : k - 1u - rank", "rank"),
        (
            "indices[place] = expert(mine.position())",
            "indices[place] = mine.position()",
        ),
        ("row.mirrored = args.mirrored != 0;", "row.mirrored = false;"),
        ("uint slot = 2u * width * row_of_threads;", "uint slot = 0;"),
        ("row.size = live ? args.axis_size : 0u;", "row.size = args.axis_size;"),
        (
            "    simdgroup_barrier(mem_flags::mem_threadgroup);\n    uint k",
            "    uint k",
        ),
    ],
    "weights": [
        (
            "(bits, settings) ? 0.0f : as_type",
            "(bits, settings) ? as_type<float>(bits) : as_type",
        ),
        ("settings.eps != 0.0f ? total + settings.eps : total", "total"),
        ("settings.masks_infinity != 0 && bits == masked", "bits == masked"),
        (
            "if (settings.renormalizes != 0 && !masked) {\n      weight",
            "if (!masked) {\n      weight",
        ),
        (
            "if (settings.renormalizes != 0 && !masked) {\n      weight",
            "if (settings.renormalizes != 0) {\n      weight",
        ),
        ("weight *= settings.scale;", ""),
        ("weights + number * args.k,", "weights,"),
        ("uint k = live ? args.k : 0u;", "uint k = args.k;"),
        ("if (settings.score == 3 && settings", "if (settings"),
        ("settings.score == 3 && settings.renormalizes != 0", "settings.score == 3"),
        ("highest = max(highest, as_type<float>(chosen[i]));", ""),
        ("if (!is_masked_score(chosen[i], settings)) {", "if (true) {"),
        (
            "  simdgroup_barrier(mem_flags::mem_threadgroup);\n  for (uint i = first;",
            "  for (uint i = first;",
        ),
        (
            "}\n  }\n  simdgroup_barrier(mem_flags::mem_threadgroup);\n}\n",
            "}\n  }\n}\n",
        ),
    ],
}


def build(folder, old="", new=""):
    """Returns the path of a library of ``KERNELS`` with ``new`` for ``old``."""
    names = [f"topk_route_{name}" for name in KERNELS]
    source = write_kernels(folder, old, new, names=names)
    return emulator.build(source, tracked=True, include_dirs=[folder]).path


def check_all(path):
    """Runs the kernels of the library at ``path``. Fails if a result is wrong."""
    grouped = {"groups": 8, "topk_groups": 3}
    masked = {"masks_infinity": True}
    with emulated(path=path, seed=1):
        for kind in ("normal", "special", "ties"):
            for dtype in (mx.float32, mx.bfloat16, mx.float16):
                a = logits_of(kind, 5, 160, dtype)
                check(a, 6, bias_of(320)[::2])
                check(a, 8, sorted=False, renormalize=False)
            a = logits_of(kind, 5, 240, mx.float32)
            for score in ("softmax", "sigmoid", "sqrtsoftplus"):
                bias = bias_of(240)
                check(a, 8, bias, score=score, excluded_score=-0.5, **grouped)
                check(a, 8, score=score, group_score="max", **masked, **grouped)
                check(a, 8, bias - 1, score=score, **grouped)
                check(a, 8, score=score, sorted=False, scale=2.5, **masked)
                check(a, 33, score=score, eps=0.25)
            # Logits as scores, and equal experts and groups chosen by higher indices.
            bias = bias_of(240)
            check(a, 8, bias, score="logits", ties="higher", **grouped)
            check(a, 8, score="logits", renormalize=False, **masked, **grouped)
            check(a, 8, score="logits", eps=0.5, scale=2.5, sorted=False, **masked)
            check(a, 33, score="softmax", ties="higher", sorted=False, **masked)
            check(a, 8, bias, ties="higher", group_ties="higher", **grouped)
            check(a, 8, score="sigmoid", group_ties="higher", **grouped)
            check(a[:, :60], 9, score="logits")
            check(a[:, :20], 20, score="logits", renormalize=False)
            check(a[:, :60], 30, **masked)
            check(a[:, :20], 3, **masked)
            check(a[:, :20] - 9, 3)
            few = {"groups": 4, "topk_groups": 2}
            check(a[:, :20], 3, bias_of(20), **few, **masked)
            # All scores are below 0, but above that of the excluded groups.
            check(a[:, :20], 3, bias_of(20) - 2, excluded_score=-5.0, **few)
        # The weight lies halfway between two numbers of the type.
        a = mx.zeros((2, 160), mx.bfloat16)
        check(a, 2, score="sigmoid", renormalize=False, scale=1 + 2.0**-8)
        # All of a row's experts are masked, and all but a few.
        a = np.where(np.arange(160) < [[0], [1], [2], [40], [100]], 1, -np.inf)
        check(mx.array(a.astype(np.float32)), 4, bias_of(160), **masked)
        check(mx.array(a.astype(np.float32)), 50, score="logits", **masked)
        check(mx.array(a.astype(np.float32) * 100), 4, score="logits", ties="higher")
        check(mx.array(a.astype(np.float32)), 4, **masked, **grouped)
        # A group with one expert that is not masked.
        a = np.where(np.arange(160) == [[100], [59]], 1, -np.inf)
        check(mx.array(a.astype(np.float32)), 4, **masked, **grouped)
        # The same, and three groups with two such experts, whose scores are lower.
        a = np.full((1, 160), -np.inf, np.float32)
        a[0, [2, 3, 20, 21, 40, 41, 100]] = [1, 1, 1, 1, 1, 1, 4]
        check(mx.array(a), 4, **masked, **grouped)
        # So many rows that threadgroups are full, and all candidates that fit.
        check(logits_of("normal", 512, 240, mx.float32), 64)
        check(mx.zeros((512, 240)), 64)
        good = np.arange(160) % 8 < 3
        check(
            mx.array((np.arange(160) % 37 / 16 + 3 * good).astype(np.float32)[None]), 8
        )


@pytest.mark.slow
def test_the_kernel_without_a_mistake_passes(tmp_path):
    check_all(build(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "old, new",
    [mutant for mutants in MUTANTS.values() for mutant in mutants],
    ids=[f"{part} {i}" for part, of in MUTANTS.items() for i in range(len(of))],
)
def test_a_mistake_is_noticed(old, new, tmp_path):
    path = build(tmp_path, old, new)
    with pytest.raises(AssertionError):
        check_all(path)
