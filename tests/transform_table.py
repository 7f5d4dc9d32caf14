"""Tries every transform on every other, for each op, and writes docs/transforms.md.

    python tests/transform_table.py --write

tests/test_transform_table.py fails if the page is not what this prints.
"""

import pathlib
import sys

import mlx.core as mx
import numpy as np

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "transforms.md"
# With this key no draw changes when a logit changes by STEP.
KEY = mx.random.key(1)
STEP = 0.03125
X = mx.array([3.0, 1.0, 6.0, 2.0, 9.0, 4.5])


def gathered(x, indices):
    return mx.take_along_axis(x, indices, 0)


# Each function is of degree one or two where the choice stays the same. So central
# differences give its derivatives without a truncation error.
OPS = {
    "`topk`, values": lambda x: mx.topk(x, 3, sorted=True) ** 2,
    "`topk(...)[..., :1]`": lambda x: mx.topk(x, 3)[..., :1] ** 2,
    "`topk`, indices": lambda x: (
        gathered(x, mx.topk(x, 3, sorted=True, return_indices=True)[1]) ** 2
    ),
    "`sort`": lambda x: mx.sort(x) ** 2,
    "`argsort`": lambda x: gathered(x, mx.argsort(x)) ** 2,
    "`partition`": lambda x: mx.partition(x, 2) ** 2,
    "`argpartition`": lambda x: gathered(x, mx.argpartition(x, 2)) ** 2,
    "`argpartition(...)[..., :k]`": lambda x: (
        gathered(x, mx.argpartition(x, 2)[..., :3]) ** 2
    ),
    "`argmax`": lambda x: gathered(x, mx.argmax(x, axis=0, keepdims=True)) ** 2,
    "`argmin`": lambda x: gathered(x, mx.argmin(x, axis=0, keepdims=True)) ** 2,
    "`x[argmax(x)]`": lambda x: x[mx.argmax(x)] ** 2,
    "`sort(descending=True)`": lambda x: mx.sort(x, descending=True) ** 2,
    "`argsort(descending=True)`": lambda x: (
        gathered(x, mx.argsort(x, descending=True)) ** 2
    ),
    "`partition`, two `kth`": lambda x: mx.partition(x, [1, -2]) ** 2,
    "`lexsort`": lambda x: gathered(x, mx.lexsort([x, mx.floor(x / 3)])) ** 2,
    "`kthvalue`": lambda x: mx.kthvalue(x, 2, keepdims=True)[0] ** 2,
    "`quantile`": lambda x: mx.quantile(x, [0.3, 0.8], 0) ** 2,
    "`median`": lambda x: mx.median(x, 0, keepdims=True) ** 2,
    "`searchsorted`": lambda x: gathered(x, mx.searchsorted(mx.sort(x), x)) ** 2,
    "`searchsorted(axis=0, sorter=...)`": lambda x: (
        gathered(x, mx.searchsorted(x, x, axis=0, sorter=mx.argsort(x))) ** 2
    ),
    "`categorical`": lambda x: (
        gathered(x, mx.random.categorical(x, key=KEY)[None]) ** 2
    ),
    "`categorical(num_samples=3)`": lambda x: (
        gathered(x, mx.random.categorical(x, num_samples=3, key=KEY)) ** 2
    ),
}


def listed(outputs):
    """Returns the arrays of nested lists and tuples as one list."""
    if not isinstance(outputs, (tuple, list)):
        return [outputs]
    return [a for part in outputs for a in listed(part)]


def loss_of(f):
    """Returns a scalar function that weights each output of ``f`` differently."""

    def loss(x):
        total = mx.array(0.0)
        for number, out in enumerate(listed(f(x)), 1):
            flat = out.reshape(-1)
            # The weights have the shape of the array, also in a shapeless graph.
            weights = mx.cumsum(mx.ones_like(flat))
            total = total + number * (weights * flat).sum()
        return total

    return loss


def custom(f):
    function = mx.custom_function(lambda x: listed(f(x)))

    @function.vjp
    def _(primals, cotangents, outputs):
        return mx.vjp(lambda x: listed(f(x)), [primals], listed(cotangents))[1][0]

    return function


def pulled_back(f):
    def g(x):
        ones = [mx.ones_like(out) for out in listed(f(x))]
        return mx.vjp(lambda x: listed(f(x)), [x], ones)[1]

    return g


