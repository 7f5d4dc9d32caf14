"""Calls of every op that this MLX replaces, and a program that records their results.

``python tests/stock_calls.py FILE --seed 0 --draws 4`` makes the calls with whichever
MLX Python finds, and pickles the results. ``test_changes_from_stock.py`` does this with
stock MLX, makes the same calls with this MLX, and compares. Stock MLX has to import
this file, so it uses no other module of the tests.
"""

import argparse
import dataclasses
import pickle
from collections.abc import Callable

import mlx.core as mx
import numpy as np

FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTEGERS = [f"{sign}int{size}" for sign in ("", "u") for size in (8, 16, 32, 64)]
DTYPES = ["bool_", *INTEGERS, *FLOATS, "complex64"]
SIZES = [1, 2, 5, 16, 33, 64, 65, 130, 257, 1025]
SHAPES = [*((n,) for n in SIZES), (), (0,), (0, 4), (4, 0), (3, 4), (7, 130)]
SHAPES += [(2, 3, 5), (3, 1, 9), (5, 2, 0), (65, 2, 2)]
LAYOUTS = ["contiguous", "transposed", "every second", "reversed", "broadcast"]
SELECTIONS = ["sort", "argsort", "argmax", "argmin", "array.argmax", "array.argmin"]
SELECTIONS += ["median"]
PARTITIONS = ["topk", "partition", "argpartition"]
_POOL = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1.5]


@dataclasses.dataclass
class Call:
    """A call. Those of ``PARTITIONS`` have the input, the axis and the kth element.

    ``twin`` is the name of a call that gives on stock MLX what this one gives here.
    """

    name: str
    op: str
    make: Callable
    array: mx.array | None = None
    axis: int | None = None
    kth: int | None = None
    twin: str | None = None


@dataclasses.dataclass
class Array:
    """An array of a result.

    ``bits`` has the elements as unsigned integers, to be compared exactly. ``values``
    has them as numbers, to find out which are equal or larger.
    """

    dtype: str
    bits: np.ndarray
    values: np.ndarray


@dataclasses.dataclass
class Raised:
    kind: str
    message: str


def recorded(a):
    """Returns a result with each array in it as an ``Array``."""
    if isinstance(a, dict):
        return {key: recorded(value) for key, value in a.items()}
    if isinstance(a, (list, tuple)):
        return [recorded(value) for value in a]
    if not isinstance(a, mx.array):
        is_plain = isinstance(a, (str, int, float, type(None)))
        return a if is_plain else "a function" if callable(a) else type(a).__name__
    dtype = str(a.dtype).removeprefix("mlx.core.")
    is_bfloat = a.dtype == mx.bfloat16
    values = np.array(a.astype(mx.float32) if is_bfloat else a)
    bits = np.array(a.view(mx.uint16)) if is_bfloat else values
    unsigned = f"u{bits.dtype.itemsize}"
    bits = np.ascontiguousarray(bits).view(unsigned).reshape(bits.shape)
    return Array(dtype, bits, values)


def result_of(call):
    try:
        return recorded(call.make())
    except Exception as error:
        return Raised(type(error).__name__, str(error))


# ---- Inputs ------------------------------------------------------------------


def drawn_values(rng, dtype, shape):
    """Draws values with many ties, or from the whole range, or all equal."""
    kind = rng.choice(["pool", "spread", "constant"])
    if dtype == "bool_":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in INTEGERS:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        if kind == "spread":
            return rng.integers(low, high, shape, dtype, endpoint=True)
        pool = np.array([low, low + 1, 0, 1, high - 1, high], dtype)
        return rng.choice(pool, shape) if kind == "pool" else np.full(shape, high)
    if dtype == "complex64":
        out = np.empty(shape, np.complex64)
        out.real, out.imag = rng.choice(_POOL, (2, *shape))
        return out
    if kind == "spread":
        return rng.standard_normal(shape)
    return rng.choice(_POOL, shape) if kind == "pool" else np.full(shape, 1.5)


def as_array(values, dtype):
    if dtype in ("float16", "bfloat16"):
        return mx.array(values.astype(np.float32)).astype(getattr(mx, dtype))
    return mx.array(values, getattr(mx, dtype))


