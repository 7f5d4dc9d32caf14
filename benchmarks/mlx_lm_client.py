"""Measures tokens per second of mlx-lm's samplers and routing, here and on stock MLX.

This build and stock MLX take turns, each in a process of its own, so that other work
on the machine slows both alike. ``make clients-bench`` runs this.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
VOCABULARY = 151_936


def samplers():
    """Maps names to functions that draw ``count`` tokens, one after another."""
    import mlx.core as mx
    from mlx_lm.sample_utils import make_sampler

    logits = 3 * mx.random.normal((1, VOCABULARY), key=mx.random.key(0))
    log_probs = logits - mx.logsumexp(logits, keepdims=True)
    mx.eval(log_probs)
    settings = {
        "greedy": {"temp": 0.0},
        "top-k 40": {"temp": 0.7, "top_k": 40},
        "top-p 0.95": {"temp": 0.7, "top_p": 0.95},
        "min-p 0.05": {"temp": 0.7, "min_p": 0.05},
        "top-k 40, top-p 0.95, min-p 0.02": {
            "temp": 0.7,
            "top_k": 40,
            "top_p": 0.95,
            "min_p": 0.02,
        },
    }

    def drawing(sampler):
        def draw(count):
            for _ in range(count):
                mx.eval(sampler(log_probs))
            return count

        return draw

    return {f"sample, {n}": drawing(make_sampler(**s)) for n, s in settings.items()}


def routers():
    """Maps names to functions that choose 8 of 128 experts for each token."""
    import mlx.core as mx

    def routing(tokens):
        gates = mx.random.normal((tokens, 128), key=mx.random.key(1))
        mx.eval(gates)

        def route(count):
            for _ in range(count):
                p = mx.softmax(gates, axis=-1, precise=True)
                chosen = mx.argpartition(p, kth=-8, axis=-1)[..., -8:]
                mx.eval(mx.take_along_axis(p, chosen, axis=-1))
            return count * tokens

        return route

    return {f"route, {tokens} tokens": routing(tokens) for tokens in (1, 64, 2048)}


def generators():
    """Maps a name to a function that generates ``count`` tokens with a small mixture.

    The sampler applies top-k, top-p and min-p.
    """
    import mlx.core as mx
    from mlx_lm.generate import generate_step
    from mlx_lm.sample_utils import make_sampler

    sys.path.append(str(ROOT / "examples"))
    from small_mixture import small_mixture

    mx.random.seed(0)
    model = small_mixture(
        "mixtral",
        vocabulary=32_768,
        hidden=128,
        layers=4,
        experts=32,
        experts_per_token=4,
    )
    sampler = make_sampler(temp=0.7, top_k=40, top_p=0.95, min_p=0.02)

    def generate(count):
        prompt = mx.array([1, 2, 3])
        steps = generate_step(prompt, model, max_tokens=count, sampler=sampler)
        return sum(1 for _ in steps)

    return {"generate, a small mixture": generate}


def rate(work):
    """Returns tokens per second: the highest of nine repetitions.

    Other programs only ever lower the rate, so the highest is the least disturbed.
    """
    work(3)
    begin = time.perf_counter()
    work(3)
    # A repetition takes about 0.15 seconds.
    count = max(3, int(0.15 * 3 / (time.perf_counter() - begin)))
    rates = []
    for _ in range(9):
        begin = time.perf_counter()
        rates.append(work(count) / (time.perf_counter() - begin))
    return max(rates)


def print_rates():
    work = {**samplers(), **routers(), **generators()}
    print(json.dumps({name: rate(function) for name, function in work.items()}))


def rates_of(stock):
    """Measures in a new process, on stock MLX or on this build."""
    path = {"PYTHONPATH": str(ROOT / "build" / "stock")} if stock else {}
    done = subprocess.run(
        [sys.executable, __file__, "--measure"],
        env={**os.environ, **path},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def print_table(rounds):
    """Prints a row for each task. ``rounds`` are pairs of rates, here and on stock."""
    print("| tokens per second | here | stock | ratio, median of rounds (lowest) |")
    print("|---|---|---|---|")
    for name in rounds[0][0]:
        here, stock = (statistics.median(r[i][name] for r in rounds) for i in (0, 1))
        ratios = [ours[name] / theirs[name] for ours, theirs in rounds]
        middle, low = statistics.median(ratios), min(ratios)
        print(f"| {name} | {here:,.0f} | {stock:,.0f} | {middle:.1f} ({low:.1f}) |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--measure",
        action="store_true",
        help="measure the MLX that this process imports",
    )
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.measure:
        print_rates()
        return
    # machine.py imports a module of this build. With --measure, this script may run on
    # stock MLX, which lacks that module, so the import is not at the top.
    import machine

    print(json.dumps(machine.describe()), end="\n\n")
    print_table([(rates_of(False), rates_of(True)) for _ in range(options.rounds)])


if __name__ == "__main__":
    main()
