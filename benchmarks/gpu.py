"""Times selection on an NVIDIA GPU, in this build, in stock MLX and in torch.

    python benchmarks/gpu.py [--json FILE] [--seconds 0.2] [--cub]
    python benchmarks/gpu.py --kernels [--json FILE]
    python benchmarks/gpu.py --table FILE    prints a table of docs/cuda.md

Each number is microseconds per call on a GPU that is kept busy. A run evaluates many
independent calls together. They use several inputs in turn. The fastest of several
runs is reported. The numbers therefore leave out the time to start a call on an idle
GPU. MLX's functions are timed as MLX evaluates them; torch's, if torch is installed, as
a CUDA graph. The maximum of each row is timed too, since it reads each element once.
This build's results are compared with the CPU's before anything is timed.

``routing.route`` is timed in the same way, and so is the chain of ops that it replaces.

With ``--cub`` the batched top-k of CUB is timed too, for rows that it can do. It leaves
open the order of the elements, and which of equal ones it chooses (benchmarks/cub.py).

With ``--kernels`` the times are those of the kernels alone, which torch's profiler
measures: for each call, the sum of the medians of its kernels. They leave out all work
of the CPU.
"""

import argparse
import itertools
import json
import pathlib
import statistics

import cub
import mlx.core as mx
import numpy as np
import route
from mlx.selftest import perf

import machine
from rivals import torch

# Of these functions the kernels alone are timed.
KERNELS_OF = ("topk, values and indices", "argpartition", "one read (max)")
# More shapes for the kernels alone. Sparse attention selects 2048 tokens.
MORE_SHAPES = [
    (8192, 160, 8, "bfloat16"),
    (1, 32768, 2048, "float32"),
    (32, 131072, 2048, "float32"),
    (2048, 16384, 2048, "bfloat16"),
]


def time_torch(inputs, k, seconds):
    calls = perf.calls_in_a_run(inputs[0].size, mx.gpu)
    tensors = [torch.from_numpy(np.array(a.astype(mx.float32))) for a in inputs]
    dtype = torch.bfloat16 if inputs[0].dtype == mx.bfloat16 else torch.float32
    tensors = [t.to("cuda", dtype) for t in tensors]
    torch.topk(tensors[0], k)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [torch.topk(tensors[i % perf.INPUTS], k) for i in range(calls)]

    def run():
        graph.replay()
        torch.cuda.synchronize()

    microseconds = perf.best_of(run, calls, seconds)
    del kept
    return microseconds


def kernel_times(run, runs=6):
    """Returns the microseconds that the kernels of a call take."""
    from torch.profiler import ProfilerActivity, profile

    run()
    mx.synchronize()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(runs):
            run()
        mx.synchronize()
        torch.cuda.synchronize()
    times = {}
    for event in profiled.events():
        on_gpu = event.device_type == torch.autograd.DeviceType.CUDA
        if on_gpu and not event.name.startswith("Mem"):
            times.setdefault(event.name, []).append(event.device_time)
    return sum(statistics.median(t) * len(t) / runs for t in times.values())


def measure_kernels(rows, n, k, dtype):
    """Times the kernels of selections and of a read of the input."""
    inputs = itertools.cycle(perf.inputs_of(rows, n, dtype))
    return {
        name: kernel_times(lambda f=perf.FUNCTIONS[name]: mx.eval(f(next(inputs), k)))
        for name in KERNELS_OF
    }


def check(a, k):
    """Checks that the GPU and the CPU return equal values and equal indices."""
    found = perf.ours(a, k)
    expected = mx.topk(a, k, sorted=True, return_indices=True, stream=mx.cpu)
    for x, y in zip(found, expected, strict=True):
        assert mx.array_equal(x, y).item(), "the GPU selects other elements"


def measure(rows, n, k, dtype, seconds):
    inputs = perf.inputs_of(rows, n, dtype)
    check(inputs[0], k)
    times = perf.times_of(inputs, k, seconds)
    if torch and torch.cuda.is_available():
        times["torch.topk"] = time_torch(inputs, k, seconds)
    return times


def measure_route(case, seconds):
    """Times ``routing.route`` and the chain of ops that it replaces."""
    logits, functions = route.functions_of(case)
    with mx.stream(mx.cpu):
        wanted = mx.sort(functions["ours"](logits)[0], axis=-1)
    times = {}
    for name, function in functions.items():
        try:
            found = mx.sort(function(logits)[0], axis=-1)
            right = mx.allclose(found, wanted, rtol=1e-5).item()
        except RuntimeError as error:
            # On CUDA MLX cannot sort 65,536 rows or more, as the chains with groups do.
            print(f"{case}, {name}: {error}")
            continue
        assert right, f"{name} is wrong"
        times[name] = perf.time_mlx(lambda a, _, f=function: f(a), [logits], 0, seconds)
    return times


def measure_routes(seconds):
    """Prints a line for each case of route, and returns all times."""
    print("Microseconds per call. Columns: routing.route; the chain of ops")
    results = []
    for case in route.GPU_CASES:
        times = measure_route(case, seconds)
        columns = " ".join(
            f"{times.get(name, float('nan')):9.1f}" for name in ("ours", "chain")
        )
        print(f"route {case}".ljust(48), columns, flush=True)
        results.append({"case": str(case), "microseconds": times})
    return results


def table(record):
    """Returns the times of a JSON file as a table in Markdown."""
    names = list(record["results"][0]["microseconds"])
    lines = [perf.head_of_table(names)]
    for result in record["results"]:
        shape = [result[name] for name in ("rows", "n", "k", "dtype")]
        times = [result["microseconds"].get(name, float("nan")) for name in names]
        lines.append(perf.row_of_table(shape, times))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", help="a JSON file to print as a table; no timing")
    parser.add_argument("--kernels", action="store_true", help="time kernels alone")
    parser.add_argument("--cub", action="store_true", help="time CUB too")
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
    shapes = perf.GPU_SHAPES
    names = [*perf.FUNCTIONS, "torch.topk"]
    if arguments.kernels:
        shapes = [*shapes, *MORE_SHAPES]
        names = list(KERNELS_OF)
    cub_times = cub.times_of(shapes) if arguments.cub else {}
    names += ["CUB"] if arguments.cub else []
    print("Microseconds per call. Columns:", "; ".join(names))
    results = []
    for rows, n, k, dtype in shapes:
        if arguments.kernels:
            times = measure_kernels(rows, n, k, dtype)
        else:
            times = measure(rows, n, k, dtype, arguments.seconds)
        if (rows, n, k, dtype) in cub_times:
            times["CUB"] = cub_times[rows, n, k, dtype]
        columns = " ".join(f"{times.get(name, float('nan')):9.1f}" for name in names)
        print(f"({rows}, {n}) k={k} {dtype}".ljust(32), columns, flush=True)
        results.append(
            {"rows": rows, "n": n, "k": k, "dtype": dtype, "microseconds": times}
        )
    routes = [] if arguments.kernels else measure_routes(arguments.seconds)
    if arguments.json:
        record = {
            "device": device,
            **machine.describe(),
            "results": results,
            "routes": routes,
        }
        pathlib.Path(arguments.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
