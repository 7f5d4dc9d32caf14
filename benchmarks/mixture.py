"""Times a training step and a decoding step of a mixture of experts.

    python benchmarks/mixture.py [--device cpu|gpu] [--steps 30] [--json FILE]

The same model is timed with this build's ``topk`` and with stock MLX's functions, in
turn and in one process. On stock's side the indices need ``mx.stop_gradient``.
"""

import argparse
import json
import pathlib
import statistics
import time

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx import _overlay

import machine

# Tokens of a training step, width, layers, experts, experts for a token, vocabulary.
SIZES = {"cpu": (64, 32, 2, 32, 4, 8_192), "gpu": (4_096, 256, 4, 160, 8, 151_936)}
# MLX compiles kernels when they are first needed.
WARM_UP = 5
SAMPLED = 50


def best_here(a, k):
    return mx.topk(a, k, return_indices=True)


def best_stock(a, k):
    indices = _overlay.stock.argpartition(a, -k, axis=-1)[..., -k:]
    indices = mx.stop_gradient(indices)
    return mx.take_along_axis(a, indices, axis=-1), indices


class Mixture(nn.Module):
    """Sends each token to k experts and returns the weighted sum of their outputs."""

    def __init__(self, width, experts, k, best):
        super().__init__()
        self.k, self.best = k, best
        self.gate = nn.Linear(width, experts, bias=False)
        self.up = mx.random.normal((experts, width, width)) * width**-0.5
        self.down = mx.random.normal((experts, width, width)) * width**-0.5

    def __call__(self, x):
        scores, chosen = self.best(self.gate(x), self.k)
        weights = mx.softmax(scores, axis=-1)
        # MLX multiplies faster if the rows for one expert are next to each other. On
        # CUDA the gradient of MLX 0.32.4 fails unless they are.
        experts = chosen.flatten()
        order = mx.stop_gradient(mx.argsort(experts))
        experts = experts[order]
        rows = x[order // self.k][:, None]
        hidden = nn.relu(self.multiply(rows, self.up, experts))
        outputs = self.multiply(hidden, self.down, experts)
        outputs = outputs[mx.argsort(order)].reshape(*chosen.shape, -1)
        return x + (outputs * weights[..., None]).sum(-2)

    def multiply(self, rows, matrices, experts):
        return mx.gather_mm(rows, matrices, rhs_indices=experts, sorted_indices=True)


class Model(nn.Module):
    def __init__(self, width, layers, experts, k, vocabulary, best):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.layers = [Mixture(width, experts, k, best) for _ in range(layers)]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def training_step(sizes, best):
    """Returns a function that runs one step of Adam on a fixed batch."""
    tokens, width, layers, experts, k, vocabulary = sizes
    mx.random.seed(0)
    model = Model(width, layers, experts, k, vocabulary, best)
    optimizer = optim.Adam(learning_rate=1e-3)
    x = mx.random.randint(0, vocabulary, (tokens,))
    target = mx.random.normal((tokens, width))

    def loss(model):
        return (model(model.embed(x)) - target).square().mean()

    gradient = nn.value_and_grad(model, loss)

    def step():
        value, gradients = gradient(model)
        optimizer.update(model, gradients)
        mx.eval(value, model.parameters(), optimizer.state)
        return value.item()

    return step


def decoding_step(sizes, best):
    """Returns a function that draws one more token from the ``SAMPLED`` best."""
    _, width, layers, experts, k, vocabulary = sizes
    mx.random.seed(0)
    model = Model(width, layers, experts, k, vocabulary, best)
    token = mx.array([1])
    mx.eval(model.parameters())

    def step():
        nonlocal token
        logits = model.embed.as_linear(model(model.embed(token)))
        scores, indices = best(logits, SAMPLED)
        drawn = mx.random.categorical(scores)
        token = mx.take_along_axis(indices, drawn[:, None], axis=-1)[:, 0]
        return token.item()

    return step


STEPS = {"training step": training_step, "decoding step": decoding_step}
SIDES = {"here": best_here, "stock": best_stock}


def compare(make, sizes, steps):
    """Returns the median milliseconds of a step here and with stock's functions."""
    sides = {name: make(sizes, best) for name, best in SIDES.items()}
    warm = {name: [step() for _ in range(WARM_UP)] for name, step in sides.items()}
    if make is training_step:
        here, stock = warm["here"][0], warm["stock"][0]
        assert abs(here - stock) <= 1e-3 * abs(stock), f"losses: {here}, {stock}"
    times = {name: [] for name in sides}
    for _ in range(steps):
        for name, step in sides.items():
            begin = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - begin)
    return {name: 1e3 * statistics.median(t) for name, t in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--json", help="the file to write the times to")
    options = parser.parse_args()
    device = getattr(mx, options.device)
    if not mx.is_available(device):
        raise SystemExit("There is no GPU here: nothing was timed.")
    mx.set_default_device(device)
    sizes = SIZES[options.device]
    print("tokens {}, width {}, layers {}, experts {}, k {}, words {}".format(*sizes))
    print("| milliseconds, median | here | stock | ratio |\n|---|---|---|---|")
    results = {}
    for name, make in STEPS.items():
        results[name] = times = compare(make, sizes, options.steps)
        here, stock = times["here"], times["stock"]
        print(f"| {name} | {here:.2f} | {stock:.2f} | {stock / here:.2f} |", flush=True)
    if options.json:
        record = {**machine.describe(), "device": options.device, "sizes": sizes}
        record["milliseconds"] = results
        pathlib.Path(options.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
