"""The contract of docs/topk.md: which elements are selected, and in what order.

An engine is a way to compute a selection, such as a kernel. cases.py lists the engines.
"""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import oracle
from cases import (
    ALL,
    CPU_ONLY,
    ENGINES,
    GPU,
    KERNELS,
    METAL,
    bits,
    dtype_name,
    examples,
    has_dtype,
    mx_array,
    numpy_of,
    selections,
    values_of,
)

engines = pytest.mark.parametrize("engine", ENGINES)
dtypes = pytest.mark.parametrize("dtype", ALL, ids=dtype_name)


def assert_is_topk(a, k, axis, largest, result):
    """Asserts that the result has the oracle's indices, and the elements at them."""
    values, indices = result
    wanted = oracle.topk_indices(numpy_of(a), k, axis, largest)
    assert indices.dtype == mx.uint32 and values.dtype == a.dtype
    np.testing.assert_array_equal(np.array(indices), wanted)
    fetched = mx.take_along_axis(a, mx.array(wanted), axis)
    np.testing.assert_array_equal(bits(values), bits(fetched))


@engines
@given(selections(), st.booleans())
@examples(4)
def test_every_backend_returns_the_same_indices_bit_for_bit(engine, case, largest):
    a, axis, k = case
    assume(has_dtype(engine, a.dtype))
    with ENGINES[engine]():
        result = mx.topk(a, k, axis, largest=largest, sorted=True, return_indices=True)
    assert_is_topk(a, k, axis, largest, result)


# Results of up to this many elements are in order even if nobody asks for that.
ORDERED_K = 64


def assert_worst_first_best_last(a, k, axis, largest, result):
    """Asserts that the result, which is not sorted, begins with the worst element.

    The best must be last. If k is at most ORDERED_K, all must be from worst to best.
    """
    values, indices = result
    fetched = mx.take_along_axis(a, indices, axis)
    np.testing.assert_array_equal(bits(values), bits(fetched))
    best_first = oracle.topk_indices(numpy_of(a), k, axis, largest)
    expected = np.flip(np.moveaxis(best_first, axis, -1), -1)
    found = np.moveaxis(np.array(indices), axis, -1)
    np.testing.assert_array_equal(np.sort(found), np.sort(expected))
    ends = slice(None) if k <= ORDERED_K else [0, -1]
    np.testing.assert_array_equal(found[..., ends], expected[..., ends])


@engines
@given(selections(), st.booleans())
def test_unsorted_results_have_the_worst_first_and_the_best_last(engine, case, largest):
    a, axis, k = case
    assume(has_dtype(engine, a.dtype))
    with ENGINES[engine]():
        result = mx.topk(a, k, axis, largest=largest, return_indices=True)
        values = mx.topk(a, k, axis, largest=largest)
    assert_worst_first_best_last(a, k, axis, largest, result)
    np.testing.assert_array_equal(bits(values), bits(result.values))


@engines
@pytest.mark.parametrize(
    "n, k", [(128, 8), (300, 64), (300, 65), (300, 300), (1500, 700), (2500, 20)]
)
def test_unsorted_results_of_every_size_have_the_best_last(engine, n, k):
    rng = np.random.default_rng(n + k)
    for dtype in (mx.float32, mx.int64):
        for kind in ("pool", "spread", "constant"):
            a = mx_array(values_of(dtype, (2, n), kind, rng), dtype)
            for largest in (True, False):
                with ENGINES[engine]():
                    result = mx.topk(a, k, largest=largest, return_indices=True)
                    mx.eval(result)
                assert_worst_first_best_last(a, k, -1, largest, result)


@pytest.mark.parametrize("engine", KERNELS)
@pytest.mark.parametrize("n, k", [(1025, 1024), (1500, 1455), (4000, 3999)])
def test_all_but_a_few_elements_of_a_row(engine, n, k):
    rng = np.random.default_rng(n)
    for dtype in (mx.float32, mx.uint8, mx.bfloat16, mx.float64):
        for kind in ("pool", "spread"):
            a = mx_array(values_of(dtype, (2, n), kind, rng), dtype)
            for axis, b in ((-1, a), (0, mx.contiguous(a.T))):
                for largest in (True, False):
                    result = mx.topk(b, k, axis, largest=largest, return_indices=True)
                    values = mx.topk(b, k, axis, largest=largest)
                    assert_worst_first_best_last(b, k, axis, largest, result)
                    np.testing.assert_array_equal(bits(values), bits(result.values))


@pytest.mark.smoke
@engines
def test_samplers_find_the_kth_at_the_front_and_the_best_at_the_end(engine):
    logits = mx.random.normal((4, 128), key=mx.random.key(0))
    for axis, a in ((-1, logits), (0, mx.contiguous(logits.T))):
        for k in (1, 8, 100, 128):
            with ENGINES[engine]():
                values = mx.topk(a, k, axis)
                mx.eval(values)
            first, last = (mx.take(values, mx.array([i]), axis) for i in (0, k - 1))
            assert (a >= first).sum(axis).tolist() == [k] * 4
            assert mx.array_equal(last, a.max(axis, keepdims=True))


