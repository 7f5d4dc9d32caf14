"""Every algorithm on every kind of row, at sizes on both sides of each threshold."""

import hooks
import mlx.core as mx
import numpy as np
import pytest

import oracle
from cases import KERNELS, bits, mx_array, numpy_of, values_of

kernels = pytest.mark.parametrize("engine", KERNELS)

# Sizes just below and just above each of these: the length of a vector and of half a
# vector, the longest rows that the algorithms lanes and short_row accept, the sizes of
# sorting networks, and the sizes of chunks.
SIZES = [1, 2, 7, 8, 9, 16, 17, 32, 33, 64, 65, 255, 256, 257, 513]
SIZES += [1023, 1024, 1025, 4095, 8193]
TYPES = [mx.float32, mx.bfloat16, mx.int8, mx.uint32, mx.float64, mx.int64]


def organ_pipe(n):
    return np.minimum(np.arange(n), n - np.arange(n))


def periodic(n):
    """Puts the large values into few of the slots of the algorithm `bounded`.

    The algorithm takes its bound from the best value of each slot, so that here many
    elements reach the bound.
    """
    i = np.arange(n)
    return np.where(i % 256 < 16, 100 + i, i % 7)


ROWS = {
    "random": lambda n, rng: rng.standard_normal(n) * 100,
    "ascending": lambda n, rng: np.arange(n) - n // 2,
    "descending": lambda n, rng: n // 2 - np.arange(n),
    "equal": lambda n, rng: np.ones(n),
    "zeros": lambda n, rng: rng.standard_normal(n) * (rng.random(n) < 0.1),
    "few": lambda n, rng: rng.integers(-1, 2, n),
    "nan": lambda n, rng: np.where(rng.random(n) < 0.7, np.nan, rng.random(n)),
    "negative nan": lambda n, rng: np.where(
        rng.random(n) < 0.1, np.copysign(np.nan, -1), rng.standard_normal(n)
    ),
    "infinite": lambda n, rng: np.where(rng.random(n) < 0.99, np.inf, np.nan),
    "infinities": lambda n, rng: rng.choice([np.inf, -np.inf, np.nan, 0.0, -0.0], n),
    "organ pipe": lambda n, rng: organ_pipe(n),
    "periodic": lambda n, rng: periodic(n),
}


def test_both_oracles_agree():
    rng = np.random.default_rng(0)
    for row in ROWS.values():
        values = row(300, rng)
        kinds = [values, values.astype(np.float32)]
        if np.isfinite(values).all():
            kinds += [values.astype(np.int8), values.astype(np.uint32)]
        for typed in kinds:
            for largest in (True, False):
                slow = oracle.best_first(typed, largest)
                assert oracle.order(typed, largest).tolist() == slow


def counts(n):
    most = {0, 1, 2, 8, 9, 16, 17, 64, 65, n - 1, n}
    most |= {n // 2, n // 8, n // 8 + 1}
    return sorted(k for k in most if 0 <= k <= n)


def row_of(kind, dtype, n):
    rng = np.random.default_rng(n)
    values = ROWS[kind](n, rng)
    if not np.issubdtype(np.asarray(numpy_of(mx.zeros(1, dtype))).dtype, np.floating):
        values = np.nan_to_num(values, nan=5, posinf=9, neginf=-9).astype(np.int64)
        values = values.astype(str(dtype).split(".")[-1])
    return mx_array(np.asarray(values), dtype)


@kernels
@pytest.mark.parametrize("kind", ROWS)
def test_every_kind_of_row(kind, engine):
    for dtype in TYPES:
        for n in SIZES:
            a = row_of(kind, dtype, n)
            row = numpy_of(a)
            for largest in (True, False):
                check_every_k(a, oracle.order(row, largest), largest)


def check_every_k(a, order, largest):
    ks = counts(len(order))
    results = []
    for k in ks:
        values, indices = mx.topk(
            a, k, largest=largest, sorted=True, return_indices=True
        )
        other = mx.topk(a, k, largest=largest, return_indices=True).indices
        results.append([values, indices, mx.take(a, indices), other])
    mx.eval(results)
    for k, (values, indices, fetched, other) in zip(ks, results, strict=True):
        np.testing.assert_array_equal(np.array(indices), order[:k], f"{a.dtype} {k}")
        np.testing.assert_array_equal(bits(values), bits(fetched))
        other = np.array(other)
        np.testing.assert_array_equal(np.sort(other), np.sort(order[:k]))
        # The worst is first and the best last. If k <= 64, all are in order.
        ends = slice(None) if k <= 64 else [0, -1]
        np.testing.assert_array_equal(other[ends], order[:k][::-1][ends])


@pytest.mark.parametrize("engine", hooks.kernels())
@pytest.mark.parametrize("kind", ROWS)
def test_sorts_and_partitions_of_every_kind_of_row(kind, engine):
    for dtype in TYPES:
        for n in SIZES:
            a = row_of(kind, dtype, n)
            row = numpy_of(a)
            order = oracle.order(row, largest=False)
            np.testing.assert_array_equal(np.array(mx.argsort(a)), order)
            in_order = mx.take(a, mx.array(order))
            np.testing.assert_array_equal(bits(mx.sort(a)), bits(in_order))
            for kth in {0, n // 9, n // 2, n - 1 - n // 9, n - 1}:
                got = np.array(mx.argpartition(a, kth))
                assert got[kth] == order[kth]
                assert mx.kthvalue(a, kth + 1).indices.item() == order[kth]
                # The smaller side, with kth, is in order if it has at most 64 elements.
                smaller = slice(kth + 1) if kth + 1 <= n - kth else slice(kth, n)
                if len(order[smaller]) <= 64:
                    np.testing.assert_array_equal(got[smaller], order[smaller])
                assert set(got[:kth]) == set(order[:kth])
                assert set(got[kth:]) == set(order[kth:])
                fetched = mx.take(a, mx.array(got))
                np.testing.assert_array_equal(bits(mx.partition(a, kth)), bits(fetched))
            nan = np.isnan(row) if row.dtype.kind == "f" else np.zeros(n, bool)
            smallest = np.argmax(nan) if nan.any() else order[0]
            assert mx.argmin(a).item() == smallest
            assert mx.argmax(a).item() == oracle.order(row, largest=True)[0]


@pytest.mark.parametrize("engine", hooks.kernels())
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32, mx.float64])
def test_the_first_of_two_zeros_is_best_however_far_apart(dtype, engine):
    for near, far in [(0.0, -0.0), (-0.0, 0.0)]:
        for other in (200, 1500, 5000):
            row = np.ones(8192)
            row[3], row[other] = near, far
            assert mx.argmin(mx_array(row, dtype)).item() == 3
            assert mx.argmax(-mx_array(row, dtype)).item() == 3


