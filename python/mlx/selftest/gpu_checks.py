# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Checks every selection kernel of a GPU against the CPU, bit by bit."""

import contextlib
import dataclasses
import time
import traceback

import mlx.core as mx
from mlx import _selection
from mlx.selftest.route_checks import check_route, route_gradient
from mlx.selftest.use_checks import check_use

# Sizes of rows. They lie just below and just above the sizes at which the plan changes
# to another kernel, and at which a loop of a kernel runs once more.
SIZES = [1, 2, 31, 33, 160, 256, 1000, 1024, 1025, 2049, 8192, 8193, 50000]
KERNELS = ("in_registers", "bound", "bound_split", "resident", "split")
DTYPES = ["bool_", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32"]
DTYPES += ["int64", "float16", "bfloat16", "float32"]
FLOATS = ("float16", "bfloat16", "float32")
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1.5, float("inf"), -float("inf"), float("nan")]
# The kernels that promise the k-th best first and the best last if unsorted, with the
# longest row and the greatest k for which they are used.
ORDERED = {
    "in_registers": (1024, 32),
    "bound": (8192, 512),
    "bound_split": (SIZES[-1], 512),
}


def force_kernel(kernel):
    _selection.set_gpu_tuning(f"only={kernel}" if kernel else "")


@dataclasses.dataclass
class Device:
    """The device under test. Ops on ``stream`` run in the context ``active()``."""

    stream: object
    active: object = contextlib.nullcontext
    # Called with the name of a kernel, which is then used wherever it can be. Called
    # with None, lets the plan choose kernels as usual.
    force: object = force_kernel
    # Returns how many kernels were launched, and which cannot be used and why.
    report: object = _selection.metal_kernel_report
    # Routes as mlx.nn.routing.route does on the device.
    route: object = _selection.route
    # Returns the gradient of the logits, for cotangents of the weights and scores.
    route_gradient: object = route_gradient
    # Returns another stream of the device, for a thread of its own.
    new_stream: object = lambda: mx.new_stream(mx.gpu)


# ---- what is checked -------------------------------------------------------------


def array_of(dtype, rows, n, kind, layout):
    key = mx.random.key(n + rows)
    with mx.stream(mx.cpu):
        if kind == "ties" and dtype in FLOATS:
            chosen = mx.random.randint(0, len(SPECIAL), (rows, n), key=key)
            a = mx.array(SPECIAL)[chosen]
        elif kind == "ties" or dtype == "bool_":
            a = mx.random.randint(0, 2, (rows, n), key=key)
        elif dtype in FLOATS:
            a = mx.random.normal((rows, n), key=key)
        else:
            # Draws two words, so that all 64 bits of the widest types vary.
            words = mx.random.randint(-(2**31), 2**31 - 1, (2, rows, n), key=key)
            high, low = words.view(mx.uint32).astype(mx.uint64)
            a = (high << 32) | low
        a = a.astype(getattr(mx, dtype))
        if layout == "transposed":
            a = mx.contiguous(a.T).T
        elif layout == "reversed":
            a = a[:, ::-1]
        mx.eval(a)
    return a


def same(found, expected):
    """Returns whether all pairs of arrays are equal, bit by bit."""
    with mx.stream(mx.cpu):
        pairs = zip(found, expected, strict=True)
        return all(mx.array_equal(bits(a), bits(b)).item() for a, b in pairs)


def bits(a):
    sizes = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32, 8: mx.uint64}
    return a if a.dtype == mx.bool_ else mx.contiguous(a).view(sizes[a.dtype.size])


def check_topk(device, a, k, largest):
    def select(stream):
        found = mx.topk(
            a, k, largest=largest, sorted=True, return_indices=True, stream=stream
        )
        mx.eval(found)
        return found

    expected = select(mx.cpu)
    with device.active():
        found = select(device.stream)
    return same(found, expected)


def check_unsorted(device, a, k, ordered):
    """Checks the set that an unsorted topk returns.

    If ``ordered``, also checks that the k-th best is first and the best is last.
    """
    with device.active():
        values, indices = mx.topk(a, k, return_indices=True, stream=device.stream)
        mx.eval(values, indices)
    with mx.stream(mx.cpu):
        # With such an index take_along_axis would read memory outside the array.
        if mx.max(indices).item() >= a.shape[-1]:
            return False
        best = mx.topk(a, k, sorted=True, return_indices=True).indices
        pairs = [(mx.sort(indices), mx.sort(best))]
        pairs.append((values, mx.take_along_axis(a, indices, -1)))
        if ordered:
            pairs.append((indices[:, :1], best[:, -1:]))
            pairs.append((indices[:, -1:], best[:, :1]))
        mx.eval(pairs)
    return same(*zip(*pairs, strict=True))


