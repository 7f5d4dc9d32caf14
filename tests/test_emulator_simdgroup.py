"""Metal's simdgroup functions in the emulator, compared with NumPy."""

import numpy as np
import pytest
from emulator_plants import KERNELS

from metal import emulator
from metal.emulator.check import check

SOURCE = KERNELS / "simdgroup.metal"
FUNCTIONS = 12  # in the kernel simd_functions
TYPES = {
    "float": np.float32,
    "half": np.float16,
    "int": np.int32,
    "uint": np.uint32,
    "short": np.int16,
    "ushort": np.uint16,
    "char": np.int8,
    "uchar": np.uint8,
}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tracked"])
def library(request):
    return emulator.build(SOURCE, tracked=request.param)


def operands(name):
    """96 small whole numbers, whose sums are exact in every type and order."""
    dtype = TYPES[name]
    values = np.random.default_rng(1).integers(0, 8, 96).astype(dtype)
    if np.issubdtype(dtype, np.signedinteger) or name == "float":
        values = values - dtype(3)
    return values


def prefix(values, inclusive):
    sums = np.cumsum(values, axis=1, dtype=values.dtype)
    return sums if inclusive else sums - values


def simd_results(values):
    """Returns the rows that the kernel simd_functions writes for these operands."""
    rows = values.reshape(-1, 32)
    lane = np.arange(32)
    whole = np.ones_like(rows)
    # Products of the values would overflow.
    factors = np.where(np.arange(values.size) % 9 == 4, 2, 1).reshape(-1, 32)
    return [
        rows.sum(1, keepdims=True, dtype=values.dtype) * whole,
        rows.max(1, keepdims=True) * whole,
        rows.min(1, keepdims=True) * whole,
        prefix(rows, False),
        prefix(rows, True),
        factors.prod(1, keepdims=True, dtype=values.dtype) * whole,
        rows[:, (lane * 5 + 3) % 32],
        rows[:, lane ^ 5],
        rows[:, np.where(lane >= 3, lane - 3, lane)],
        rows[:, np.where(lane < 25, lane + 7, lane)],
        rows[:, 17:18] * whole,
        rows[:, :1] * whole,
    ]


def expected_results(values):
    return np.stack([np.ravel(row) for row in simd_results(values)])


def test_the_front_end_accepts_these_kernels():
    assert check(SOURCE) == []


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("name", TYPES)
def test_simd_functions(library, name, seed):
    values = operands(name)
    out = np.zeros((FUNCTIONS, 96), values.dtype)
    kernel = f"simd_functions_{name}"
    counts = library.launch(kernel, {0: values, 1: out}, 1, 96, outputs={1}, seed=seed)
    np.testing.assert_array_equal(out, expected_results(values))
    # Each function is called by 3 simdgroups.
    assert (counts.collectives, counts.barriers) == (FUNCTIONS * 3, 0)
    assert counts.threadgroup_bytes_read == 0


def test_shuffles_at_the_end_of_a_short_simdgroup(library):
    """The last simdgroup of 40 threads has 8 lanes."""
    values, out = np.arange(100, 140, dtype=np.int32), np.zeros((12, 40), np.int32)
    message = r"simd_shuffle at \S+ reads the value of lane \d+; expected 0 to 7, by"
    with pytest.raises(emulator.KernelError, match=message):
        library.launch("simd_functions_int", {0: values, 1: out}, 1, 40, outputs={1})
    out = np.zeros((3, 40), np.int32)
    library.launch("short_simdgroups", {0: values, 1: out}, 1, 40, outputs={1})
    rows = [values[:32], values[32:]]
    up = np.concatenate([np.append(row[:3], row[:-3]) for row in rows])
    down = np.concatenate([np.append(row[7:], row[-7:]) for row in rows])
    sums = np.concatenate([np.cumsum(row) for row in rows])
    np.testing.assert_array_equal(out, np.stack([up, down, sums]))
