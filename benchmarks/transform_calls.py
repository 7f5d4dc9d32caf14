"""Times calls of transforms in this build and in stock MLX.

    python benchmarks/transform_calls.py --stock build/stock

Each number is microseconds per call on the smallest of functions, so that the call
itself is what is timed. Nothing is evaluated. Both builds run in turn, in processes of
their own, and the fastest of all runs is reported. ``build/stock`` is a folder with
stock MLX, which ``make`` installs there.
"""

import argparse
import json
import os
import subprocess
import sys
import timeit

ROUNDS = 3


def cases():
    import mlx.core as mx

    x = mx.array([3.0, 1.0, 2.0, 0.0])
    one = mx.array(1.0)

    def total(x):
        return x.sum()

    def double(x):
        return x * 2

    with_rule = mx.custom_function(double)
    with_rule.vjp(lambda primals, cotangents, outputs: cotangents * 2)
    grad, both = mx.grad(total), mx.value_and_grad(total)
    kept, mapped = mx.checkpoint(double), mx.vmap(double)

    def remade_custom():
        function = mx.custom_function(double)
        function.vjp(lambda primals, cotangents, outputs: cotangents * 2)
        return function(x)

    return {
        "grad(f)": lambda: mx.grad(total),
        "grad(f)(x)": lambda: mx.grad(total)(x),
        "grad(f) made before, called": lambda: grad(x),
        "value_and_grad(f)(x)": lambda: mx.value_and_grad(total)(x),
        "value_and_grad(f) made before, called": lambda: both(x),
        "vjp(f, x, c)": lambda: mx.vjp(total, [x], [one]),
        "jvp(f, x, t)": lambda: mx.jvp(total, [x], [x]),
        "vmap(f)(x)": lambda: mx.vmap(double)(x),
        "vmap(f) made before, called": lambda: mapped(x),
        "checkpoint(f)": lambda: mx.checkpoint(double),
        "checkpoint(f)(x)": lambda: mx.checkpoint(double)(x),
        "checkpoint(f) made before, called": lambda: kept(x),
        "custom_function(f)": lambda: mx.custom_function(double),
        "custom_function(f) with a rule, made and called": remade_custom,
        "custom_function(f) with a rule, made before, called": lambda: with_rule(x),
    }


def measure():
    best = {}
    for name, call in cases().items():
        times = timeit.repeat(call, number=2000, repeat=7)
        best[name] = min(times) / 2000 * 1e6
    return best


def in_process(path):
    environment = dict(os.environ)
    if path:
        environment["PYTHONPATH"] = path
    command = [sys.executable, __file__, "--child"]
    done = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock", default="build/stock")
    parser.add_argument("--child", action="store_true")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure()))
        return
    if not os.path.isdir(arguments.stock):
        parser.error(f"{arguments.stock} is not a folder with stock MLX")
    stock, ours = {}, {}
    for _ in range(ROUNDS):
        for best, path in ((stock, arguments.stock), (ours, "")):
            for name, time in in_process(path).items():
                best[name] = min(time, best.get(name, time))
    print("| call | stock, us | here, us | ratio |")
    print("|---|---|---|---|")
    for name, time in ours.items():
        base = stock[name]
        print(f"| `{name}` | {base:.2f} | {time:.2f} | {time / base:.2f} |")


if __name__ == "__main__":
    main()
