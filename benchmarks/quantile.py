"""Compares kthvalue, quantile and median with topk of the same k, and with stock MLX.

    python benchmarks/quantile.py [--threads 1]

A quantile between two elements is compared with topk of k + 1, since it needs both of
them. The functions of a row are timed in turn, so that whatever else the machine does
slows all of them. Each time is the fastest of several, and contains the evaluation. The
goal is that none takes more than 1.5 times as long as topk.
"""

import argparse
import math
import time

import mlx.core as mx
from mlx import _overlay

from machine import describe

SHAPES = [(1, 1_000_000), (256, 8192), (8192, 160)]
ROUNDS = 12
GOAL = 1.5
# What each function is compared with.
COMPARED_WITH = {
    "kthvalue": "topk, smallest",
    "kthvalue, largest": "topk",
    "quantile": "topk of k + 1, smallest",
    "quantile of 1 - q": "topk of k + 1",
    "median": "topk of k + 1, smallest",
    "stock median": "topk of k + 1, smallest",
}


def functions(a, k):
    """Maps names to functions that find the same place of each row."""
    n = a.shape[-1]
    # Between the place of the k-th element and the next one.
    q = min((k - 0.5) / (n - 1), 1)
    found = {
        "topk": lambda: mx.topk(a, k),
        "topk, smallest": lambda: mx.topk(a, k, largest=False),
        "topk of k + 1": lambda: mx.topk(a, k + 1),
        "topk of k + 1, smallest": lambda: mx.topk(a, k + 1, largest=False),
        "kthvalue": lambda: mx.kthvalue(a, k),
        "kthvalue, largest": lambda: mx.kthvalue(a, k, largest=True),
        "quantile": lambda: mx.quantile(a, q, -1),
        "quantile of 1 - q": lambda: mx.quantile(a, 1 - q, -1),
    }
    if k == n // 2:
        found["median"] = lambda: mx.median(a, -1)
        found["stock median"] = lambda: _overlay.stock.median(a, -1)
    return found


def microseconds(function):
    start = time.perf_counter()
    mx.eval(function())
    return (time.perf_counter() - start) * 1e6


def fastest(found):
    """Returns the fastest time of each function, which are called in turn."""
    times = dict.fromkeys(found, math.inf)
    for _ in range(ROUNDS):
        for name, function in found.items():
            # Stock's median takes up to 100 times as long as the others.
            if name != "stock median" or times[name] == math.inf:
                times[name] = min(times[name], microseconds(function))
    return times


def ratios(times):
    """Returns the times as a text, as multiples of those of topk at the same end."""
    multiples = {
        name: times[name] / times[topk]
        for name, topk in COMPARED_WITH.items()
        if name in times
    }
    text = ", ".join(f"{name} {multiple:.2f}" for name, multiple in multiples.items())
    multiples.pop("stock median", None)
    verdict = "" if max(multiples.values()) <= GOAL else f" (over {GOAL})"
    return f"topk {times['topk']:.0f} us; {text}{verdict}"


def lines():
    for dtype in (mx.float32, mx.bfloat16):
        for shape in SHAPES:
            a = mx.random.normal(shape, key=mx.random.key(0)).astype(dtype)
            mx.eval(a)
            for k in (shape[1] // 2, max(1, shape[1] // 100)):
                name = str(dtype).split(".")[-1]
                yield f"{shape} {name} k={k}: {ratios(fastest(functions(a, k)))}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    mx.set_selection_threads(parser.parse_args().threads)
    mx.set_default_device(mx.cpu)
    print(describe())
    for line in lines():
        print(line, flush=True)


if __name__ == "__main__":
    main()