@given(selections(max_axis=20), st.booleans(), st.booleans())
def test_top_k_is_topk_under_the_array_api_signature(case, largest, in_order):
    a, axis, k = case
    mode = "largest" if largest else "smallest"
    result = mx.top_k(a, k, axis=axis, mode=mode, sorted=in_order)
    same = mx.topk(a, k, axis, largest=largest, sorted=in_order, return_indices=True)
    assert isinstance(result, mx.TopKResult)
    np.testing.assert_array_equal(bits(result.values), bits(same.values))
    np.testing.assert_array_equal(np.array(result.indices), np.array(same.indices))


@pytest.mark.smoke
@engines
@pytest.mark.parametrize("largest", [True, False])
@dtypes
def test_ties_prefer_the_lower_index(dtype, largest, engine):
    if not has_dtype(engine, dtype):
        pytest.skip("the contract promises this dtype on the CPU only")
    a = mx_array(np.tile([1, 0, 1, 0, 1, 0, 1], (3, 5)), dtype)
    with ENGINES[engine]():
        result = mx.topk(a, 9, largest=largest, sorted=True, return_indices=True)
    assert_is_topk(a, 9, -1, largest, result)


@pytest.mark.parametrize("largest", [True, False])
def test_nan_is_greatest_whatever_its_sign_and_payload(largest):
    bit_patterns = [0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF, 0x7F800000, 0]
    a = mx.array(bit_patterns, mx.uint32).view(mx.float32)
    result = mx.topk(a, 6, largest=largest, sorted=True, return_indices=True)
    wanted = [0, 1, 2, 3, 4, 5] if largest else [5, 4, 0, 1, 2, 3]
    assert result.indices.tolist() == wanted
    got = result.values.view(mx.uint32).tolist()
    assert got == [bit_patterns[i] for i in wanted]


@pytest.mark.parametrize("largest", [True, False])
def test_the_two_zeros_are_equal(largest):
    a = mx.array([0.0, -0.0, 0.0, -0.0])
    result = mx.topk(a, 4, largest=largest, sorted=True, return_indices=True)
    assert result.indices.tolist() == [0, 1, 2, 3]
    assert np.signbit(np.array(result.values)).tolist() == [False, True, False, True]


def test_denormals_are_ordered():
    a = mx.array([1, 3, 0x80000002, 2, 0x80000001], mx.uint32).view(mx.float32)
    indices = mx.top_k(a, 5).indices
    assert indices.tolist() == [1, 3, 0, 4, 2]


@pytest.mark.parametrize("name", ["uint8", "uint64", "int8", "int64"])
def test_the_smallest_are_not_found_by_negation(name):
    low, high = np.iinfo(name).min, np.iinfo(name).max
    a = mx.array(np.array([high, 0, low, low + 1], name))
    values, indices = mx.top_k(a, 2, mode="smallest")
    wanted = oracle.topk(np.array(a), 2, largest=False)
    assert values.tolist() == wanted[0].tolist()
    assert indices.tolist() == wanted[1].tolist()


def test_smallest_of_bools():
    values, indices = mx.top_k(mx.array([True, False, True, False]), 3, mode="smallest")
    assert values.tolist() == [False, False, True]
    assert indices.tolist() == [1, 3, 0]


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("shape, k", [((3, 0), 0), ((0, 4), 2), ((2, 5), 0), ((0,), 0)])
def test_empty_axes(shape, k, in_order):
    result = mx.topk(mx.zeros(shape), k, sorted=in_order, return_indices=True)
    assert result.values.shape == result.indices.shape == (*shape[:-1], k)
    assert result.values.dtype == mx.float32 and result.indices.dtype == mx.uint32


def test_k_equal_to_the_axis_honours_sorted():
    a = mx.array([[2.0, 9.0, 4.0], [1.0, 0.0, 7.0]])
    assert mx.topk(a, 3, sorted=True).tolist() == [[9, 4, 2], [7, 1, 0]]
    assert mx.topk(a, 3, sorted=True, largest=False).tolist() == [[2, 4, 9], [0, 1, 7]]


def test_calls_that_work_on_stock_work_the_same():
    a = mx.array([[2.0, 9.0, 4.0], [1.0, 0.0, 7.0]])
    assert sorted(mx.topk(a, 2)[0].tolist()) == [4, 9]
    assert sorted(mx.topk(a, k=1, axis=0).tolist()[0]) == [2, 7, 9]
    assert sorted(mx.topk(a, 3, axis=None).tolist()) == [4, 7, 9]
    assert mx.topk(a, 3).tolist() == [[2, 4, 9], [0, 1, 7]]
    assert mx.topk(a, 2, stream=mx.cpu).shape == (2, 2)
    assert mx.topk(mx.array(5.0), 1, axis=None).tolist() == [5]
    assert mx.topk(a, mx.array(2)).shape == mx.topk(a, np.int64(2)).shape == (2, 2)


