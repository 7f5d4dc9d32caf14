"""Mistakes made in the Metal kernels on purpose, five or more in each part of them: the
checks of this file notice every one."""

import hooks
import mlx.core as mx
import numpy as np
import pytest

import oracle
from cases import bits, numpy_of, values_of
from metal_kernels import emulated, emulator, write_kernels

K = hooks.MetalKernel
GROUP_BARRIER = "    threadgroup_barrier(mem_flags::mem_threadgroup);\n"

# The kernels that check_all uses. * is the type.
KERNELS = ["resident_*", "split_*", "merge_*", "rest_*"]
KERNELS += [
    f"lanes_*_{shape}"
    for shape in (
        *("16_8_1_true", "4_16_1_true", "4_32_2_true", "12_32_2_true", "32_32_2_true"),
        *("16_8_1_false", "8_16_1_false", "8_32_2_false", "32_32_2_false"),
    )
]

KERNELS += [
    f"bound_*_{shape}"
    for shape in ("16_1_true_false", "16_1_false_false", "16_4_true_false")
]
KERNELS += ["bound_*_16_4_false_false"]
KERNELS += [
    f"bound_split_*_32_{groups}_{dense}_false"
    for groups in (1, 4, 16)
    for dense in ("true", "false")
]
KERNELS += ["bound_merge_*_4", "bound_merge_*_14"]

