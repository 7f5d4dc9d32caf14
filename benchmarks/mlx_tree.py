"""Times selection and its gradients in whichever MLX it runs on.

    PYTHONPATH=<a build of MLX's tree> python benchmarks/mlx_tree.py NAME

It needs nothing but MLX. docs/upstream.md compares the trees before and after each
change with it. NAME is printed in front of each line. Each number is the fastest of 15
calls in microseconds, on the CPU.
"""

import contextlib
import sys
import time

import mlx.core as mx

SHAPES = [((1024, 160), 8), ((32, 8192), 32), ((1, 151936), 50)]


def fastest(function, calls=15):
    mx.eval(function())
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        mx.eval(function())
        times.append(time.perf_counter() - start)
    return round(min(times) * 1e6)


def argpartition_and_take(a, k):
    indices = mx.argpartition(-a, k - 1, axis=-1)[..., :k]
    return mx.take_along_axis(a, indices, axis=-1), indices


def gradient_of(op, a, k):
    return mx.grad(lambda x: op(x, k).square().sum())(a)


def main(name):
    mx.set_default_device(mx.cpu)
    for shape, k in SHAPES:
        a = mx.random.normal(shape, key=mx.random.key(0))
        mx.eval(a)
        times = {
            "argpartition, take_along_axis": fastest(
                lambda a=a, k=k: argpartition_and_take(a, k)
            ),
            "topk": fastest(lambda a=a, k=k: mx.topk(a, k)),
        }
        # MLX's own topk returns no indices.
        with contextlib.suppress(TypeError):
            times["topk, values and indices"] = fastest(
                lambda a=a, k=k: mx.topk(a, k, sorted=True, return_indices=True)
            )
        for op in (mx.topk, mx.partition):
            times[f"gradient of {op.__name__}"] = fastest(
                lambda a=a, k=k, op=op: gradient_of(op, a, k)
            )
        line = ", ".join(f"{what}: {time} us" for what, time in times.items())
        print(f"{name} {shape}, k = {k}: {line}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
