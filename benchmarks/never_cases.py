"""The cases of `never_worse.py`: ops, shapes, types, data, and what stock MLX does.

A case is one call of one op. Its input has rows of ``n`` elements along ``axis``.
"""

import dataclasses
import itertools

import mlx.core as mx
import numpy as np
from mlx import _overlay

stock = _overlay.stock

SIZES = [*range(1, 33), 40, 48, 63, 64, 65, 96, 100, 128, 160, 200, 255, 256, 257]
SIZES += [384, 512, 513, 777, 1000, 1024, 1025, 2048, 3001, 4096, 8192, 10007, 16384]
SIZES += [32768, 50257, 65536, 100003, 131072, 151936]
ROWS = ["one", "many"]
AXES = ["last", "first"]
TYPES = ["float32", "bfloat16", "float16", "int32", "uint8", "float64"]
DATA = ["random", "equal", "few values", "ascending", "descending", "NaN"]
DATA += ["broadcast", "strided"]
MODES = ["graph", "eager"]
SELECTIONS = ["topk values", "topk with indices", "top_k", "partition", "argpartition"]
OPS = [*SELECTIONS, "sort", "argsort", "argmax", "argmin"]
FIELDS = ("op", "n", "rows", "axis", "dtype", "data", "k", "mode")

# "Many" rows have about this many elements together, but are at least 3 rows.
MANY_ELEMENTS = 1 << 15
MOST_ROWS = 2048


@dataclasses.dataclass(frozen=True)
class Case:
    op: str
    n: int
    rows: str
    axis: str
    dtype: str
    data: str
    # 0 if the op has no k.
    k: int
    mode: str

    @property
    def count(self):
        """How many rows there are."""
        if self.rows == "one":
            return 1
        return max(3, min(MOST_ROWS, MANY_ELEMENTS // self.n))

    @property
    def is_whole_row(self):
        """Whether stock MLX returns its input as it is, so that no time is taken."""
        return self.op == "topk values" and self.k == self.n

    def __str__(self):
        first = self.axis == "first"
        shape = (self.n, self.count) if first else (self.count, self.n)
        k = f" k={self.k}" if self.k else ""
        along = "axis 0" if first else "axis 1"
        return f"{self.op} {shape}{k} {along} {self.dtype} {self.data} {self.mode}"


def counts_to_select(n):
    """Returns the values of k for rows of ``n`` elements, without repetition."""
    return sorted({k for k in (1, n // 8, n // 2, n - 1, n) if k > 0})


def all_cases(allowed):
    """Yields each case once, always in the same order.

    ``allowed`` maps names of fields to the values, as text, that cases may have.
    """

    def permitted(field, values):
        if field not in allowed:
            return values
        return [value for value in values if str(value) in allowed[field]]

    values = (ROWS, AXES, TYPES, DATA, MODES)
    fields = ("rows", "axis", "dtype", "data", "mode")
    others = [permitted(*pair) for pair in zip(fields, values, strict=True)]
    for op in permitted("op", OPS):
        for n in permitted("n", SIZES):
            ks = counts_to_select(n) if op in SELECTIONS else [0]
            combined = itertools.product(*others, permitted("k", ks))
            for rows, axis, dtype, data, mode, k in combined:
                if data != "NaN" or "float" in dtype:
                    yield Case(op, n, rows, axis, dtype, data, k, mode)


def random_elements(rng, shape, dtype):
    if "float" in dtype:
        return rng.standard_normal(shape)
    return rng.integers(0, 255, shape)


def elements(case, shape):
    """Returns the elements of a case as NumPy has them, rows along the last axis."""
    rng = np.random.default_rng(0)
    if case.data == "equal":
        return np.ones(shape)
    if case.data == "few values":
        return rng.integers(0, 4, shape)
    if case.data in ("ascending", "descending"):
        row = np.linspace(0, 255, shape[-1])
        row = row[::-1] if case.data == "descending" else row
        return np.broadcast_to(row, shape)
    values = random_elements(rng, shape, case.dtype)
    if case.data == "NaN":
        values[rng.random(shape) < 0.2] = np.nan
    return values


def make_array(case):
    """Returns the input of a case, evaluated.

    The rows of "broadcast" are one row that repeats with the stride 0, or, if there is
    one row, an element that repeats. "Strided" arrays are every second element of the
    last axis of another array.
    """
    rows, n = case.count, case.n
    shape = (rows, n)
    if case.data == "broadcast":
        values = elements(case, (1, n if rows > 1 else 1))
    elif case.data == "strided":
        double = (rows, 2 * n) if case.axis == "last" else (2 * rows, n)
        values = elements(case, double)
    else:
        values = elements(case, shape)
    first = case.axis == "first"
    values = np.ascontiguousarray(values.T if first else values)
    a = mx.array(values, mx.float64 if case.dtype == "float64" else None)
    a = a.astype(getattr(mx, case.dtype))
    mx.eval(a)
    if case.data == "broadcast":
        a = mx.broadcast_to(a, shape[::-1] if first else shape)
    elif case.data == "strided":
        a = a[..., ::2]
    mx.eval(a)
    return a


def largest(a, k, axis):
    """Selects as users of stock MLX do: argpartition, then take_along_axis."""
    n = a.shape[axis]
    chosen = stock.argpartition(a, n - k, axis=axis)
    chosen = chosen[..., n - k :] if axis == -1 else chosen[n - k :]
    return mx.take_along_axis(a, chosen, axis=axis), chosen


def largest_sorted(a, k, axis):
    """Selects as users of stock MLX do who want the best first.

    For small k they partition, then sort what they chose. For large k they sort.
    """
    if k * 8 > a.shape[axis]:
        order = stock.argsort(-a, axis=axis)
        order = order[..., :k] if axis == -1 else order[:k]
        return mx.take_along_axis(a, order, axis=axis), order
    values, chosen = largest(a, k, axis)
    order = stock.argsort(-values, axis=axis)
    values = mx.take_along_axis(values, order, axis=axis)
    return values, mx.take_along_axis(chosen, order, axis=axis)


def functions(case, a):
    """Returns the call of this build and the call of stock MLX that does the same."""
    k, axis = case.k, -1 if case.axis == "last" else 0
    if case.op == "topk values":
        return lambda: mx.topk(a, k, axis=axis), lambda: stock.topk(a, k, axis=axis)
    if case.op == "topk with indices":
        ours = lambda: mx.topk(a, k, axis=axis, return_indices=True)  # noqa: E731
        return ours, lambda: largest(a, k, axis)
    if case.op == "top_k":
        return lambda: mx.top_k(a, k, axis=axis), lambda: largest_sorted(a, k, axis)
    ours, theirs = getattr(mx, case.op), getattr(stock, case.op)
    if case.op in SELECTIONS:
        return lambda: ours(a, k - 1, axis=axis), lambda: theirs(a, k - 1, axis=axis)
    return lambda: ours(a, axis=axis), lambda: theirs(a, axis=axis)
