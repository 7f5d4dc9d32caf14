"""Measures tokens per second of mlx-lm's samplers and routing, here and on stock MLX.

This build and stock MLX take turns, each in a process of its own, so that other work
on the machine slows both alike. Where a row says "one op", ``routing.route`` computes
the choice here, in a model after ``routing.patch_gates``. On stock MLX the chain of ops
does, so the ratio is that of the two. ``make clients-bench`` runs this.
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
QWEN = {
    "model_type": "qwen3_moe",
    "hidden": 128,
    "experts": 128,
    "experts_per_token": 8,
    "moe_intermediate_size": 64,
    "head_dim": 32,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
    "max_position_embeddings": 512,
}


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


def has_routing():
    """Returns whether the MLX that this process imports is this build."""
    import mlx.core as mx

    return "topk" in mx.__version__


def routers():
    """Maps names to functions that choose 8 of 128 experts for each token."""
    import mlx.core as mx

    def chain(gates):
        p = mx.softmax(gates, axis=-1, precise=True)
        chosen = mx.argpartition(p, kth=-8, axis=-1)[..., -8:]
        weights = mx.take_along_axis(p, chosen, axis=-1)
        return weights / weights.sum(axis=-1, keepdims=True)

    def one_op(gates):
        from mlx.nn import routing

        return routing.route(gates, 8, sorted=False, ties="higher")[0]

    def routing_by(choose, tokens):
        gates = mx.random.normal((tokens, 128), key=mx.random.key(1))
        mx.eval(gates)

        def route(count):
            for _ in range(count):
                mx.eval(choose(gates))
            return count * tokens

        return route

    found = {}
    for tokens in (1, 64, 2048):
        name = f"route, {tokens} token{'s' * (tokens > 1)}"
        found[name] = routing_by(chain, tokens)
        replaced = one_op if has_routing() else chain
        found[f"{name}, one op"] = routing_by(replaced, tokens)
    return found


def small_model(model_type, one_op=False, **sizes):
    import mlx.core as mx

    sys.path.append(str(ROOT / "examples"))
    from small_mixture import small_mixture

    mx.random.seed(0)
    model = small_mixture(model_type, vocabulary=32_768, layers=4, **sizes)
    if one_op and has_routing():
        from mlx.nn import routing

        assert routing.patch_gates(model).changed
    return model


def generators():
    """Maps names to functions that generate ``count`` tokens with a small mixture."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step
    from mlx_lm.sample_utils import make_sampler

    filters = make_sampler(temp=0.7, top_k=40, top_p=0.95, min_p=0.02)
    greedy = make_sampler(temp=0.0)

    def generating(model, sampler):
        def generate(count):
            prompt = mx.array([1, 2, 3])
            steps = generate_step(prompt, model, max_tokens=count, sampler=sampler)
            return sum(1 for _ in steps)

        return generate

    mixtral = {"hidden": 128, "experts": 32, "experts_per_token": 4}
    return {
        "generate, a small mixture": generating(
            small_model("mixtral", **mixtral), filters
        ),
        "generate greedily, qwen3_moe": generating(small_model(**QWEN), greedy),
        "generate greedily, qwen3_moe, one op": generating(
            small_model(**QWEN, one_op=True), greedy
        ),
    }


def trainers():
    """Maps names to functions that take training steps with a small mixture."""
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim

    tokens = mx.random.randint(0, 32_768, (1, 65), key=mx.random.key(2))

    def loss_of(model):
        logits = model(tokens[:, :-1])
        return nn.losses.cross_entropy(logits, tokens[:, 1:], reduction="mean")

    def training(model):
        optimizer = optim.SGD(learning_rate=1e-3)
        # The embedding and the head would take most of the time.
        model.freeze()
        for part in model.layers:
            part.unfreeze()
        step = nn.value_and_grad(model, loss_of)

        def train(count):
            for _ in range(count):
                _, gradients = step(model)
                optimizer.update(model, gradients)
                mx.eval(model.parameters())
            return count * (tokens.size - 1)

        return train

    # Fewer experts, because the gradient of the experts takes most of the time.
    sizes = {**QWEN, "hidden": 64, "experts": 32, "moe_intermediate_size": 32}
    return {
        "train, qwen3_moe": training(small_model(**sizes)),
        "train, qwen3_moe, one op": training(small_model(**sizes, one_op=True)),
    }


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


def print_rates(only):
    work = {**samplers(), **routers(), **generators(), **trainers()}
    work = {name: function for name, function in work.items() if only in name}
    print(json.dumps({name: rate(function) for name, function in work.items()}))


def rates_of(stock, only):
    """Measures in a new process, on stock MLX or on this build."""
    path = {"PYTHONPATH": str(ROOT / "build" / "stock")} if stock else {}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", "--only", only],
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
    parser.add_argument("--only", default="", help="measure rows with this text")
    options = parser.parse_args()
    if options.measure:
        print_rates(options.only)
        return
    # machine.py imports a module of this build. With --measure, this script may run on
    # stock MLX, which lacks that module, so the import is not at the top.
    import machine

    print(json.dumps(machine.describe()), end="\n\n")
    only = options.only
    rounds = range(options.rounds)
    print_table([(rates_of(False, only), rates_of(True, only)) for _ in rounds])


if __name__ == "__main__":
    main()
