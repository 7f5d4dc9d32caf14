"""Times selection on an NVIDIA GPU, in this build, in stock MLX and in torch.

    python benchmarks/gpu.py [--json FILE] [--seconds 0.2]
    python benchmarks/gpu.py --table FILE    prints the table of docs/cuda.md

Each number is microseconds per call on a GPU that is kept busy. A run evaluates many
independent calls together. They use several inputs in turn. The fastest of several
runs is reported. The numbers therefore leave out the time to start a call on an idle
GPU. MLX's functions are timed as MLX evaluates them; torch's, if torch is installed, as
a CUDA graph. The maximum of each row is timed too, since it reads each element once.
This build's results are compared with the CPU's before anything is timed.
"""

import argparse
import json
import pathlib
import time

import mlx.core as mx
import numpy as np
from mlx import _overlay

import machine
from rivals import torch

SHAPES = [
    (8192, 8, 2, "float32"),
    (1, 160, 8, "float32"),
    (8, 160, 8, "float32"),
    (1024, 160, 8, "float32"),
    (8192, 160, 8, "float32"),
    (32768, 256, 8, "float32"),
    (1024, 896, 16, "float32"),
    (2048, 8192, 32, "bfloat16"),
    (2048, 8192, 32, "float32"),
    (1, 151936, 50, "float32"),
    (1, 151936, 50, "bfloat16"),
    (32, 151936, 64, "float32"),
    (16, 200000, 400, "float32"),
    (1, 435000, 512, "float32"),
    (32, 435000, 512, "float32"),
    (64, 131072, 2048, "float32"),
    (256, 65536, 512, "float32"),
]
INPUTS = 4


def ours(a, k):
    return list(mx.topk(a, k, sorted=True, return_indices=True))


def stock_idiom(a, k):
    indices = _overlay.stock.argpartition(a, -k, axis=-1)[..., -k:]
    return [mx.take_along_axis(a, indices, axis=-1), indices]


def stock_topk(a, k):
    return [_overlay.stock.topk(a, k)]


def our_argpartition(a, k):
    return [mx.argpartition(a, -k, axis=-1)]


def stock_argpartition(a, k):
    return [_overlay.stock.argpartition(a, -k, axis=-1)]


def one_read(a, k):
    return [mx.max(a, axis=-1)]


MLX_FUNCTIONS = {
    "topk, values and indices": ours,
    "stock: argpartition, take_along_axis": stock_idiom,
    "stock: topk, values": stock_topk,
    "argpartition": our_argpartition,
    "stock: argpartition": stock_argpartition,
    "one read (max)": one_read,
}


def best_of(run, calls, seconds):
    """Returns the microseconds per call of the fastest of several runs."""
    run()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) / calls * 1e6


def time_mlx(function, inputs, k, seconds):
    calls = 32 if inputs[0].size < 5_000_000 else 8

    def run():
        outputs = []
        for i in range(calls):
            outputs += function(inputs[i % len(inputs)], k)
        mx.eval(outputs)
        mx.synchronize()

    return best_of(run, calls, seconds)


def time_torch(inputs, k, seconds):
    calls = 32 if inputs[0].size < 5_000_000 else 8
    tensors = [torch.from_numpy(np.array(a.astype(mx.float32))) for a in inputs]
    dtype = torch.bfloat16 if inputs[0].dtype == mx.bfloat16 else torch.float32
    tensors = [t.to("cuda", dtype) for t in tensors]
    torch.topk(tensors[0], k)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [torch.topk(tensors[i % INPUTS], k) for i in range(calls)]

    def run():
        graph.replay()
        torch.cuda.synchronize()

    microseconds = best_of(run, calls, seconds)
    del kept
    return microseconds


def check(a, k):
    """Checks that the GPU and the CPU return equal values and equal indices."""
    found = ours(a, k)
    expected = mx.topk(a, k, sorted=True, return_indices=True, stream=mx.cpu)
    for x, y in zip(found, expected, strict=True):
        assert mx.array_equal(x, y).item(), "the GPU selects other elements"


def measure(rows, n, k, dtype, seconds):
    mx.random.seed(0)
    inputs = [
        mx.random.normal((rows, n)).astype(getattr(mx, dtype)) for _ in range(INPUTS)
    ]
    mx.eval(inputs)
    check(inputs[0], k)
    times = {
        name: time_mlx(function, inputs, k, seconds)
        for name, function in MLX_FUNCTIONS.items()
    }
    if torch and torch.cuda.is_available():
        times["torch.topk"] = time_torch(inputs, k, seconds)
    return times


def table(record):
    """Returns the times of a JSON file as a table in Markdown."""
    names = list(record["results"][0]["microseconds"])
    lines = [f"| rows x n, k | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for result in record["results"]:
        shape = "{rows} x {n}, {k} {dtype}".format(**result)
        times = [f"{result['microseconds'][name]:.1f}" for name in names]
        lines.append(f"| {shape} | {' | '.join(times)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", help="a JSON file to print as a table; no timing")
    parser.add_argument("--json", help="the file to write the times to")
    parser.add_argument("--seconds", type=float, default=0.2, help="for each number")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(pathlib.Path(arguments.table).read_text())))
        return
    if not mx.is_available(mx.gpu):
        raise SystemExit("There is no GPU here: nothing was timed.")
    device = mx.device_info(mx.gpu).get("device_name", "unknown")
    print(
        f"{device}, mlx {mx.__version__}, torch {getattr(torch, '__version__', None)}"
    )
    names = [*MLX_FUNCTIONS, "torch.topk"]
    print("Microseconds per call. Columns:", "; ".join(names))
    results = []
    for rows, n, k, dtype in SHAPES:
        times = measure(rows, n, k, dtype, arguments.seconds)
        columns = " ".join(f"{times.get(name, float('nan')):9.1f}" for name in names)
        print(f"({rows}, {n}) k={k} {dtype}".ljust(32), columns, flush=True)
        results.append(
            {"rows": rows, "n": n, "k": k, "dtype": dtype, "microseconds": times}
        )
    if arguments.json:
        record = {"device": device, **machine.describe(), "results": results}
        pathlib.Path(arguments.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
