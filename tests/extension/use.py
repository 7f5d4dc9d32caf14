"""Uses example_extension, and prints what came of it as JSON.

The argument says what is imported first: ``extension`` or ``mlx``.
"""

import importlib
import json
import pathlib
import re
import sys

FIRST = {"extension": "example_extension", "mlx": "mlx.core"}[sys.argv[1]]
importlib.import_module(FIRST)
assert len({"example_extension", "mlx.core"} & sys.modules.keys()) == 1

import example_extension as example  # noqa: E402
import mlx.core as mx  # noqa: E402

mx.set_default_device(mx.cpu)
X = mx.array([3.0, 1.0, 2.0])
TIES = mx.array([0.0, 0.0, 1.0, 0.0])


def cube(x):
    return example.scaled_cube(x, 2.0)


def outcome(function):
    """Returns a result as lists of numbers, or an error as text."""
    try:
        result = function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if isinstance(result, (list, tuple)):
        return [outcome(lambda a=a: a) for a in result]
    return result.tolist()


def gathered(order):
    return lambda x: mx.take_along_axis(cube(x), order(cube(x)), 0)[:2].sum()


def top_sum(topk):
    return lambda x: (topk(x, 3) ** 2).sum()


def in_mode(mode, function):
    with mx.index_gradient(mode):
        return function()


CALLS = {
    "call": lambda: cube(X),
    "strided": lambda: cube(mx.stack([X, X + 1]).T),
    "grad": lambda: mx.grad(lambda x: cube(x).sum())(X),
    "second grad": lambda: mx.grad(lambda x: mx.grad(lambda x: cube(x).sum())(x).sum())(
        X
    ),
    "jvp": lambda: mx.jvp(cube, [X], [mx.ones(3)]),
    "vjp": lambda: mx.vjp(cube, [X], [mx.ones(3)]),
    "vmap": lambda: mx.vmap(cube, 1, 1)(mx.stack([X, X + 1])),
    "compile": lambda: mx.compile(cube, shapeless=True)(X),
    "checkpoint": lambda: mx.grad(lambda x: mx.checkpoint(cube)(x).sum())(X),
    "selection of it": lambda: mx.sort(cube(X)),
    "stream": lambda: example.scaled_cube(X, 1.0, stream=mx.cpu),
    # Python calls the ops of mlx.core: stock's or those of the fork.
    "gather, from Python": lambda: mx.grad(gathered(mx.argsort))(X),
    "tied topk, from Python": lambda: mx.grad(top_sum(mx.topk))(TIES),
    # The extension calls the ops of libmlx, which are always stock's.
    "argsort, from C++": lambda: example.argsort(X),
    "gather, from C++": lambda: mx.grad(gathered(example.argsort))(X),
    "stopped gather, from C++": lambda: mx.grad(
        gathered(lambda x: mx.stop_gradient(example.argsort(x)))
    )(X),
    "tied topk, from C++": lambda: mx.grad(top_sum(example.topk))(TIES),
    "mode stop, from C++": lambda: in_mode(
        "stop", lambda: mx.grad(gathered(example.argsort))(X)
    ),
}

maps = pathlib.Path("/proc/self/maps").read_text()
found = {name: outcome(call) for name, call in CALLS.items()}
found["version"] = mx.__version__
found["loaded"] = sorted(set(re.findall(r"/\S*/libmlx\S*", maps)))
print(json.dumps(found))
