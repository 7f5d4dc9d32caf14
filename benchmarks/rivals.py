"""Who is measured: a function of no arguments for each, made before the clock runs."""

import contextlib

import mlx.core as mx
import numpy as np
from mlx import _overlay

from cases import DATA

stock = _overlay.stock


def module(name):
    with contextlib.suppress(ImportError):
        return __import__(name)


torch = module("torch")
jax = module("jax")


def set_threads(count):
    mx.set_selection_threads(count)
    if torch:
        torch.set_num_threads(count)


def arrays(case):
    """The same elements for NumPy, MLX and torch; bfloat16 is uint16 for NumPy."""
    rng = np.random.default_rng(0)
    values = np.ascontiguousarray(DATA[case.data](rng, (case.rows, case.n)))
    if np.dtype(getattr(np, case.dtype, np.float32)).kind in "iu":
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
    """How stock MLX gets values and indices, in no order."""
    chosen = stock.argpartition(-a, k - 1, axis=-1)[..., :k]
    return mx.take_along_axis(a, chosen, axis=-1), chosen


def numpy_topk(x, k):
    chosen = np.argpartition(x, x.shape[-1] - k, axis=-1)[..., -k:]
    return np.take_along_axis(x, chosen, -1), chosen


def lazily(function):
    """MLX: the graph of ``count`` calls, evaluated at once."""
    return lambda count: mx.eval([function() for _ in range(count)])


def at_once(function):
    def calls(count):
        for _ in range(count):
            function()

    return calls


def rivals(case):
    """Name to a function that calls a rival so many times; ours is the first."""
    x, a, t = arrays(case)
    k = case.k
    mlx = {
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
    # NumPy has no instruction for the greatest of halves, but one for integers.
    memory = x.view(np.uint16) if x.dtype == np.float16 else x
    eager = {"max pass": lambda: memory.max()}
    if case.dtype != "bfloat16":
        eager["numpy"] = {
            "topk": lambda: numpy_topk(x, k),
            "argpartition": lambda: np.argpartition(-x, k - 1)[..., :k],
            "sort": lambda: np.sort(x, axis=-1),
            "argsort": lambda: np.argsort(x, axis=-1),
            "argmax": lambda: x.argmax(-1),
        }[case.op]
    if t is not None:
        eager["torch"] = {
            "topk": lambda: torch.topk(t, k),
            "argpartition": lambda: torch.topk(-t, k, sorted=False).indices,
            "sort": lambda: torch.sort(t, dim=-1),
            "argsort": lambda: torch.argsort(t, dim=-1),
            "argmax": lambda: torch.argmax(t, dim=-1),
        }[case.op]
    if jax and case.op == "topk" and case.dtype != "float64":
        j = jax.device_put(np.array(a.astype(mx.float32)) if t is None else x)
        top_k = jax.jit(lambda j: jax.lax.top_k(j, k))
        if case.dtype != "bfloat16":
            eager["jax"] = lambda: jax.block_until_ready(top_k(j))
    named = {name: lazily(function) for name, function in mlx.items()}
    named |= {name: at_once(function) for name, function in eager.items()}
    return named


def verify(case):
    """Our results are what a stable sort of NumPy's says, outside of the clock."""
    x, a, _ = arrays(case)
    x = np.array(a.astype(mx.float32)) if case.dtype == "bfloat16" else x
    x, a = x[:4], a[:4]
    ascending = np.argsort(x, -1, kind="stable")
    if case.op == "topk":
        indices = np.array(mx.topk(a, case.k, sorted=True, return_indices=True)[1])
        # NumPy puts NaN last, and so first among the largest: the order agrees.
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
