# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Checks the CPU's selections against an oracle in NumPy."""

import dataclasses
import itertools
import traceback

import mlx.core as mx
import numpy as np
from mlx.selftest import oracle
from mlx.selftest.use_checks import check_use

# Sizes of rows and values of k. The op chooses its algorithm by these two numbers. The
# shapes use each algorithm, and lie on both sides of each size at which it changes.
SHAPES = [(1, 1), (33, 1), (256, 16), (257, 16), (256, 17), (1024, 64), (1025, 64)]
SHAPES += [(160, 8), (1024, 65), (3000, 10), (3000, 375), (3000, 376), (40, 40), (9, 0)]
DTYPES = ["bool_", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32"]
DTYPES += ["int64", "float16", "bfloat16", "float32", "float64", "complex64"]
LARGE = (2, 300_000)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1.5, np.inf, -np.inf, np.nan]


@dataclasses.dataclass
class Cpu:
    """Describes the CPU for ``check_use``, as ``gpu_checks.Device`` does a GPU."""

    stream: object = mx.cpu
    active: object = lambda: mx.stream(mx.cpu)
    new_stream: object = lambda: mx.new_stream(mx.cpu)


def values_of(dtype, shape, kind, rng):
    """Draws NumPy values: ``ties`` from few special ones, ``spread`` from the type."""
    if dtype == "bool_":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype == "complex64":
        parts = [rng.choice(SPECIAL, shape).astype(np.float32) for _ in range(2)]
        out = np.empty(shape, np.complex64)
        out.real, out.imag = parts
        return out
    if "float" in dtype:
        drawn = rng.choice(SPECIAL, shape)
        return drawn if kind == "ties" else rng.standard_normal(shape)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if kind == "ties":
        return rng.choice(np.array([low, 0, 1, high], dtype), shape)
    return rng.integers(low, high, shape, dtype, endpoint=True)


def arrays_of(dtype, values):
    """Returns an MLX array, and its elements in a NumPy type that orders them alike."""
    if dtype in ("float16", "bfloat16", "float32"):
        a = mx.array(values.astype(np.float32)).astype(getattr(mx, dtype))
        return a, np.array(a.astype(mx.float32))
    a = mx.array(values, getattr(mx, dtype))
    return a, np.array(a)


def bits(a):
    """Returns the bytes of the elements, to tell zeros and NaN apart."""
    return np.array(mx.contiguous(a).view(mx.uint8))


def best_indices(values, largest):
    """Returns all indices of each row, best first, as the oracle has them."""
    if values.dtype.kind == "c":
        return np.stack([oracle.best_first(row, largest) for row in values])
    return np.stack([oracle.order(row, largest) for row in values])


def fetched(a, indices):
    """Returns the elements at indices, or fails if one is not in the array."""
    assert not indices.size or indices.max() < a.shape[-1], "an index is out of range"
    return mx.take_along_axis(a, mx.array(indices.astype(np.uint32)), axis=-1)


def check_topk(a, best, k, largest):
    for in_order in (True, False):
        values, indices = mx.topk(
            a, k, largest=largest, sorted=in_order, return_indices=True
        )
        found, wanted = np.array(indices), best[largest][:, :k]
        if not in_order:
            wanted, ordered = np.sort(wanted), np.sort(found)
        else:
            ordered = found
        np.testing.assert_array_equal(ordered, wanted)
        np.testing.assert_array_equal(bits(values), bits(fetched(a, found)))


def check_partition(a, best, k):
    kths = {k, a.shape[-1] - 1 - k} & set(range(a.shape[-1]))
    for kth, descending in itertools.product(kths, (False, True)):
        wanted = best[descending]
        found = np.array(mx.argpartition(a, kth, descending=descending))
        for part in (slice(kth), slice(kth, kth + 1), slice(kth + 1, None)):
            np.testing.assert_array_equal(
                np.sort(found[:, part]), np.sort(wanted[:, part])
            )
        values = bits(mx.partition(a, kth, descending=descending))
        np.testing.assert_array_equal(values, bits(fetched(a, found)))


def check_sorts(a, best):
    for descending in (False, True):
        found = np.array(mx.argsort(a, descending=descending))
        np.testing.assert_array_equal(found, best[descending])
        values = bits(mx.sort(a, descending=descending))
        np.testing.assert_array_equal(values, bits(fetched(a, found)))


def checks(dtype):
    """Yields a description and a function for each check of a type."""
    rng = np.random.default_rng(0)
    for n, k in SHAPES:
        for kind in ("ties", "spread"):
            values = values_of(dtype, (4, n), kind, rng)
            for layout in ("contiguous", "transposed"):
                drawn = values if layout == "contiguous" else values.T.copy()
                a, numbers = arrays_of(dtype, drawn)
                if layout == "transposed":
                    a, numbers = a.T, numbers.T
                best = {x: best_indices(numbers, x) for x in (True, False)}
                name = f"{dtype} n={n} k={k} {kind} {layout}"
                for largest in (True, False):
                    yield (
                        f"topk {name} largest={largest}",
                        lambda a=a, b=best, k=k, x=largest: check_topk(a, b, k, x),
                    )
                yield (
                    f"partition {name}",
                    lambda a=a, b=best, k=k: check_partition(a, b, k),
                )
                yield f"sort {name}", lambda a=a, b=best: check_sorts(a, b)


def large_checks():
    """Yields checks of rows that several threads share, with one thread and more."""
    rng = np.random.default_rng(1)
    a, numbers = arrays_of("float32", values_of("float32", LARGE, "spread", rng))
    best = {x: best_indices(numbers, x) for x in (True, False)}
    for threads in (1, max(2, mx.selection_threads())):

        def check(threads=threads):
            before = mx.selection_threads()
            mx.set_selection_threads(threads)
            try:
                check_topk(a, best, 50, True)
                check_partition(a, best, 1000)
            finally:
                mx.set_selection_threads(before)

        yield f"{threads} threads", check


def run():
    """Checks the CPU. Returns how many checks were made, and the failures."""
    failures = []
    with mx.stream(mx.cpu):
        total = check_use(Cpu(), failures)
        groups = {dtype: checks(dtype) for dtype in DTYPES}
        groups["large rows"] = large_checks()
        for group, members in groups.items():
            before = len(failures)
            made = 0
            for name, check in members:
                made += 1
                try:
                    check()
                except Exception:
                    failures.append(f"{name}: {traceback.format_exc()}")
            word = "ok" if len(failures) == before else "WRONG"
            failed = len(failures) - before
            print(f"cpu {group:11} {word:5} {made} checks, {failed} failed", flush=True)
            total += made
    return total, failures