@kernels
@pytest.mark.parametrize("largest", [True, False])
def test_signalling_nan_is_ordered_as_any_nan(largest, engine):
    """Some vector maximum instructions return NaN if one operand is signalling NaN."""
    rng = np.random.default_rng(1)
    for n, k in [(160, 8), (1000, 50), (20_000, 100), (20_000, 5000)]:
        bit_patterns = rng.standard_normal(n).astype(np.float32).view(np.uint32)
        signals = rng.choice(np.array([0x7F800001, 0xFF812345], np.uint32), n)
        bit_patterns = np.where(rng.random(n) < 0.3, signals, bit_patterns)
        a = mx.array(bit_patterns).view(mx.float32)
        got = mx.topk(a, k, largest=largest, sorted=True, return_indices=True).indices
        wanted = oracle.order(bit_patterns.view(np.float32), largest)[:k]
        np.testing.assert_array_equal(np.array(got), wanted)


@pytest.mark.parametrize("name", ["uint8", "int16", "float16", "float32", "complex64"])
def test_all_instruction_sets_give_the_same_bits(name):
    """Compares unsorted results, too: an unspecified order must not vary."""
    dtype = getattr(mx, name)
    rng = np.random.default_rng(3)
    for n, k in [(20, 5), (200, 9), (600, 70), (5000, 100), (5000, 2000)]:
        a = mx_array(values_of(dtype, (3, n), "pool", rng), dtype)
        results = []
        for kernels in hooks.kernels():
            hooks.use_kernels(kernels)
            values, indices = mx.topk(a, k, return_indices=True)
            part = mx.argpartition(a, k)
            results.append([bits(values), np.array(indices), np.array(part)])
        for others in results[1:]:
            for got, wanted in zip(others, results[0], strict=True):
                np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("rows", [1, 5, 17, 70])
def test_a_batch_gives_what_its_rows_give(rows, axis):
    """Along axis 0 the rows are not contiguous, and the kernel copies them in tiles."""
    rng = np.random.default_rng(rows)
    for n, k in [(12, 3), (100, 20), (700, 30), (3000, 50), (3000, 1500)]:
        a = mx.array(rng.integers(0, 50, (rows, n)).astype(np.float32))
        batch = a if axis == 1 else mx.contiguous(a.T)
        values, indices = mx.topk(batch, k, axis, return_indices=True)
        part = mx.argpartition(batch, k, axis)
        for r in range(rows):
            got = [mx.take(x, r, 1 - axis) for x in (values, indices, part)]
            one = [*mx.topk(a[r], k, return_indices=True), mx.argpartition(a[r], k)]
            for g, w in zip(got, one, strict=True):
                np.testing.assert_array_equal(np.array(g), np.array(w))


def test_forcing_kernels_that_do_not_exist_is_an_error():
    with pytest.raises(ValueError, match="no kernels named no such"):
        hooks.use_kernels("no such")
