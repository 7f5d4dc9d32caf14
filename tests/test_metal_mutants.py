"""Five mistakes in each Metal kernel, or in what it is made of: all are noticed."""

import hooks
import mlx.core as mx
import numpy as np
import pytest

import oracle
from cases import bits, values_of
from metal_kernels import emulated, emulator, write_kernels

K = hooks.MetalKernel
GROUP_BARRIER = "    threadgroup_barrier(mem_flags::mem_threadgroup);\n"

# What kernel is made wrong, and how: text of the kernels, and what replaces it.
MUTANTS = {
    "register": [
        ("better = slot == N || keys[i] > key", "better = slot == N || keys[i] >= key"),
        ("uint winner = simd_min(position)", "uint winner = simd_max(position)"),
        ("uint position = key == top ?", "uint position = key >= top - 1 ?"),
        ("if (lane < args.k) {", "if (lane <= args.k) {"),
        ("out.put(rank + before, uint(i)", "out.put(rank, uint(i)"),
        ("  if (number >= args.rows) {\n    return;\n  }\n  RowStart", "  RowStart"),
        ("    rank += simd_sum(one);\n", "    rank += simd_max(one);\n"),
    ],
    "resident": [
        ("return !has_bar || key > bar", "return !has_bar || key > bar + 1"),
        ("other == key && j < i", "other == key && j > i"),
        ("(as_good && equal_before < ties)", "as_good"),
        ("      low = pivot + 1;\n", "      low = pivot + 2;\n"),
        ("    turn ^= 1u;\n", ""),
        ("if (mine + j < left) {", "if (mine + j <= left) {"),
        ("min(equal, ties);\n" + GROUP_BARRIER, "min(equal, ties);\n"),
    ],
    "split": [
        ("uint end = uint((index + 1)", "uint end = uint((index + 2)"),
        ("results = {found_keys + at,", "results = {found_keys,"),
        ("if (slot < candidates.capacity) {", "if (slot <= candidates.capacity) {"),
        (
            "add_all(row, segment, candidates",
            "add_all(row, {0, segment.end}, candidates",
        ),
        ("    positions[rank] = position;\n", "    positions[rank] = rank;\n"),
    ],
    "merge": [
        ("uint size = args.segments * args.k;", "uint size = args.k;"),
        ("uint64_t at = number * size;", "uint64_t at = 0;"),
        ("add_all(found, {0, size}", "add_all(found, {0, size + 1}"),
        ("put_best(candidates, args.sorted != 0", "put_best(candidates, false"),
        ("return positions[i];", "return i;"),
    ],
    "sort": [
        ("(a == b && at_a < at_b)", "(a == b && at_a > at_b)"),
        ("if (in_order != ((i & run) == 0)) {", "if (in_order != ((i & step) == 0)) {"),
        ("step > simd_size || (step", "step > 2 * simd_size || (step"),
        ("(step == 1 && run > simd_size)", "false"),
        ("    positions[i] = ~0u;\n", "    positions[i] = 0;\n"),
        ("while (size < candidates.count) {", "while (2 * size < candidates.count) {"),
    ],
    "rest": [
        ("key == bound && position > worst", "key == bound && position >= worst"),
        ("selected += uint(position < first)", "selected += uint(position <= first)"),
        ("uint rank = args.k + first", "uint rank = args.k - 1 + first"),
        ("    rank += total;\n", "    rank += popcount(others);\n"),
        (
            "(group_position.x == 0) {\n      out.put",
            "(group_position.x == 1) {\n      out.put",
        ),
    ],
    "order": [
        ("min(number + infinity, 2u * infinity + 1u)", "number + infinity"),
        ("? 0u - magnitude : magnitude", "? ~magnitude : magnitude"),
        ("mirrored ? last - position : position", "position"),
        ("start.out += int64_t(position)", "start.out += int64_t(row)"),
        ("Key flip = args.smallest != 0 ? ~Key(0)", "Key flip = args.smallest ? 1"),
    ],
}


def build(folder, old="", new=""):
    """Only float32, which is enough to go wrong."""
    source = write_kernels(folder, old, new, ["float32"])
    return emulator.build(source, tracked=True, include_dirs=[folder]).path


def data(kind, shape):
    rng = np.random.default_rng(0)
    if kind == "dense":  # one number is next to the other
        steps = rng.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)
        return (1 + steps * 2.0**-23).astype(np.float32)
    if kind == "neighbours":  # few are the next greater number
        return (1 + (rng.random(shape) < 0.01) * 2.0**-23).astype(np.float32)
    return values_of(mx.float32, shape, kind, rng).astype(np.float32)


def check_topk(path, kernel, shape, k):
    for kind in ("pool", "spread", "dense", "neighbours"):
        values = data(kind, shape)
        a = mx.array(values)
        if len(shape) == 3:
            a = a.swapaxes(0, 1)
            values = values.swapaxes(0, 1)
        for largest in (True, False):
            with emulated(kernel, path=path):
                found = mx.topk(a, k, largest=largest, sorted=True, return_indices=True)
                mx.eval(found)
            expected = np.apply_along_axis(oracle.order, -1, values, largest)[..., :k]
            np.testing.assert_array_equal(np.array(found.indices), expected)
            fetched = np.take_along_axis(values, expected, -1)
            np.testing.assert_array_equal(bits(found.values), bits(mx.array(fetched)))


def check_partition(path, kernel, shape, kth):
    for kind in ("pool", "spread"):
        values = data(kind, shape)
        # Where the second of three segments begins.
        values[:, shape[1] // 3] = -np.inf
        values[:, : shape[1] // 3] = np.maximum(values[:, : shape[1] // 3], -3)
        with emulated(kernel, path=path):
            indices = mx.argpartition(mx.array(values), kth)
            mx.eval(indices)
        stable = np.array([oracle.order(row, False) for row in values])
        for part in (slice(kth), slice(kth, kth + 1), slice(kth + 1, None)):
            found = np.sort(np.array(indices)[:, part])
            np.testing.assert_array_equal(found, np.sort(stable[:, part]))


def check_all(path):
    check_topk(path, K.in_registers, (3, 2, 45), 5)
    check_topk(path, K.in_registers, (131, 33), 32)
    check_topk(path, K.resident, (2, 3000), 40)
    check_topk(path, K.split, (2, 1500), 20)
    check_topk(path, K.resident, (1, 1200), 700)
    check_topk(path, K.resident, (1, 600), 600)
    check_topk(path, K.split, (1, 9000), 40)
    for kernel in (K.in_registers, K.resident):
        check_partition(path, kernel, (2, 300), 7)
        check_partition(path, kernel, (2, 300), 290)
    check_partition(path, K.resident, (1, 20000), 9)


def test_the_kernels_as_they_are_pass(tmp_path):
    check_all(build(tmp_path))


@pytest.mark.parametrize(
    "old, new",
    [mutant for mutants in MUTANTS.values() for mutant in mutants],
    ids=[f"{kernel} {i}" for kernel, of in MUTANTS.items() for i in range(len(of))],
)
def test_a_mistake_is_noticed(old, new, tmp_path):
    path = build(tmp_path, old, new)
    with pytest.raises(AssertionError):
        check_all(path)
