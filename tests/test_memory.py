"""Memory: a selection takes its outputs and the scratch that docs/topk.md states."""

import pathlib
import subprocess
import sys

import mlx.core as mx
import pytest
from mlx._overlay import stock

needs_proc = pytest.mark.skipif(
    not pathlib.Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc"
)

# Prints how many bytes of memory the op took beside its outputs: the peak of resident
# memory minus the resident memory before the op and the size of the outputs.
MEASURE = """
import mlx.core as mx
mx.set_default_device(mx.cpu)
mx.set_selection_threads(1)
mx.random.seed(0)
def resident(name):
    for line in open("/proc/self/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
a = {array}
mx.eval(a)
mx.eval(mx.topk(mx.arange(3000.0), 9), mx.argsort(mx.arange(3000)))
open("/proc/self/clear_refs", "w").write("5")
before = resident("VmRSS")
out = {op}
mx.eval(out)
outputs = out if isinstance(out, (list, tuple)) else [out]
print(resident("VmHWM") - before - sum(x.nbytes for x in outputs))
"""

MIB = 1 << 20
LONG = "mx.random.normal((1, {n}))"
N = 6_000_000

# The array, the op, and the bytes of temporary memory that the op may take.
CASES = {
    "small k": (LONG, "mx.topk(a, 50, return_indices=True)", N // 8),
    "an eighth, in order": (
        LONG,
        "mx.topk(a, {n} // 8, sorted=True, return_indices=True)",
        N + 128 * N // 8,
    ),
    "argmax": (LONG, "mx.argmax(a, axis=-1)", 0),
    "a small part": (LONG, "mx.argpartition(a, 50)", N // 8),
    "large k": (LONG, "mx.topk(a, {n} // 2, return_indices=True)", 16 * N),
    "half": (LONG, "mx.argpartition(a, {n} // 2)", 16 * N),
    "sort": (LONG, "mx.sort(a)", 8 * N),
    "argsort": (LONG, "mx.argsort(a)", 16 * N),
    "descending": (LONG, "mx.sort(a, descending=True)", 8 * N),
    "two keys": (LONG, "mx.lexsort([a, a])", (16 + 12) * N),
    "three keys": (LONG, "mx.lexsort([a, a, a])", (16 + 24) * N),
    "many rows": (
        "mx.random.normal(({n} // 4000, 4000))",
        "mx.argsort(a)",
        16 * 4000,
    ),
    "rows side by side": (
        "mx.random.normal((60_000, {n} // 60_000))",
        "mx.topk(a, 50, axis=0, return_indices=True)",
        4 * MIB,
    ),
    "every second element": (
        "mx.random.normal((2, {n}))[:, ::2]",
        "mx.topk(a, 50, return_indices=True)",
        N // 8,
    ),
}


# Allows for the allocator's own pages, and for memory that the system counts late.
TOLERANCE = 2 * MIB


def scratch_of(array, op):
    """Returns the bytes of memory that an op takes beside its outputs."""
    code = MEASURE.format(array=array.format(n=N), op=op.format(n=N))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@needs_proc
@pytest.mark.parametrize("name", CASES)
def test_scratch_is_within_the_stated_limit(name):
    array, op, limit = CASES[name]
    assert scratch_of(array, op) < limit + TOLERANCE


@pytest.mark.parametrize("dtype", [mx.int8, mx.float32, mx.float64])
@pytest.mark.parametrize("k", [1, 50, N // 8, N // 2, N - 1])
def test_topk_without_indices_takes_no_more_than_stock(dtype, k):
    a = mx.zeros(N, dtype, stream=mx.cpu)
    own = peak_of(lambda: mx.topk(a, k, stream=mx.cpu), a)
    assert own == k * dtype.size
    assert own <= peak_of(lambda: stock.topk(a, k, stream=mx.cpu), a)


@pytest.mark.parametrize("in_order", [False, True])
def test_topk_of_the_whole_axis_takes_one_output(in_order):
    """The worst element must be first, so the output cannot be the input itself.

    Stock returns the input, in whatever order it is.
    """
    a = mx.zeros((2, 1_000_000))
    n = a.shape[1]
    values = peak_of(lambda: mx.topk(a, n, sorted=in_order, stream=mx.cpu), a)
    assert values == a.nbytes
    one = mx.zeros((1_000_000, 1))
    assert peak_of(lambda: mx.topk(one, 1, sorted=in_order, stream=mx.cpu), one) == 0


def peak_of(op, a):
    """Returns the bytes that MLX allocates at the peak of an op on ``a``."""
    mx.eval(a)
    mx.synchronize()
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    out = op()
    mx.eval(out)
    # The peak is 0 after the reset. It stays 0 if the op allocates nothing.
    return max(mx.get_peak_memory() - before, 0)


@needs_proc
def test_a_copy_of_the_input_would_be_noticed():
    assert scratch_of(LONG, "mx.topk(-a, 50)") > 4 * N - TOLERANCE
