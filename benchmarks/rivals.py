"""The functions that are timed: this build, stock MLX, NumPy, torch and JAX."""

import contextlib

import mlx.core as mx
import numpy as np
from mlx import _overlay

from workloads import DATA

stock = _overlay.stock


def module(name):
    """Imports a module that may be missing: then the result is None."""
    with contextlib.suppress(ImportError):
        return __import__(name)


torch = module("torch")
jax = module("jax")


def set_threads(count):
    mx.set_selection_threads(count)
    if torch:
        torch.set_num_threads(count)


def arrays(case):
    """Returns the same elements for NumPy, MLX and torch (None without torch).

    NumPy has no bfloat16, so its array holds the bits as uint16.
    """
    rng = np.random.default_rng(0)
    values = np.ascontiguousarray(DATA[case.data](rng, (case.rows, case.n)))
    if np.dtype(getattr(np, case.dtype, np.float32)).kind in "iu":
        if case.data == "uniform":
            values = values * np.iinfo(case.dtype).max
        else:
            values = np.clip(values * 40, -128, 127)
    if case.dtype == "bfloat16":
        a = mx.array(values.astype(np.float32)).astype(mx.bfloat16)
        x = np.array(a.view(mx.uint16))
    else:
        x = values.astype(case.dtype)
        a = mx.array(x, getattr(mx, case.dtype))
    mx.eval(a)
    t = None
    if torch:
        t = torch.from_numpy(x)
        t = t.view(torch.bfloat16) if case.dtype == "bfloat16" else t
    return x, a, t


def idiom(a, k):
    """Returns the values and indices of the k largest as stock MLX does, unsorted."""
    chosen = stock.argpartition(-a, k - 1, axis=-1)[..., :k]
    return mx.take_along_axis(a, chosen, axis=-1), chosen


def numpy_topk(x, k):
    chosen = np.argpartition(x, x.shape[-1] - k, axis=-1)[..., -k:]
    return np.take_along_axis(x, chosen, -1), chosen


def evaluated_together(function):
    """Wraps an MLX function: builds the graph of ``count`` calls, then evaluates it."""
    return lambda count: mx.eval([function() for _ in range(count)])


def one_after_another(function):
    """Wraps a function of a library that is not lazy: calls it ``count`` times."""

    def calls(count):
        for _ in range(count):
            function()

    return calls


def mlx_functions(case, a):
    """Maps names to functions of this build ("ours") and of stock MLX."""
    k = case.k
    return {
        "topk": {
            "ours": lambda: mx.topk(a, k, sorted=True, return_indices=True),
            "ours, unsorted": lambda: mx.topk(a, k, return_indices=True),
            "ours, values": lambda: mx.topk(a, k),
            "stock idiom": lambda: idiom(a, k),
            "stock topk, values": lambda: stock.topk(a, k),
            "stock argmax": lambda: stock.argmax(a, axis=-1),
        },
        "argpartition": {
            "ours": lambda: mx.argpartition(-a, k - 1)[..., :k],
            "stock": lambda: stock.argpartition(-a, k - 1)[..., :k],
        },
        "sort": {
            "ours": lambda: mx.sort(a, axis=-1),
            "stock": lambda: stock.sort(a, axis=-1),
        },
        "argsort": {
            "ours": lambda: mx.argsort(a, axis=-1),
            "stock": lambda: stock.argsort(a, axis=-1),
        },
        "argmax": {
            "ours": lambda: mx.argmax(a, axis=-1),
            "stock": lambda: stock.argmax(a, axis=-1),
        },
    }[case.op]


def numpy_function(case, x):
    return {
        "topk": lambda: numpy_topk(x, case.k),
        "argpartition": lambda: np.argpartition(-x, case.k - 1)[..., : case.k],
        "sort": lambda: np.sort(x, axis=-1),
        "argsort": lambda: np.argsort(x, axis=-1),
        "argmax": lambda: x.argmax(-1),
    }[case.op]


def torch_function(case, t):
    return {
        "topk": lambda: torch.topk(t, case.k),
        "argpartition": lambda: torch.topk(-t, case.k, sorted=False).indices,
        "sort": lambda: torch.sort(t, dim=-1),
        "argsort": lambda: torch.argsort(t, dim=-1),
        "argmax": lambda: torch.argmax(t, dim=-1),
    }[case.op]


def rivals(case):
    """Maps each name to a function that takes ``count`` and makes ``count`` calls.

    "ours" comes first. The arrays are made here, before the clock runs.
    """
    x, a, t = arrays(case)
    # NumPy takes the maximum of float16 slowly, and that of uint16 with one
    # instruction for a whole vector.
    memory = x.view(np.uint16) if x.dtype == np.float16 else x
    eager = {"max pass": lambda: memory.max()}
    if case.dtype != "bfloat16":
        eager["numpy"] = numpy_function(case, x)
    if t is not None:
        eager["torch"] = torch_function(case, t)
    if jax and case.op == "topk" and case.dtype not in ("bfloat16", "float64"):
        j = jax.device_put(x)
        top_k = jax.jit(lambda j: jax.lax.top_k(j, case.k))
        eager["jax"] = lambda: jax.block_until_ready(top_k(j))
    mlx = mlx_functions(case, a)
    return {
        **{name: evaluated_together(function) for name, function in mlx.items()},
        **{name: one_after_another(function) for name, function in eager.items()},
    }


def verify(case):
    """Compares this build's results with a stable sort of NumPy's, for four rows."""
    x, a, _ = arrays(case)
    x = np.array(a.astype(mx.float32)) if case.dtype == "bfloat16" else x
    x, a = x[:4], a[:4]
    ascending = np.argsort(x, -1, kind="stable")
    if case.op == "topk":
        indices = np.array(mx.topk(a, case.k, sorted=True, return_indices=True)[1])
        # The expected order: NaN first, then the largest first, and equal elements by
        # ascending index. It is the reverse of a stable ascending sort of the
        # reversed row.
        backwards = np.argsort(x[..., ::-1], -1, kind="stable")[..., ::-1]
        wanted = (case.n - 1 - backwards)[..., : case.k]
        np.testing.assert_array_equal(indices, wanted)
    elif case.op == "argpartition":
        got = np.sort(np.array(mx.argpartition(-a, case.k - 1)[..., : case.k]))
        wanted = np.sort(np.argsort(-x, -1, kind="stable")[..., : case.k])
        np.testing.assert_array_equal(got, wanted)
    elif case.op == "sort":
        np.testing.assert_array_equal(np.array(mx.sort(a)), np.sort(x))
    elif case.op == "argsort":
        np.testing.assert_array_equal(np.array(mx.argsort(a)), ascending)
    else:
        np.testing.assert_array_equal(np.array(mx.argmax(a, -1)), x.argmax(-1))