# For each part of the kernels: a text in them, and the wrong text to replace it.
MUTANTS = {
    "ranked": [
        ("  return a.bits > b.bits;", "  return a.bits >= b.bits;"),
        ("? max(key, other) : min(key, other)", "? max(key, other) : key"),
        ("lane % width >= step", "lane >= step"),
        ("(votes >> (lane / width * width))", "votes"),
        ("return simd_shuffle_xor(x, ushort(step))", "return simd_shuffle_xor(x, 1)"),
        ("args.out_start + position * axes[2]", "args.out_start + position * axes[1]"),
        ("if (args.row_axes == 1) {", "if (args.row_axes > 0) {"),
    ],
    "lanes": [
        ("uint(keys[i] >= bound)", "uint(keys[i] > bound)"),
        ("return of_lane(order, first + k - 1)", "return of_lane(order, first)"),
        ("uint rank = greater;", "uint rank = greater + 1;"),
        ("slots + (up_to - popcount(passing))", "slots + up_to"),
        ("(simd * simd_size + lane / width", "(lane / width"),
        ("live ? args.axis_size : 0u", "args.axis_size"),
        ("key == best && other < first", "key == best && other > first"),
        ("left &= ~(1u << slot)", "left = 0"),
        ("has(i) && before(worst, ", "before(worst, "),
        ("rank + popcount(votes & below), position(i)", "rank, position(i)"),
        ("sorted ? rank : k - 1u - rank, position", "rank, position"),
        ("words[i] = Loose<Order>::worst(row.flip);", "words[i] = 0;"),
        ("if (size >= N * width) {", "if (true) {"),
        ("exact_key(words[i], flip)", "exact_key(words[i], 0)"),
    ],
    "place": [
        ("Key bucket = (high - key) >> shift;", "Key bucket = key >> shift;"),
        ("rank = first + placing.preceding_in(first, end, one)", "rank = first"),
        ("uint(before(at(j), mine))", "uint(before(mine, at(j)))"),
        ("    start += sizes[i];", "    start += 1;"),
        ("if (before(b, a)) {", "if (before(a, b)) {"),
        ("step == run / 2 ? i ^ (run - 1) : i + step", "i + step"),
        (
            "end of its slots.\n  threadgroup_barrier",
            "end of its slots.\n  simdgroup_barrier",
        ),
    ],
    "tile": [
        ("(chunks - 1u) * step()", "(chunks - 2u) * step()"),
        ("filled(Loose<Order>::worst(row.flip))", "filled(0)"),
        ("if (bound < best) {", "if (bound <= best) {"),
        ("return count + uint(run[count] >= pivot)", "return count + 1u"),
        ("      found += total;", "      found += 0;"),
        ("simd_prefix_exclusive_sum(popcount(mine))", "0"),
        ("equal ^= reaching(number, bound + 1)", "equal ^= 0"),
        ("c * chunk + ctz(mine)", "c * chunk"),
        ("* segments + segment) * simd_size", "* segments) * simd_size"),
    ],
    "keys": [
        ("uint(keys[i] >= low)", "uint(keys[i] > low)"),
        ("min(key ^ flip, 2u * infinity + 1u) ^ flip", "key"),
        ("^ signs ^ flip", "^ signs"),
        ("return (a ^ flip) - flip;", "return a;"),
        ("negated_by(flip, infinity - magnitudes)", "negated_by(flip, infinity)"),
        ("return b ^ (mask & (a ^ b));", "return b ^ (mask & a);"),
        ("(signs & magnitudes)) - signs;", "(signs & magnitudes));"),
    ],
    "bound": [
        ("if (count > args.capacity) {", "if (false) {"),
        ("bound_of<groups>(maxima, args.k,", "bound_of<groups>(maxima, args.k / 2,"),
        ("bound, args.k, args.capacity", "bound, args.k - 1, args.capacity"),
        ("if (rank == k - 1u) {\n      *worst", "if (rank == 0) {\n      *worst"),
        ("add_all(results.row, {0, args.axis_size}", "add_all(results.row, {0, 999}"),
    ],
    "bound_split": [
        ("uint64_t at = of_row + segment * room", "uint64_t at = of_row"),
        ("found.put(i, 0, no_position)", "found.put(i, 0, 0)"),
        ("missed += uint(before(last, worst[0]))", "missed += 0"),
        ("last = Ranked<Key>::of(bound, no_position)", "last = Ranked<Key>::of(0, 0)"),
        ("thread_index; i < room", "thread_index; i + 1 < room"),
        ("number * (slots + args.segments)", "number * slots"),
    ],
    "many": [
        ("slot = found + group.before(there", "slot = group.before(there"),
        ("no_position && slot < capacity", "no_position && slot < 2048u"),
        ("mine[i] = found_keys[slot];", "mine[i] = found_keys[slot - first];"),
        ("? group.lane * (count / simd_size)", "? group.lane * count"),
        ("last = Ranked<Key>::of(~Key(0), 0);", "last = Ranked<Key>::of(0, 0);"),
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
        ("put_best(candidates, results.order()", "put_best(candidates, of_stream"),
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
    "ends": [
        ("worst = worst == 0 ? best : worst;", ""),
        ("exchange(candidates.k - 1u, worst", "exchange(candidates.k - 2u, worst"),
        ("slot_of_end(Key(~Key(0)), candidates", "slot_of_end(Key(0), candidates"),
        ("uint at = i ^ uint(flip);", "uint at = i;"),
        ("(flip == 0 ? 0u : uint(group_simds))", "0u"),
        ("sorted ? best_first : only_ends", "sorted ? best_first : of_stream"),
        ("uint at = exchanged(slot, step)", "uint at = slot"),
    ],
    "rest": [
        ("before(last, Element::of(key, position(i)))", "key < last.key()"),
        ("uint(position < segment.first)", "uint(position <= segment.first)"),
        ("uint rank = args.k + segment", "uint rank = args.k - 1 + segment"),
        ("    rank += total;\n", "    rank += count;\n"),
        ("lane == simd_size - 1u ? count", "lane == 0u ? count"),
        ("votes & ((1u << lane) - 1u)", "votes & ((2u << lane) - 1u)"),
        ("      mine.start += block;\n", ""),
        ("later && position(i) < end", "later"),
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

# The same for the code that is only for elements of up to 16 bits.
MUTANTS_OF_PAIRS = [
    ("uint((keys[i] << 16) >= low)", "uint(keys[i] >= low)"),
    ("<< (2 * i + 1)", "<< (2 * i)"),
    ("low <<= 16;", "low = (low << 16) + 1;"),
    ("uint(elements.word(2 * i + 1)) << 16", "uint(elements.word(2 * i)) << 16"),
    ("pair_of(negated_by(flip, infinity))", "negated_by(flip, infinity)"),
    ("as_type<short2>(a) >> 15", "as_type<short2>(a) >> 14"),
    ("as_type<ushort2>(a) + as_type<ushort2>(b)", "a + b"),
]
KERNELS_OF_PAIRS = [
    f"bound_*_16_{shape}_false" for shape in ("1_true", "1_false", "4_true", "4_false")
]


def build(folder, old="", new="", kernels=KERNELS, dtype="float32"):
    """Returns the path of a library of the kernels with `new` for `old`.

    It has the kernels that check_all uses, for float32 only, which is enough to notice
    mistakes.
    """
    names = [f"topk_{name.replace('*', dtype)}" for name in kernels]
    source = write_kernels(folder, old, new, names=names)
    return emulator.build(source, tracked=True, include_dirs=[folder]).path


def data(kind, shape):
    """Returns float32 rows for which a kernel with a mistake gives wrong results."""
    rng = np.random.default_rng(0)
    if kind == "dense":  # consecutive floats in random order
        steps = rng.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)
        return (1 + steps * 2.0**-23).astype(np.float32)
    if kind == "ascending":  # the smallest is first, the largest last
        return np.broadcast_to(np.arange(shape[-1]), shape).astype(np.float32)
    if kind == "lanes":  # few lanes of a simdgroup have the good elements
        good = 100.0 * (np.arange(shape[-1]) % 8 < 3)
        return (rng.integers(0, 40, shape) + good).astype(np.float32)
    if kind == "threads":  # few threads of a threadgroup have the good elements
        good = 100.0 * (np.arange(shape[-1]) // 4 % 256 < 64)
        return (rng.integers(0, 40, shape) + good).astype(np.float32)
    if kind == "columns":  # with 8 segments, 384 maxima of each are from good elements
        at = np.arange(shape[-1])
        good = 100.0 * ((at % 4 < 2) & (at // 1024 % 8 < 6))
        return (rng.random(shape) + good).astype(np.float32)
    if kind == "segment":  # one segment of five has the good elements
        good = (
            100.0 * (np.arange(shape[-1]) // 128 % 5 == 0) * (rng.random(shape) < 0.035)
        )
        return (rng.integers(0, 40, shape) + good).astype(np.float32)
    if kind == "nans":  # more than the kernels have room for, with different bits
        words = rng.integers(1, 2**23, shape) | 0x7F800000
        words |= rng.integers(0, 2, shape) << 31
        words = np.where(rng.random(shape) < 0.7, words, 0x3F800000)
        return words.astype(np.uint32).view(np.float32)
    if kind == "neighbours":  # mostly 1, and some of the next greater float
        return (1 + (rng.random(shape) < 0.01) * 2.0**-23).astype(np.float32)
    return values_of(mx.float32, shape, kind, rng).astype(np.float32)


def check_topk(path, kernel, shape, k, dtype=mx.float32):
    """Checks topk with the library at `path`, forced to use one kernel."""
    for kind in (
        "pool",
        "spread",
        "ascending",
        "dense",
        "nans",
        "neighbours",
        "lanes",
        "threads",
        "columns",
        "segment",
    ):
        a = mx.array(data(kind, shape)).astype(dtype)
        values = numpy_of(a)
        if len(shape) == 3:
            a = a.swapaxes(0, 1)
            values = values.swapaxes(0, 1)
        for largest in (True, False):
            with emulated(kernel, path=path):
                found = mx.topk(a, k, largest=largest, sorted=True, return_indices=True)
                other = mx.topk(a, k, largest=largest, return_indices=True).indices
                mx.eval(found, other)
            expected = np.apply_along_axis(oracle.order, -1, values, largest)[..., :k]
            np.testing.assert_array_equal(np.array(found.indices), expected)
            ends = slice(None) if k <= 512 else [0, -1]
            reverse = expected[..., ::-1]
            np.testing.assert_array_equal(
                np.array(other)[..., ends], reverse[..., ends]
            )
            fetched = mx.take_along_axis(a, mx.array(expected), -1)
            np.testing.assert_array_equal(bits(found.values), bits(fetched))


def check_partition(path, kernel, shape, kth):
    """Checks argpartition with the library at `path`, forced to use one kernel."""
    for kind in ("pool", "spread", "lanes"):
        values = data(kind, shape)
        # A row of 20,000 is divided into 10 segments. The least value is the first of
        # the second segment, and the first segment has none of the smallest values.
        second = shape[1] // 10
        values[:, second] = -np.inf
        values[:, :second] = np.maximum(values[:, :second], -3)
        with emulated(kernel, path=path):
            indices = mx.argpartition(mx.array(values), kth)
            mx.eval(indices)
        stable = np.array([oracle.order(row, False) for row in values])
        for part in (slice(kth), slice(kth, kth + 1), slice(kth + 1, None)):
            found = np.sort(np.array(indices)[:, part])
            np.testing.assert_array_equal(found, np.sort(stable[:, part]))


# Each is a check with its arguments. The first of these is the kernel that it forces.
CHECKS = [
    (check_topk, K.in_registers, (3, 2, 45), 5),
    (check_topk, K.in_registers, (131, 33), 32),
    (check_topk, K.in_registers, (5, 100), 4),
    (check_topk, K.in_registers, (2, 1024), 32),
    (check_topk, K.bound, (2, 3000), 40),
    (check_topk, K.bound, (2, 3000), 500),
    (check_topk, K.bound_split, (2, 9000), 100),
    (check_topk, K.bound_split, (1, 6000), 2000),
    (check_topk, K.resident, (1, 1200), 700),
    (check_topk, K.resident, (1, 600), 600),
    (check_topk, K.resident, (2, 3000), 40),
    (check_topk, K.split, (2, 1500), 20),
    (check_topk, K.split, (1, 9000), 40),
    *(
        (check_partition, kernel, (2, 300), kth)
        for kernel in (K.in_registers, K.resident)
        for kth in (7, 290)
    ),
    (check_partition, K.in_registers, (3, 100), 3),
    (check_partition, K.in_registers, (1, 1024), 31),
    (check_partition, K.resident, (1, 20000), 9),
    (check_partition, K.resident, (1100, 2500), 9),
    # The plan chooses the kernels. 8 segments have more slots than are read at a time.
    (check_topk, None, (1, 65536), 2048),
]
# The check, kernel or shape that is most likely to notice a mistake in this part.
LIKELY = {
    "bound": K.bound,
    "bound_split": K.bound_split,
    "many": (1, 65536),
    "resident": K.resident,
    "sort": K.resident,
    "ends": K.resident,
    "split": K.split,
    "merge": K.split,
    "rest": check_partition,
}


def check_all(path, likely=""):
    """Runs every kernel of the library at `path`. Fails if a result is wrong.

    likely: a check, kernel or shape to begin with. So most mistakes are noticed early.
    """
    for check, *arguments in sorted(CHECKS, key=lambda c: likely not in c):
        check(path, *arguments)


def check_pairs(path):
    """Runs the kernels of KERNELS_OF_PAIRS. Fails if a result is wrong."""
    check_topk(path, K.bound, (2, 3000), 40, mx.bfloat16)
    check_topk(path, K.bound, (2, 3000), 500, mx.bfloat16)


def build_pairs(folder, old="", new=""):
    return build(folder, old, new, KERNELS_OF_PAIRS, "bfloat16")


@pytest.mark.slow
def test_the_kernels_without_a_mistake_pass(tmp_path):
    check_all(build(tmp_path))


@pytest.mark.slow
def test_the_kernels_for_pairs_without_a_mistake_pass(tmp_path):
    check_pairs(build_pairs(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("old, new", MUTANTS_OF_PAIRS)
def test_a_mistake_with_pairs_is_noticed(old, new, tmp_path):
    path = build_pairs(tmp_path, old, new)
    with pytest.raises(AssertionError):
        check_pairs(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "part, old, new",
    [(part, *mutant) for part, mutants in MUTANTS.items() for mutant in mutants],
    ids=[f"{part} {i}" for part, of in MUTANTS.items() for i in range(len(of))],
)
def test_a_mistake_is_noticed(part, old, new, tmp_path):
    path = build(tmp_path, old, new)
    with pytest.raises(AssertionError):
        check_all(path, LIKELY.get(part, ""))
