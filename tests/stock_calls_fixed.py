"""Calls that are not drawn: errors, empty arrays, spellings, what the module has."""

import mlx.core as mx
import numpy as np
from stock_calls import Call

# The names that the expressions use.
NAMES = {
    "mx": mx,
    "np": np,
    "A": mx.zeros((4, 8)),
    "V": mx.array([3.0, 1.0, 2.0]),
    "SCALAR": mx.array(1.0),
    "NO_ROWS": mx.zeros((0, 4)),
    "EMPTY_ROWS": mx.zeros((4, 0)),
    "EMPTY": mx.zeros((0,)),
    "identity": lambda x: x,
    "total": lambda x: x.sum(),
}

# The op and the expression.
EXPRESSIONS = """
topk: mx.topk(A, 9)
topk: mx.topk(A, -1)
topk: mx.topk(A, True)
topk: mx.topk(A, False)
topk: mx.topk(A, 1.0)
topk: mx.topk(A, "2")
topk: mx.topk(A, None)
topk: mx.topk(A, 2**31)
topk: mx.topk(A, np.int64(2))
topk: mx.topk(A, np.uint8(2), np.int32(0))
topk: mx.topk(A, 1, 5)
topk: mx.topk(A, 1, -3)
topk: mx.topk(A, 1, "0")
topk: mx.topk(A, 1, 0.0)
topk: mx.topk(EMPTY_ROWS, 0)
topk: mx.topk(EMPTY_ROWS, 1)
topk: mx.topk(NO_ROWS, 2)
topk: mx.topk(NO_ROWS, 1, 0)
topk: mx.topk(SCALAR, 1)
topk: mx.topk(SCALAR, 1, None)
topk: mx.topk(a=A, k=2)
topk: mx.topk(A)
topk: mx.topk(A, 1, -1, mx.cpu)
topk: mx.topk([1, 2, 3], 1)
topk: mx.topk(np.zeros(3), 1)
topk: mx.topk(A, 1, stream="cpu")
topk: mx.topk(A, 1, largest=False)
topk: mx.topk(V, 3, sorted=True)
topk: mx.topk(V, 1, return_indices=True)
top_k: mx.top_k(A, 2)
lexsort: mx.lexsort([V, V])
sort: mx.sort(V, descending=True)
sort: mx.sort(V, 0, stable=False)
sort: mx.sort(V, descending=1)
argsort: mx.argsort(V, descending=True, stable=True)
partition: mx.partition(V, 0, descending=True)
partition: mx.partition(V, kth=[0, 2])
argpartition: mx.argpartition(V, kth=[0, -1])
argpartition: mx.argpartition(V, 1, descending=True)
argpartition: mx.argpartition(V, mx.array(1))
searchsorted: mx.searchsorted(A, A, axis=1)
searchsorted: mx.searchsorted(V, V, sorter=mx.array([1, 2, 0]))
argpartition: mx.argpartition(A, 8)
argpartition: mx.argpartition(A, -9)
argpartition: mx.argpartition(A, 1, 5)
argpartition: mx.argpartition(A, True)
argpartition: mx.argpartition(A, 1.0)
argpartition: mx.argpartition(A, 2**31)
argpartition: mx.argpartition(EMPTY_ROWS, 0)
argpartition: mx.argpartition(SCALAR, 0)
argpartition: mx.argpartition(SCALAR, 0, None)
argpartition: mx.argpartition(A)
partition: mx.partition(A, 8)
partition: mx.partition(A, -9)
partition: mx.partition(A, 1, -3)
partition: mx.partition(A, 1.0)
partition: mx.partition(EMPTY_ROWS, 0)
partition: mx.partition(NO_ROWS, 1)
partition: mx.partition(SCALAR, 0)
sort: mx.sort(SCALAR)
sort: mx.sort(SCALAR, None)
sort: mx.sort(A, 2)
sort: mx.sort(A, axis=-3)
sort: mx.sort([1, 2])
argsort: mx.argsort(SCALAR)
argsort: mx.argsort(SCALAR, axis=None)
argsort: mx.argsort(A, 5)
argsort: mx.argsort(EMPTY_ROWS)
argsort: mx.argsort(a=A)
argmax: mx.argmax(EMPTY_ROWS, -1)
argmax: mx.argmax(NO_ROWS, 0)
argmax: mx.argmax(NO_ROWS, -1)
argmax: mx.argmax(EMPTY)
argmax: mx.argmax(SCALAR)
argmax: mx.argmax(SCALAR, 0)
argmax: mx.argmax(SCALAR, keepdims=True)
argmax: mx.argmax(A, 5)
argmax: mx.argmax(A, 1, True)
argmax: mx.argmax(A, keepdims=1)
argmax: mx.argmax([1, 2])
argmin: mx.argmin(EMPTY_ROWS, -1)
argmin: mx.argmin(NO_ROWS, -1)
argmin: mx.argmin(EMPTY)
argmin: mx.argmin(A, -3)
array.argmax: A.argmax(a=1)
array.argmax: A.argmax(7)
array.argmax: NO_ROWS.argmax(-1)
array.argmin: A.argmin(1, True, mx.cpu)
array.argmin: EMPTY.argmin()
median: mx.median(EMPTY_ROWS, -1)
median: mx.median(NO_ROWS, -1)
median: mx.median(NO_ROWS)
median: mx.median(EMPTY)
median: mx.median(SCALAR)
median: mx.median(SCALAR, 0)
median: mx.median(SCALAR, keepdims=True)
median: mx.median(A, 5)
median: mx.median(A, (0, -2))
median: mx.median(A, ())
median: mx.median(A, [1, 0], True)
median: mx.median(A, 1.0)
median: mx.median(a=A)
median: mx.median(V[::-1], stream=mx.cpu)
searchsorted: mx.searchsorted(A, A)
searchsorted: mx.searchsorted(V, 2)
searchsorted: mx.searchsorted(V, V, side="middle")
searchsorted: mx.searchsorted(V, V, "right")
searchsorted: mx.searchsorted(EMPTY, V)
searchsorted: mx.searchsorted(mx.array([1, 2]), mx.array([1.5, np.nan]))
searchsorted: mx.searchsorted(mx.array([1, 2], mx.uint8), mx.array([-1, 300]))
random.categorical: mx.random.categorical(EMPTY_ROWS)
random.categorical: mx.random.categorical(NO_ROWS)
random.categorical: mx.random.categorical(SCALAR)
random.categorical: mx.random.categorical(A, 5)
random.categorical: mx.random.categorical(A, shape=(2, 3))
random.categorical: mx.random.categorical(A, shape=(2, 4), num_samples=2)
random.categorical: mx.random.categorical(A, num_samples=1.5)
random.categorical: mx.random.categorical(V, key=mx.random.key(0), stream=mx.cpu)
random.categorical: (mx.random.seed(3), mx.random.categorical(A), mx.random.uniform())
grad: mx.grad(3)
grad: mx.grad(identity)(A)
grad: mx.grad(identity)
grad: mx.grad(total)()
grad: mx.grad(total)(1.0)
grad: mx.grad(total, argnums=2)(A)
grad: mx.grad(total, argnums=-1)
grad: mx.grad(total, argnames="y")(A)
grad: mx.grad(lambda x, y: (x * y).sum(), argnames="y")(A, y=A + 1)
grad: mx.grad(lambda x, y: (x * y).sum(), [0, 1])(V, V + 1)
grad: mx.grad(lambda x: x["a"].sum())({"a": V})
grad: mx.grad(lambda x: 1 / 0)(V)
value_and_grad: mx.value_and_grad(total, argnums=2)(A)
value_and_grad: mx.value_and_grad(total, argnums=-1)
value_and_grad: mx.value_and_grad(lambda x: (x.sum(), x * 2))(V)
value_and_grad: mx.value_and_grad("f")
vjp: mx.vjp(identity, [V], [V, V])
vjp: mx.vjp(identity, [V], [])
vjp: mx.vjp(identity, V, V)
vjp: mx.vjp(identity, [V], [mx.zeros(2)])
vjp: mx.vjp(lambda x: [mx.argsort(x)], [V], [mx.zeros(3, mx.uint32)])
vjp: mx.vjp(lambda x: [mx.argmax(x)], [V], [mx.array(0, mx.uint32)])
jvp: mx.jvp(identity, [V], [])
jvp: mx.jvp(identity, [V], [mx.zeros(2)])
jvp: mx.jvp(identity, [V])
jvp: mx.jvp(mx.argsort, [V], [V])
jvp: mx.jvp(mx.argmax, [V], [V])
jvp: mx.jvp(lambda x: mx.argpartition(x, 1), [V], [V])
jvp: mx.jvp(lambda x: mx.searchsorted(x, x), [V], [V])
vmap: mx.vmap(3)
vmap: mx.vmap(identity)(3)
vmap: mx.vmap(identity, in_axes=(0, 0))(A)
vmap: mx.vmap(identity, in_axes=5)(A)
vmap: mx.vmap(identity, out_axes=3)(A)
vmap: mx.vmap(lambda x, y: x + y, (0, None))(A, mx.ones(8))
checkpoint: mx.checkpoint(3)
checkpoint: mx.checkpoint(total)(A)
checkpoint: mx.checkpoint(total)(3)
checkpoint: mx.checkpoint(identity)({"a": [A, (V,)]})
custom_function: mx.custom_function(3)
custom_function: mx.custom_function(total)(A)
custom_function: mx.custom_function(total, 3)
module: mx.__version__
module: mx.__name__
module: [type(f).__name__ for f in (mx.grad, mx.vmap, mx.checkpoint)]
module: type(mx.custom_function).__name__
module: [type(f).__name__ for f in (mx.topk, mx.sort, mx.argmax, mx.searchsorted)]
module: sorted(n for n in dir(mx) if not n.startswith("_"))
module: sorted(n for n in dir(mx.array) if not n.startswith("_"))
module: sorted(n for n in dir(mx.random) if not n.startswith("_"))
module: [f.__name__ for f in (mx.topk, mx.grad, mx.vmap, mx.checkpoint, mx.vjp)]
module: [f.__module__ for f in (mx.topk, mx.grad, mx.vmap, mx.random.categorical)]
"""

DOCUMENTED = [
    *("topk", "sort", "argsort", "partition", "argpartition", "argmax", "argmin"),
    *("searchsorted", "grad", "value_and_grad", "vjp", "jvp", "vmap", "checkpoint"),
    *("custom_function", "export_function", "exporter", "random.categorical"),
    *("array.argmax", "array.argmin"),
]


def first_line(expression):
    return Call(
        f"first line of {expression}'s docstring",
        "docstring",
        lambda: (eval(expression, dict(NAMES)).__doc__ or "").split("\n")[0],
    )


def fixed_calls():
    found = []
    for line in EXPRESSIONS.strip().splitlines():
        op, _, expression = line.partition(": ")
        found.append(Call(expression, op, lambda e=expression: eval(e, dict(NAMES))))
    return found + [first_line(f"mx.{name}") for name in DOCUMENTED]