def test_axis_none_flattens():
    a = mx.array([[2, 9], [7, 1]])
    values, indices = mx.topk(a, 2, axis=None, sorted=True, return_indices=True)
    assert values.tolist() == [9, 7] and indices.tolist() == [1, 2]


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 4096, 100_000])
@pytest.mark.parametrize(
    "kind", ["ascending", "descending", "constant", "zeros", "few"]
)
def test_long_rows(n, kind):
    rng = np.random.default_rng(n)
    row = {
        "ascending": np.arange(n),
        "descending": np.arange(n)[::-1],
        "constant": np.ones(n),
        "zeros": rng.standard_normal(n) * (rng.random(n) < 0.1),
        "few": rng.integers(0, 3, n),
    }[kind].astype(np.float32)
    for k in {0, 1, min(50, n), n}:
        values, indices = mx.top_k(mx.array(row), k)
        wanted = np.argsort(-row, kind="stable")[:k]
        np.testing.assert_array_equal(np.array(indices), wanted)
        np.testing.assert_array_equal(np.array(values), row[wanted])


def smaller_side(n, kth):
    """Returns the positions that a partition has in order, if they are few."""
    return slice(kth + 1) if kth + 1 <= n - kth else slice(kth, n)


def partitions_stably(engine, dtype):
    """Returns whether a kernel of ours partitions, which treats ties as a stable sort.

    MLX's own kernels promise less. On a GPU ours partition rows that fit into
    registers and rows of more than ``partition_size`` elements. The rows of the test
    below fit into registers.
    """
    if engine in METAL or engine == GPU:
        return engine != "metal_missing" and dtype not in CPU_ONLY
    return engine in KERNELS


@engines
@given(selections(min_axis=1, max_axis=40), st.integers(-40, 39))
@example(case=(mx.array([1.0, 1.0, 0.0]), 0, 1), kth=-1)
def test_argpartition_puts_kth_where_a_stable_sort_would(engine, case, kth):
    a, axis, _ = case
    assume(has_dtype(engine, a.dtype))
    n = a.shape[axis]
    kth = max(-n, min(n - 1, kth))
    with ENGINES[engine]():
        indices = mx.argpartition(a, kth, axis)
        values = mx.partition(a, kth, axis)
        fetched = mx.take_along_axis(a, indices, axis)
    kth %= n
    stable = partitions_stably(engine, a.dtype)
    if stable:
        np.testing.assert_array_equal(bits(values), bits(fetched))
    rows = np.moveaxis(numpy_of(a), axis, -1)
    found = np.moveaxis(np.array(indices), axis, -1)
    partitioned = np.moveaxis(numpy_of(values), axis, -1)
    for where in np.ndindex(rows.shape[:-1]):
        order = oracle.best_first(rows[where], largest=False)
        got = found[where].tolist()
        assert sorted(got) == list(range(n))
        if stable:
            assert got[kth] == order[kth]
            assert sorted(got[:kth]) == sorted(order[:kth])
            smaller = smaller_side(n, kth)
            assert got[smaller] == order[smaller]
        else:
            in_order = rows[where][order]
            assert_partitions(rows[where][got], kth, in_order)
            assert_partitions(partitioned[where], kth, in_order)


@pytest.mark.parametrize("engine", KERNELS)
@pytest.mark.parametrize("n", [20, 130, 700, 1025, 5000])
def test_up_to_64_elements_beside_kth_are_in_order(engine, n):
    """So ``argpartition(a, -k)[..., -k:]`` ascends, as it always has on Metal."""
    rng = np.random.default_rng(n)
    for dtype in (mx.float32, mx.int8, mx.int64):
        a = mx_array(values_of(dtype, (3, n), "pool", rng), dtype)
        order = np.stack([oracle.order(row, largest=False) for row in numpy_of(a)])
        for k in {1, 2, min(n // 8, 64), min(n // 8 + 1, 64), min(n // 2, 64)}:
            found = np.array(mx.argpartition(a, -k))
            np.testing.assert_array_equal(found[:, -k:], order[:, -k:])
            found = np.array(mx.argpartition(a, k - 1))
            np.testing.assert_array_equal(found[:, :k], order[:, :k])
            values = mx.partition(a, -k)
            fetched = mx.take_along_axis(a, mx.array(order[:, -k:]), -1)
            np.testing.assert_array_equal(bits(values[:, -k:]), bits(fetched))


def assert_partitions(row, kth, in_order):
    """Asserts that ``row`` is the sorted row ``in_order``, partitioned at ``kth``.

    All NaNs count as equal, and so do the two zeros.
    """
    for part in (slice(kth), slice(kth, kth + 1), slice(kth + 1, None)):
        order = oracle.best_first(row[part], largest=False)
        np.testing.assert_array_equal(row[part][order], in_order[part])


def test_the_idiom_with_argpartition_chooses_the_set_that_topk_chooses():
    a = mx.array(np.random.default_rng(0).integers(0, 4, (8, 33)).astype(np.float32))
    idiom = np.sort(np.array(mx.argpartition(-a, 4, axis=-1)[:, :5]))
    chosen = np.sort(np.array(mx.topk(a, 5, return_indices=True).indices))
    np.testing.assert_array_equal(idiom, chosen)
