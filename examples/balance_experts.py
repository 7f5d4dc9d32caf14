"""Compares ways of balancing experts on a router that starts with a skewed load.

A router with random weights sends each token to 2 of 16 experts. Its weights are
shifted, so that some experts get most of the tokens. In each step a new batch is drawn
and routed, the largest load of an expert divided by the mean load is noted, and then
the loss or the bias is updated. Nothing else trains the router. 1 would be an even
load; a choice at random has a little more, because a batch is finite.
"""

import argparse
import json
import pathlib
import time

import matplotlib
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.nn import routing

EXPERTS, K, SIZE, TOKENS = 16, 2, 16, 65536
# The step at which the table shows the loads, and the last one.
SHOWN = (0, 1, 2, 3, 5, 10, 20, 40)


def skewed_router(balance):
    mx.random.seed(0)
    router = routing.TopKRouter(SIZE, EXPERTS, K, score="sigmoid", balance=balance)
    router.weight = router.weight + 0.1 * mx.linspace(-1, 1, EXPERTS)[:, None]
    return router


def batch(step, tokens):
    return 1 + mx.random.normal((tokens, SIZE), key=mx.random.key(step))


def imbalance(indices):
    """Returns the largest load of an expert divided by the mean load."""
    loads = routing.expert_loads(indices, EXPERTS)
    return loads.max().item() * EXPERTS / loads.sum().item()


def chance(tokens):
    """Returns the imbalance if each token chooses K different experts at random."""
    draws = mx.random.uniform(shape=(tokens, EXPERTS), key=mx.random.key(1))
    return imbalance(mx.topk(draws, K, return_indices=True).indices)


# ---- the arms ----------------------------------------------------------------
#
# An arm returns a function that updates the router after a batch.


def nothing(router):
    return lambda x, chosen: None


def loss(router):
    optimizer = optim.Adam(1e-3)

    def balance(router, x):
        chosen = router(x)
        probs = chosen.probs / chosen.probs.sum(axis=-1, keepdims=True)
        return routing.load_balance_loss(probs, chosen.indices)

    gradient = nn.value_and_grad(router, balance)
    return lambda x, chosen: optimizer.update(router, gradient(router, x)[1])


def sign(rate):
    return lambda router: lambda x, chosen: router.update_bias(chosen.indices, rate)


def quantile(**options):
    return lambda router: (
        lambda x, chosen: router.update_quantile_bias(chosen, **options)
    )


ARMS = {
    "no balance": nothing,
    "loss (Adam, 0.001)": loss,
    "sign, rate 0.001": sign(1e-3),
    "sign, rate 0.01": sign(1e-2),
    "quantile": quantile(),
    "quantile, 4 iterations": quantile(iterations=4),
    "histogram, 4 iterations": quantile(iterations=4, bins=1000),
}


def run_arm(arm, steps, tokens):
    """Returns the imbalance of each batch, before the update that it leads to."""
    router = skewed_router(balance=arm not in (nothing, loss))
    update, found = arm(router), []
    for step in range(steps + 1):
        x = batch(step, tokens)
        chosen = router(x)
        found.append(imbalance(chosen.indices))
        update(x, chosen)
        mx.eval(router.parameters())
    return found


def experiment(steps, tokens):
    results = {name: run_arm(arm, steps, tokens) for name, arm in ARMS.items()}
    return {"tokens": tokens, "chance": chance(tokens), "results": results}


def table(found):
    shown = [
        step for step in SHOWN if step < len(next(iter(found["results"].values())))
    ]
    lines = [
        "| arm | " + " | ".join(f"step {step}" for step in shown) + " |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for name, loads in found["results"].items():
        cells = " | ".join(f"{loads[step]:.3f}" for step in shown)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def plot(found, path):
    """Draws the imbalance of each arm by step."""
    matplotlib.use("svg")
    # Fixed ids make the file reproducible, and text kept as text makes it small.
    matplotlib.rcParams.update({"svg.hashsalt": "balance", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
    for name, loads in found["results"].items():
        axis.plot([load - 1 for load in loads], label=name)
    axis.axhline(found["chance"] - 1, color="black", lw=0.8, ls=":")
    axis.axhline(0.05, color="gray", lw=0.8, ls="--")
    axis.set(yscale="log", xlabel="step", ylabel="max load / mean load - 1")
    axis.legend(fontsize=7, loc="center right")
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=SHOWN[-1])
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build"))
    options = parser.parse_args()
    begin = time.perf_counter()
    found = experiment(options.steps, options.tokens)
    options.out.mkdir(parents=True, exist_ok=True)
    plot(found, options.out / "balance.svg")
    (options.out / "balance.json").write_text(json.dumps(found))
    print("Largest load of an expert divided by the mean load:\n")
    print(table(found))
    print(
        f"\n{options.tokens} tokens a step, {time.perf_counter() - begin:.0f} s. "
        f"Choices at random have {found['chance']:.3f}."
    )


if __name__ == "__main__":
    main()