TRANSFORMS = {
    "grad": lambda f: mx.grad(loss_of(f)),
    "value_and_grad": lambda f: mx.value_and_grad(loss_of(f)),
    "vjp": pulled_back,
    "jvp": lambda f: (
        lambda x: mx.jvp(lambda x: listed(f(x)), [x], [mx.ones_like(x)])[1]
    ),
    "vmap": mx.vmap,
    "compile": mx.compile,
    "shapeless": lambda f: mx.compile(f, shapeless=True),
    "checkpoint": mx.checkpoint,
    "custom_function": custom,
}


# ---- What the results must be ------------------------------------------------


def directional(f):
    """Returns the derivative of ``f`` along ones, by central differences."""

    def g(x):
        step = STEP
        pairs = zip(listed(f(x + step)), listed(f(x - step)), strict=True)
        return [(up - down) / (2 * step) for up, down in pairs]

    return g


def differences(f):
    """Returns the gradient of a scalar function by central differences."""

    def g(x):
        step = STEP
        flat = x.reshape(-1)
        slopes = []
        for i in range(flat.size):
            e = step * (mx.arange(flat.size) == i).astype(x.dtype)
            up, down = f((flat + e).reshape(x.shape)), f((flat - e).reshape(x.shape))
            slopes.append((up - down) / (2 * step))
        return mx.stack(slopes).reshape(x.shape)

    return g


def unrolled(f):
    def g(x):
        rows = [listed(f(row)) for row in x]
        return [mx.stack(outs) for outs in zip(*rows, strict=True)]

    return g


def sum_of(f):
    return lambda x: sum(out.sum() for out in listed(f(x)))


def unchanged(f):
    return f


EXPECTED = {
    "grad": lambda f: differences(loss_of(f)),
    "value_and_grad": lambda f: lambda x: [loss_of(f)(x), differences(loss_of(f))(x)],
    "vjp": lambda f: differences(sum_of(f)),
    "jvp": directional,
    "vmap": unrolled,
}


def expected(name):
    return EXPECTED.get(name, unchanged)


# ---- The table ---------------------------------------------------------------


def attempt(op, outer, inner):
    """Returns None if the combination works, or else MLX's message."""
    x = X
    for _ in range([outer, inner].count("vmap")):
        x = mx.stack([x, x[::-1] + 0.5])
    f = OPS[op]
    try:
        got = listed(TRANSFORMS[outer](TRANSFORMS[inner](f))(x))
        mx.eval(got)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    wanted = listed(expected(outer)(expected(inner)(f))(x))
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(
            np.array(g), np.array(w), rtol=1e-3, atol=2e-2, err_msg=f"{outer} {inner}"
        )
    return None


def results():
    """Returns for each op a dict from (outer, inner) to None or a message."""
    pairs = [(outer, inner) for outer in TRANSFORMS for inner in TRANSFORMS]
    return {op: {pair: attempt(op, *pair) for pair in pairs} for op in OPS}


INTRODUCTION = """\
# Every transform on every other

Written by `python tests/transform_table.py --write`. A test compares this page with
what it finds. Each row is the outer transform and each column the inner one: the cell
in row `vmap` and column `grad` is `mx.vmap(mx.grad(f))`. `shapeless` is
`mx.compile(f, shapeless=True)`.

The ops that return indices are used in a gather, as in `mx.take_along_axis(x,
mx.argsort(x), 0)`. `custom_function` has a rule for `vjp` and none for the other
transforms. The index gradient mode is `"stop"`. "works" means that the result was
computed on the CPU and equals what loops over rows and central differences give. A
number is the message of the error, from the list at the end. The tables have all
combinations.
"""


def page():
    found = results()
    messages = []
    groups = {}
    for op, cells in found.items():
        for message in cells.values():
            if message is not None and message not in messages:
                messages.append(message)
        groups.setdefault(tuple(cells.items()), []).append(op)
    parts = [INTRODUCTION]
    for cells, ops in groups.items():
        parts.append("## " + ", ".join(ops) + "\n\n" + table(dict(cells), messages))
    numbered = [f"{i}. `{text}`" for i, text in enumerate(messages, 1)]
    parts.append("## Messages\n\n" + "\n".join(numbered) + "\n")
    return "\n".join(parts)


def table(cells, messages):
    if all(message is None for message in cells.values()):
        return "Every transform on every other works.\n"
    lines = ["| outer \\ inner | " + " | ".join(f"`{t}`" for t in TRANSFORMS) + " |"]
    lines.append("|---" * (len(TRANSFORMS) + 1) + "|")
    for outer in TRANSFORMS:
        row = [f"`{outer}`"]
        for inner in TRANSFORMS:
            message = cells[outer, inner]
            works = message is None
            row.append("works" if works else str(messages.index(message) + 1))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page())
    else:
        print(page())