def drawn_array(rng, dtype, shape):
    layout = rng.choice(LAYOUTS)
    values = drawn_values(rng, dtype, shape)
    if not shape or layout == "contiguous":
        a = as_array(values, dtype)
    elif layout == "transposed":
        a = as_array(np.ascontiguousarray(values.T), dtype).T
    elif layout == "every second":
        a = as_array(np.repeat(values, 2, -1), dtype)[..., ::2]
    elif layout == "reversed":
        a = as_array(np.flip(values, 0).copy(), dtype)[::-1]
    else:
        a = mx.broadcast_to(as_array(values[:1], dtype), shape)
    mx.eval(a)
    return a


def spelled(rng, required, optional):
    """Draws how to pass arguments: by position or keyword, with or without a stream."""
    if rng.integers(2):
        args, kwargs = [*required.values(), *optional.values()], {}
    else:
        args, kwargs = [], {**required, **optional}
    if rng.integers(3) == 0:
        kwargs["stream"] = mx.cpu
    return args, kwargs


# ---- Calls -------------------------------------------------------------------


def selection(rng, op, dtype, name):
    """Draws a call of an op of ``SELECTIONS`` or ``PARTITIONS``."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    a = drawn_array(rng, dtype, shape)
    axis = int(rng.integers(-a.ndim, a.ndim)) if shape and rng.integers(6) else None
    n = a.size if axis is None else a.shape[axis]
    required, kth = {}, None
    if op == "topk":
        k = int(rng.choice([0, min(1, n), n, rng.integers(0, n + 1)]))
        required, kth = {"k": k}, n - k
    elif op in PARTITIONS:
        kth = int(rng.integers(-n, n)) if n else 0
        required = {"kth": kth}
    optional = {"axis": axis}
    if "argm" in op or op == "median":
        optional["keepdims"] = bool(rng.integers(2))
    args, kwargs = spelled(rng, required, optional)
    is_method = op.startswith("array.")
    function = getattr(a, op[6:]) if is_method else getattr(mx, op)
    first = [] if is_method else [a]
    name = f"{name} {op} {dtype} {shape} {required} {optional}"
    if op in ("partition", "argpartition") and n:
        kth %= n
    return Call(name, op, lambda: function(*first, *args, **kwargs), a, axis, kth)


def search(rng, dtype, name):
    n = int(rng.choice([0, 1, 2, 33, 257]))
    sequence = mx.sort(drawn_array(rng, dtype, (n,)))
    values = drawn_array(rng, dtype, SHAPES[rng.integers(len(SHAPES))])
    side = str(rng.choice(["left", "right"]))
    kwargs = {"side": side, **({"stream": mx.cpu} if rng.integers(2) else {})}
    name = f"{name} searchsorted {dtype} {n} {values.shape} {side}"
    return Call(
        name, "searchsorted", lambda: mx.searchsorted(sequence, values, **kwargs)
    )


def sample(rng, dtype, name):
    shape = [(5,), (3, 4), (2, 3, 5), (1, 130)][rng.integers(4)]
    logits = as_array(rng.standard_normal(shape), dtype)
    axis = int(rng.integers(-len(shape), len(shape)))
    rest = tuple(np.delete(shape, axis).tolist())
    how = [{}, {"num_samples": 3}, {"shape": (2, *rest)}][rng.integers(3)]
    key = mx.random.key(int(rng.integers(1000)))
    name = f"{name} categorical {dtype} {shape} {axis} {how}"
    return Call(
        name,
        "random.categorical",
        lambda: mx.random.categorical(logits, axis, key=key, **how),
    )


def drawn_calls(seed, draws):
    """Yields ``draws`` calls of each op for each type."""
    rng = np.random.default_rng(seed)
    for number in range(draws):
        for dtype in DTYPES:
            for op in SELECTIONS + PARTITIONS:
                yield selection(rng, op, dtype, f"{seed}.{number}")
            yield search(rng, dtype, f"{seed}.{number}")
        for dtype in FLOATS:
            yield sample(rng, dtype, f"{seed}.{number}")


def calls(seed, draws):
    from stock_calls_fixed import fixed_calls
    from stock_calls_transformed import transformed_calls

    return [*fixed_calls(), *transformed_calls(seed), *drawn_calls(seed, draws)]


def results(seed, draws):
    return {call.name: result_of(call) for call in calls(seed, draws)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=4)
    options = parser.parse_args()
    mx.set_default_device(mx.cpu)
    with open(options.output, "wb") as file:
        pickle.dump((mx.__version__, results(options.seed, options.draws)), file)


if __name__ == "__main__":
    # The results must be of the classes of the module, not of __main__.
    import stock_calls

    stock_calls.main()