def check_partition(device, a, kth):
    with device.active():
        indices = mx.argpartition(a, kth, stream=device.stream)
        values = mx.partition(a, kth, stream=device.stream)
        mx.eval(indices, values)
    with mx.stream(mx.cpu):
        # With such an index take_along_axis would read memory outside the array.
        if indices.size and mx.max(indices).item() >= a.shape[-1]:
            return False
        order = mx.argsort(a)
        parts = [slice(0, kth), slice(kth, kth + 1), slice(kth + 1, None)]
        pairs = [
            (mx.sort(indices[:, part]), mx.sort(order[:, part]))
            for part in parts
            if order[:, part].size
        ]
        pairs.append((values, mx.take_along_axis(a, indices, -1)))
        mx.eval(pairs)
    return same(*zip(*pairs, strict=True))


def cases(dtype, kernel):
    """Yields a description, an array and a ``k`` for each check."""
    for n in SIZES:
        rows = 5 if n <= 1025 else 2
        for kind in ("ties", "spread"):
            for layout in ("contiguous", "transposed", "reversed"):
                if layout != "contiguous" and n not in (33, 1025, 8193):
                    continue
                a = array_of(dtype, rows, n, kind, layout)
                wanted = {1, min(n, 8), min(n, 32), min(n, 64), min(n, 600)}
                if kernel == "in_registers":
                    wanted = {k for k in wanted if k <= 32 and n <= 1024}
                for k in sorted(wanted):
                    yield f"n={n} k={k} {kind} {layout}", a, k


def check_kernel(device, kernel, dtype, failures):
    """Runs all checks of a kernel and returns their number. Appends to ``failures``."""
    made = 0
    device.force(kernel)
    longest, greatest_k = ORDERED.get(kernel, (0, 0))
    for name, a, k in cases(dtype, kernel):
        n = a.shape[1]
        # Another kernel is used for k = n. bound_split is used only if the row has at
        # least two segments, of k elements or more each.
        ordered = k < n <= longest and k <= greatest_k
        if kernel == "bound_split":
            ordered = ordered and 2 * k <= n
        checks = {
            "topk largest": lambda a=a, k=k: check_topk(device, a, k, True),
            "topk smallest": lambda a=a, k=k: check_topk(device, a, k, False),
            "topk unsorted": lambda a=a, k=k, ordered=ordered: check_unsorted(
                device, a, k, ordered
            ),
            "partition": lambda a=a, k=k: check_partition(device, a, k - 1),
            "partition from right": lambda a=a, k=k, n=n: check_partition(
                device, a, n - k
            ),
        }
        for what, check in checks.items():
            made += 1
            try:
                wrong = None if check() else "a wrong result"
            except Exception:
                wrong = traceback.format_exc()
            if wrong:
                failures.append(f"{kernel} {dtype} {what} {name}: {wrong}")
    device.force(None)
    return made


def check_groups(device, dtypes, end, failures):
    """Runs all checks of each kernel and type, and prints a line for each group.

    Starts no group after the time ``end``. Each kernel is checked with the first type
    before any is checked with the second. Returns how many checks were made, and the
    groups that were not run.
    """
    total = 0
    left_out = []
    for dtype in dtypes:
        for kernel in (*KERNELS, "route"):
            if kernel == "route" and dtype not in FLOATS:
                continue
            if time.monotonic() > end:
                left_out.append(f"{kernel} {dtype}")
                continue
            before = len(failures)
            launches, _ = device.report()
            if kernel == "route":
                made = check_route(device, dtype, failures)
            else:
                made = check_kernel(device, kernel, dtype, failures)
            launched = device.report()[0] - launches
            failed = len(failures) - before
            if launched == 0:
                failures.append(f"{kernel} {dtype}: no kernel was launched")
            total += made
            word = "ok" if len(failures) == before else "WRONG"
            print(
                f"{kernel:12} {dtype:9} {word:5} {made} checks, {failed} failed, "
                f"{launched} launches",
                flush=True,
            )
    return total, left_out


def run(device, dtypes=DTYPES, seconds=float("inf")):
    """Checks a GPU. Returns how many checks were made, failures, what was left out."""
    end = time.monotonic() + seconds
    failures = []
    started, _ = device.report()
    total, left_out = check_groups(device, dtypes, end, failures)
    if failures:
        # These gather with a kernel's indices, which may be out of range.
        left_out.append("transforms, chains and threads, since a kernel is wrong")
    else:
        total += check_use(device, failures)
    launches, broken = device.report()
    for name, reason in broken:
        failures.append(f"{name} cannot be used: {reason}")
    print(f"gpu: {launches - started} launches of kernels")
    return total, failures, left_out
