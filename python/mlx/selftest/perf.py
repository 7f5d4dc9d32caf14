# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Times selection against MLX's own functions in the same process."""

import time

import mlx.core as mx
from mlx import _overlay

# Rows, elements of a row, k, type.
GPU_SHAPES = [
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
# The CPU would need minutes for the greatest of these.
CPU_SHAPES = [shape for shape in GPU_SHAPES if shape[0] * shape[1] <= 1_500_000]
INPUTS = 4


def ours(a, k):
    return list(mx.topk(a, k, sorted=True, return_indices=True))


def our_values(a, k):
    return [mx.topk(a, k)]


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


FUNCTIONS = {
    "topk, values and indices": ours,
    "topk, values": our_values,
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


def calls_in_a_run(size, device):
    """Returns how many calls are evaluated together, so that a GPU stays busy."""
    if device == mx.cpu:
        return 8 if size < 10_000 else 1
    return 32 if size < 5_000_000 else 8


def time_mlx(function, inputs, k, seconds, device=mx.gpu):
    calls = calls_in_a_run(inputs[0].size, device)

    def run():
        outputs = []
        for i in range(calls):
            outputs += function(inputs[i % len(inputs)], k)
        mx.eval(outputs)
        mx.synchronize()

    return best_of(run, calls, seconds)


def inputs_of(rows, n, dtype):
    mx.random.seed(0)
    inputs = [
        mx.random.normal((rows, n)).astype(getattr(mx, dtype)) for _ in range(INPUTS)
    ]
    mx.eval(inputs)
    return inputs


def times_of(inputs, k, seconds, device=mx.gpu):
    """Maps the name of each function to its microseconds per call."""
    return {
        name: time_mlx(function, inputs, k, seconds, device)
        for name, function in FUNCTIONS.items()
    }


def row_of_table(shape, times):
    cells = " | ".join(f"{microseconds:.1f}" for microseconds in times)
    return "| {} x {}, {} {} | ".format(*shape) + cells + " |"


def head_of_table(names):
    names = list(names)
    return f"| rows x n, k | {' | '.join(names)} |\n" + "|---" * (len(names) + 1) + "|"


def describe(device):
    if device == mx.gpu:
        return mx.device_info(mx.gpu).get("device_name", "GPU")
    info = mx.selection_info()
    return f"CPU, {info['instruction_sets'][0]}, {info['threads']} threads"


def run(devices, seconds):
    """Prints a table in Markdown for each device."""
    for device in devices:
        print(f"mlx {mx.__version__}, {describe(device)}. Microseconds per call:\n")
        print(head_of_table(FUNCTIONS))
        for shape in GPU_SHAPES if device == mx.gpu else CPU_SHAPES:
            rows, n, k, dtype = shape
            with mx.stream(device):
                times = times_of(inputs_of(rows, n, dtype), k, seconds, device)
            print(row_of_table(shape, times.values()), flush=True)
        print()
