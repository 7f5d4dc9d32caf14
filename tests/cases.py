"""The engines to test, and inputs on which selections easily go wrong.

Such inputs have ties, NaN, zeros of both signs, and strides that are not contiguous.
"""

import contextlib
import functools
import sys

import hooks
import mlx.core as mx
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from mlx import _selection

INTEGERS = [mx.int8, mx.int16, mx.int32, mx.int64]
UNSIGNED = [mx.uint8, mx.uint16, mx.uint32, mx.uint64]
FLOATS = [mx.float16, mx.bfloat16, mx.float32, mx.float64]
REAL = [mx.bool_, *INTEGERS, *UNSIGNED, *FLOATS]
ALL = [*REAL, mx.complex64]

# The contract promises these two on the CPU only.
CPU_ONLY = [mx.float64, mx.complex64]

# An engine is one of the implementations that must select the same elements. The
# fixture ``engine_in_force`` of conftest.py forces it if a test is parametrised with
# ``engine``.

# Two kinds of engines run the CPU kernels. Those in ALGORITHMS use one algorithm
# wherever it can be used. Those in INSTRUCTIONS use fewer vector instructions than
# this processor has.
ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in hooks.Algorithm
    if algorithm.name != "whole_row"
}
INSTRUCTIONS = hooks.kernels()[1:]

# These engines run the Metal kernels and their host code in the emulator. "metal" uses
# the kernel that the plan chooses. "metal_missing" has no kernel, as if none compiled.
# Each of the others uses one kernel wherever it can be used.
METAL = {
    "metal": None,
    **{f"metal_{kernel.name}": kernel for kernel in hooks.MetalKernel},
    "metal_missing": None,
}

# The emulator uses GCC and the linker of Linux.
HAS_EMULATOR = sys.platform == "linux"

# The GPU of this machine. The tests are skipped where there is none.
GPU = "gpu"

KERNELS = ["kernel", *ALGORITHMS, *INSTRUCTIONS]

# Each engine with a context to call the ops in. In the last two contexts, a selection
# becomes a graph of MLX's own primitives, as it does in an exported function.
ENGINES = {
    **dict.fromkeys([*KERNELS, *METAL], contextlib.nullcontext),
    GPU: lambda: mx.stream(mx.gpu),
    "portable": _selection.portable_graph,
    "shapeless": functools.partial(_selection.portable_graph, shapeless=True),
}


def has_dtype(engine, dtype):
    """Returns whether the contract promises a dtype on an engine."""
    return engine != GPU or dtype not in CPU_ONLY


def examples(factor):
    """Draws ``factor`` times as many examples as the hypothesis profile says."""
    return settings(max_examples=factor * settings().max_examples)


_NEGATIVE_NAN = float(np.copysign(np.nan, -1))
_FLOAT_POOL = [np.nan, _NEGATIVE_NAN, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1.5]


def dtype_name(dtype):
    return str(dtype).split(".")[-1]


def numpy_of(a):
    """Returns the elements in a NumPy type with the same order as the array's."""
    if a.dtype == mx.bfloat16:
        a = a.astype(mx.float32)
    return np.array(a)


def bits(a):
    """Returns the elements as unsigned integers, to compare NaN and -0.0 exactly."""
    if a.dtype == mx.bool_:
        return np.array(a)
    if a.dtype == mx.complex64:
        return np.stack([bits(mx.real(a)), bits(mx.imag(a))])
    size = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32, 8: mx.uint64}
    return np.array(mx.contiguous(a).view(size[a.dtype.size]))


def values_of(dtype, shape, kind, rng):
    """Draws NumPy values of a kind.

    ``constant`` is one value everywhere, ``pool`` a few extreme values with many
    ties, and ``spread`` values from the whole range of the type.
    """
    if dtype == mx.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype == mx.complex64:
        parts = rng.choice(_FLOAT_POOL, (2, *shape))
        out = np.empty(shape, np.complex64)
        out.real, out.imag = parts
        return out
    if dtype in FLOATS:
        if kind == "constant":
            return np.full(shape, rng.choice(_FLOAT_POOL))
        if kind == "pool":
            return rng.choice(_FLOAT_POOL, shape)
        return rng.standard_normal(shape)
    name = dtype_name(dtype)
    low, high = np.iinfo(name).min, np.iinfo(name).max
    if kind == "constant":
        return np.full(shape, high, name)
    if kind == "pool":
        return rng.choice(np.array([low, low + 1, 0, 1, high - 1, high], name), shape)
    return rng.integers(low, high, shape, name, endpoint=True)


def mx_array(values, dtype):
    """Makes an array, without rounding float64 values to float32 on the way."""
    if dtype == mx.float64 or dtype not in FLOATS:
        return mx.array(values, dtype)
    return mx.array(values.astype(np.float32)).astype(dtype)


def laid_out(values, dtype, layout, axis):
    """Makes an evaluated array with these elements.

    ``layout`` is one of ``LAYOUTS``, but not "broadcast", which ``arrays`` makes.
    """
    if layout == "transposed":
        a = mx_array(values.T.copy(), dtype).T
    elif layout == "axis outermost":
        a = mx_array(np.moveaxis(values, axis, 0).copy(), dtype)
        a = mx.moveaxis(a, 0, axis)
    elif layout == "strided":
        spread = np.repeat(values, 2, axis)
        a = mx_array(spread.copy(), dtype)
        a = a[(slice(None),) * (axis % a.ndim) + (slice(None, None, 2),)]
    elif layout == "reversed":
        flipped = np.flip(values, axis).copy()
        a = mx_array(flipped, dtype)
        a = a[(slice(None),) * (axis % a.ndim) + (slice(None, None, -1),)]
    elif layout == "offset":
        padded = np.concatenate([values[:1], values]) if len(values) else values
        a = mx_array(padded.copy(), dtype)
        a = a[1:] if len(values) else a
    else:
        a = mx_array(values.copy(), dtype)
    mx.eval(a)
    return a


LAYOUTS = [
    "contiguous",
    "transposed",
    "axis outermost",
    "strided",
    "reversed",
    "offset",
    "broadcast",
]


@st.composite
def arrays(draw, dtypes=tuple(ALL), max_axis=70, min_axis=0):
    """Draws an array and one of its axes, which may be negative."""
    dtype = draw(st.sampled_from(dtypes))
    ndim = draw(st.integers(1, 4))
    axis = draw(st.integers(-ndim, ndim - 1))
    shape = [draw(st.sampled_from([1, 2, 3, 0, 5])) for _ in range(ndim)]
    shape[axis] = draw(st.integers(min_axis, max_axis))
    kind = draw(st.sampled_from(["pool", "spread", "constant"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = values_of(dtype, shape, kind, rng)
    layout = draw(st.sampled_from(LAYOUTS))
    if layout == "broadcast":
        other = draw(st.integers(0, ndim - 1))
        one = values.take([0], other) if shape[other] else values
        a = mx.broadcast_to(laid_out(one, dtype, "contiguous", axis), shape)
        mx.eval(a)
        return a, axis
    return laid_out(values, dtype, layout, axis), axis


@st.composite
def selections(draw, **kwargs):
    """Draws an array, an axis and a ``k``; 0, 1 and the whole axis are likely."""
    a, axis = draw(arrays(**kwargs))
    n = a.shape[axis]
    k = draw(st.one_of(st.sampled_from([0, min(1, n), n]), st.integers(0, n)))
    return a, axis, k
