"""Transforms, and transforms of transforms, of functions that select.

The inputs are small whole numbers, so that sums are exact in any order.
"""

import functools

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from stock_calls import Call

K = 3

# Functions that give the same number in whatever order a selection returns elements.
VALUES = {
    "topk": lambda x: (mx.topk(x, K) ** 2).sum(),
    "sort": lambda x: (mx.sort(x) * mx.arange(x.size)).sum(),
    "partition": lambda x: (mx.partition(x, K)[: K + 1] ** 2).sum(),
}


def stopped_argsort(x):
    return mx.stop_gradient(mx.argsort(x))


# Functions that return indices. They are used in sums, in which their order does not
# matter.
INDICES = {
    "argsort": lambda x: mx.argsort(x)[:K],
    "argpartition": lambda x: mx.argpartition(x, K)[:K],
    "argmax": lambda x: mx.argmax(x, keepdims=True),
    "argmin": lambda x: x.argmin(keepdims=True),
    "searchsorted": lambda x: mx.searchsorted(mx.arange(8.0), x)[:K] % 8,
    "random.categorical": lambda x: mx.random.categorical(
        x, num_samples=K, key=mx.random.key(4)
    ),
    "checkpoint": lambda x: mx.checkpoint(stopped_argsort)(x)[:K],
    "custom_function": lambda x: custom(stopped_argsort)(x)[:K],
}

# The indices of the elements that each function in VALUES, and argpartition, must
# choose, found by a stable sort. Among equal elements, stock may choose others.
REFERENCES = {
    "topk": lambda x: mx.argsort(-x)[:K],
    "partition": lambda x: mx.argsort(x)[: K + 1],
    "argpartition": lambda x: mx.argsort(x)[:K],
}


def gathered(indices, stopped):
    def gather(x):
        chosen = indices(x)
        chosen = mx.stop_gradient(chosen) if stopped else chosen
        return (mx.take(x, chosen) ** 2).sum()

    return gather


def middle(x):
    """Returns the square of the median of 8 elements, found by a stable sort."""
    chosen = stopped_argsort(x)[3:5]
    return mx.take(x, chosen).mean() ** 2


def custom(f):
    function = mx.custom_function(f)
    function.vjp(lambda primals, cotangents, outputs: primals * 2)
    return function


def last_of(f):
    """Returns ``f`` plus a sum, so that the gradient has a part not from ``f``."""
    return lambda x: f(x) + x.sum()


# Each takes the function and a vector.
TRANSFORMS = {
    "call": lambda f, x: f(x),
    "grad": lambda f, x: mx.grad(f)(x),
    "value_and_grad": lambda f, x: mx.value_and_grad(f)(x),
    "vjp": lambda f, x: mx.vjp(f, [x], [mx.array(3.0)]),
    "jvp": lambda f, x: mx.jvp(f, [x], [mx.arange(x.size) + 1.0]),
    "vmap": lambda f, x: mx.vmap(f)(mx.stack([x, -x, x[::-1]])),
    "vmap of grad": lambda f, x: mx.vmap(mx.grad(f))(mx.stack([x, -x, x[::-1]])),
    "grad of vmap": lambda f, x: mx.grad(lambda y: mx.vmap(f)(y).sum())(
        mx.stack([x, -x], axis=0)
    ),
    "grad of grad": lambda f, x: mx.grad(lambda y: (mx.grad(f)(y) ** 2).sum())(x),
    "compile": lambda f, x: mx.compile(f)(x),
    "shapeless compile": lambda f, x: mx.compile(f, shapeless=True)(x),
    "grad of compile": lambda f, x: mx.grad(mx.compile(f))(x),
    "compile of grad": lambda f, x: mx.compile(mx.grad(f))(x),
    "checkpoint": lambda f, x: mx.checkpoint(f)(x),
    "grad of checkpoint": lambda f, x: mx.grad(mx.checkpoint(last_of(f)))(x),
    "custom_function": lambda f, x: custom(f)(x),
    "grad of custom_function": lambda f, x: mx.grad(lambda x: custom(f)(x * 2))(x),
    "stream": lambda f, x: _on_a_stream(f, x),
}


def _on_a_stream(f, x):
    with mx.stream(mx.new_stream(mx.cpu)):
        return f(x)


def functions():
    """Yields for each function its op, its name, and the name of its twin.

    The twins gather by stopped indices of a stable sort, or of the same op.
    """
    for op, f in VALUES.items():
        twin = f"reference of {op}" if op in REFERENCES else None
        yield op, op, twin, f
    yield "median", "median", "reference of median", lambda x: mx.median(x) ** 2
    yield "argsort", "reference of median", None, middle
    for op, indices in REFERENCES.items():
        yield "argsort", f"reference of {op}", None, gathered(indices, True)
    for op, indices in INDICES.items():
        twin = "reference of argpartition" if op == "argpartition" else f"stopped {op}"
        yield op, f"gather of {op}", twin, gathered(indices, False)
        yield op, f"stopped {op}", twin, gathered(indices, True)


def layers():
    """Yields calls of MLX's own layers and losses that use the replaced ops."""
    x = mx.array(np.random.default_rng(1).integers(-9, 9, (4, 12)), mx.float32)
    targets = mx.array([1, 0, 3, 2])

    def loss(x):
        return nn.losses.cross_entropy(x, targets).sum()

    for name, call in {
        "cross_entropy": lambda: mx.value_and_grad(loss)(x),
        "median": lambda: mx.median(x, axis=1),
        "median of a vmap": lambda: mx.vmap(mx.median)(x),
        "grad of median": lambda: mx.grad(lambda x: mx.median(x, axis=1).sum())(x),
        "Upsample": lambda: nn.Upsample(2.0)(x[None, :, :, None]),
        "MaxPool1d": lambda: mx.grad(lambda x: nn.MaxPool1d(2)(x[..., None]).sum())(x),
    }.items():
        yield Call(f"nn {name}", "nn", call)


def transformed_calls(seed):
    rng = np.random.default_rng(seed)
    vectors = {
        "distinct": mx.array(rng.permutation(8) - 3, mx.float32),
        "ties": mx.array([0.0, 0, 1, 0, 2, 1, 1, 0]),
    }
    found = []
    for op, function, twin, f in functions():
        for transform, apply in TRANSFORMS.items():
            for vector, x in vectors.items():
                name = f"{transform} of {function}, {vector}"
                of_twin = f"{transform} of {twin}, {vector}"
                if transform == "shapeless compile":
                    of_twin = f"call of {twin}, {vector}"
                make = functools.partial(apply, f, x)
                found.append(Call(name, op, make, twin=of_twin if twin else None))
    return found + list(layers())
