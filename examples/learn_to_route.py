"""Compares nine ways of giving the gate of a mixture of experts a gradient.

Each of scikit-learn's digits is shown in the eight positions that turning and
flipping a square gives. Each of eight small experts is trained on one position, then
frozen. A gate, a perceptron with one hidden layer, has to learn which expert fits an
image. The accuracy is the share of images whose digit the mixture recognises.

An *arm* is one way of giving the gate a gradient. All seeds and learning rates of an
arm train at once, as a batch of gates. The validation split chooses the learning rate,
and the reported accuracy is that on the test split.
"""

import argparse
import json
import pathlib
import time

import matplotlib
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.nn import routing
from sklearn.datasets import load_digits
from tqdm import tqdm

POSITIONS, CLASSES, BATCH = 8, 10, 128
RATES = (1e-3, 3e-3, 1e-2)


# ---- data and experts --------------------------------------------------------


def digits():
    """Returns images of shape ``(count, 8, 64)`` and labels, by name of the split."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = data.images[order].astype(np.float32) / 16
    turned = [np.rot90(images, turn, (1, 2)) for turn in range(4)]
    turned += [np.flip(image, 2) for image in turned]
    x = np.stack(turned, 1).reshape(len(images), POSITIONS, 64)
    y = data.target[order]
    bounds = {"train": (0, 1000), "validation": (1000, 1350), "test": (1350, None)}
    return {
        name: (mx.array(x[a:b]), mx.array(y[a:b])) for name, (a, b) in bounds.items()
    }


def perceptrons(count, hidden, outputs, key):
    """Returns the parameters of ``count`` perceptrons with one hidden layer."""
    keys = mx.random.split(key)
    return {
        "first": mx.random.normal((count, 64, hidden), key=keys[0]) * 64**-0.5,
        "bias": mx.zeros((count, 1, hidden)),
        "second": mx.random.normal((count, hidden, outputs), key=keys[1]) * 0.05,
    }


def outputs_of(parameters, x):
    h = mx.maximum(x @ parameters["first"] + parameters["bias"], 0)
    return h @ parameters["second"]


def cross_entropy(logits, labels):
    return nn.losses.cross_entropy(logits, labels, reduction="none").mean(-1).sum()


def train_experts(x, y, steps):
    """Trains expert ``i`` on position ``i`` only."""
    parameters = perceptrons(POSITIONS, 64, CLASSES, mx.random.key(1))
    optimizer = optim.Adam(learning_rate=3e-3)
    by_position = mx.swapaxes(x, 0, 1)

    @mx.compile
    def gradient(parameters, rows):
        labels = mx.broadcast_to(y[rows], (POSITIONS, len(rows)))
        loss = lambda p: cross_entropy(outputs_of(p, by_position[:, rows]), labels)  # noqa: E731
        return mx.grad(loss)(parameters)

    for step in range(steps):
        rows = mx.random.randint(0, len(y), (128,), key=mx.random.key(1000 + step))
        parameters = optimizer.apply_gradients(gradient(parameters, rows), parameters)
        mx.eval(parameters, optimizer.state)
    return parameters


def rows_of(experts, x, y):
    """Returns a row for each image and position.

    ``every`` holds the outputs of all experts. They are computed once, since the
    experts are frozen.
    """
    inputs = x.reshape(-1, 64)
    every = mx.swapaxes(outputs_of(experts, inputs), 0, 1)
    labels = mx.repeat(y, POSITIONS)
    positions = mx.broadcast_to(mx.arange(POSITIONS), x.shape[:2]).reshape(-1)
    mx.eval(every)
    return {"x": inputs, "every": every, "y": labels, "position": positions}


# ---- the arms ----------------------------------------------------------------
#
# An arm takes the gate's logits ``z``, the outputs of every expert and ``k``, and
# returns the output of the mixture.


def chosen_of(z, every, k):
    """Returns probabilities, and the indices, weights and outputs of k experts."""
    p = mx.softmax(z, axis=-1)
    indices = mx.topk(z, k, return_indices=True).indices
    weights = mx.take_along_axis(p, indices, axis=-1)
    outputs = mx.take_along_axis(every, indices[..., None], axis=-2)
    return p, indices, weights, outputs


def weighted_sum(weights, outputs):
    return (weights[..., None] * outputs).sum(axis=-2)


def no_gradient(z, every, k):
    return chosen_of(z, every, k)[-1].sum(axis=-2)


def wrong_sign(z, every, k):
    """Straight-through with a sign error: the weights have the value -1.

    This is a form that MLX's users have discussed. docs/gradients.md describes it.
    """
    _, _, w, outputs = chosen_of(z, every, k)
    return weighted_sum(w - mx.stop_gradient(w + 1), outputs)


def straight_through(z, every, k):
    _, _, w, outputs = chosen_of(z, every, k)
    return weighted_sum(routing.straight_through(mx.ones_like(w), w), outputs)


def renormalised(z, every, k):
    """Divides the weights by their sum."""
    _, _, w, outputs = chosen_of(z, every, k)
    return weighted_sum(w / w.sum(axis=-1, keepdims=True), outputs)


def renormalised_dense(z, every, k):
    p, indices, w, _ = chosen_of(z, every, k)
    w = w / w.sum(axis=-1, keepdims=True)
    return routing.dense_router(p, indices, every, w)


def renormalised_soft(z, every, k):
    p, indices, w, _ = chosen_of(z, every, k)
    hard = mx.any(indices[..., None] == mx.arange(POSITIONS), axis=-2)
    relaxed = p * routing.straight_through(hard, routing.soft_topk(z, k))
    relaxed = relaxed / relaxed.sum(axis=-1, keepdims=True)
    w = w / w.sum(axis=-1, keepdims=True)
    return routing.dense_router(relaxed, indices, every, w)


def weighted(z, every, k):
    """Multiplies each output by its gate weight."""
    _, _, w, outputs = chosen_of(z, every, k)
    return weighted_sum(w, outputs)


def weighted_dense(z, every, k):
    p, indices, _, _ = chosen_of(z, every, k)
    return routing.dense_router(p, indices, every)


def all_experts(z, every, k):
    return weighted_sum(mx.softmax(z, axis=-1), every)


ARMS = {
    "no gate gradient": no_gradient,
    "straight-through, wrong sign": wrong_sign,
    "straight-through": straight_through,
    "renormalised": renormalised,
    "renormalised + dense_router": renormalised_dense,
    "renormalised + soft_topk": renormalised_soft,
    "y * gw": weighted,
    "y * gw + dense_router": weighted_dense,
    "all experts, softmax": all_experts,
}
# The arms that also start from a pretrained gate, with k = 2.
PRETRAINED = ["renormalised", "renormalised + dense_router", "y * gw + dense_router"]


# ---- training ----------------------------------------------------------------


def batches(data, seeds, step):
    """Draws the rows of a batch for each gate.

    They depend on the seed, but not on the learning rate or the arm.
    """
    keys = mx.random.split(mx.random.key(10_000 + step), seeds)
    draw = mx.vmap(lambda key: mx.random.randint(0, len(data["y"]), (BATCH,), key=key))
    return mx.concatenate([draw(keys)] * len(RATES))


def fresh_gates(seeds):
    """Returns a gate for each learning rate and seed, in this order."""
    gates = perceptrons(seeds, 32, POSITIONS, mx.random.key(2))
    return {name: mx.concatenate([a] * len(RATES)) for name, a in gates.items()}


def train_gates(loss, gates, data, steps, seeds, report=None):
    """Trains a batch of gates, and calls ``report`` five times and at the end."""
    rates = mx.repeat(mx.array(RATES), seeds)[:, None, None]
    optimizer = optim.Adam(learning_rate=rates)
    gradient = mx.compile(mx.grad(loss))
    for step in range(steps):
        if report and step % max(steps // 5, 1) == 0:
            report(gates)
        rows = batches(data, seeds, step)
        batch = {name: a[rows] for name, a in data.items()}
        gates = optimizer.apply_gradients(gradient(gates, batch), gates)
        mx.eval(gates, optimizer.state)
    if report:
        report(gates)
    return gates


def accuracy(arm, k, gates, data):
    """Returns the accuracy of each gate, by learning rate and seed."""
    z = outputs_of(gates, data["x"])
    every = mx.broadcast_to(data["every"], (*z.shape, CLASSES))
    right = arm(z, every, k).argmax(axis=-1) == data["y"]
    return np.array(right.mean(axis=-1)).reshape(len(RATES), -1)


def run_arm(arm, k, gates, splits, steps, seeds):
    """Trains the gates of one arm, and evaluates the best learning rate.

    Returns that rate, the test accuracies of each seed during training, and the share
    of each position's images whose first choice is each expert.
    """
    curve = []

    def loss(gates, batch):
        z = outputs_of(gates, batch["x"])
        return cross_entropy(arm(z, batch["every"], k), batch["y"])

    gates = train_gates(
        loss,
        gates,
        splits["train"],
        steps,
        seeds,
        lambda g: curve.append(accuracy(arm, k, g, splits["test"])),
    )
    best = int(accuracy(arm, k, gates, splits["validation"]).mean(axis=1).argmax())
    first = mx.argmax(outputs_of(gates, splits["test"]["x"]), axis=-1)
    first = np.array(first).reshape(len(RATES), seeds, -1)[best]
    confusion = np.zeros((POSITIONS, POSITIONS))
    position = np.broadcast_to(np.array(splits["test"]["position"]), first.shape)
    np.add.at(confusion, (position.ravel(), first.ravel()), 1)
    return {
        "rate": RATES[best],
        "curve": np.array(curve)[:, best].tolist(),
        "confusion": (confusion / confusion.sum(1, keepdims=True)).tolist(),
    }


def pretrained_gates(splits, steps, seeds):
    """Returns gates that were trained to predict the position."""

    def loss(gates, batch):
        return cross_entropy(outputs_of(gates, batch["x"]), batch["position"])

    gates = train_gates(loss, fresh_gates(seeds), splits["train"], steps, seeds)
    # All arms start from the gates of the middle learning rate.
    middle = {name: a[seeds : 2 * seeds] for name, a in gates.items()}
    return {name: mx.concatenate([a] * len(RATES)) for name, a in middle.items()}


def experiment(steps, seeds):
    """Runs all arms.

    ``oracle`` is the accuracy if each image gets the expert of its position.
    """
    data = digits()
    experts = train_experts(*data["train"], steps)
    splits = {name: rows_of(experts, *split) for name, split in data.items()}
    test = splits["test"]
    right = mx.take_along_axis(test["every"], test["position"][:, None, None], axis=1)
    oracle = (right.squeeze(1).argmax(-1) == test["y"]).mean().item()
    pretrained = pretrained_gates(splits, steps, seeds)
    plan = [(name, k, "fresh") for name in ARMS for k in (1, 2)]
    plan += [(name, 2, "pretrained") for name in PRETRAINED]
    results = []
    for name, k, start in (bar := tqdm(plan, unit="arm")):
        bar.set_description(f"{name}, k={k}, {start}")
        gates = pretrained if start == "pretrained" else fresh_gates(seeds)
        found = run_arm(ARMS[name], k, gates, splits, steps, seeds)
        results.append({"arm": name, "k": k, "start": start, **found})
    return {"oracle": oracle, "steps": steps, "seeds": seeds, "results": results}


# ---- table and plot ----------------------------------------------------------


def cell(result):
    """Formats the mean and the standard deviation over seeds, after training."""
    last = 100 * np.array(result["curve"][-1])
    return f"{last.mean():.1f} +- {last.std(ddof=1):.1f}"


def table(found):
    by = {(r["arm"], r["k"], r["start"]): r for r in found["results"]}
    lines = [
        "| arm | accuracy, %, k = 1 | accuracy, %, k = 2 |",
        "|---|---|---|",
    ]
    for name in ARMS:
        one, two = (cell(by[name, k, "fresh"]) for k in (1, 2))
        lines.append(f"| {name} | {one} | {two} |")
    for name in PRETRAINED:
        result = by[name, 2, "pretrained"]
        before = 100 * np.mean(result["curve"][0])
        lines.append(
            f"| {name}, pretrained gate | | {before:.1f}, then {cell(result)} |"
        )
    return "\n".join(lines)


def plot(found, path):
    """Draws accuracy over training for each k, then two tables of first choices."""
    matplotlib.use("svg")
    # Fixed ids make the file reproducible, and text kept as text makes it small.
    matplotlib.rcParams.update({"svg.hashsalt": "route", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(17, 4.2), layout="constrained")
    for axis, k in zip(axes, (1, 2), strict=False):
        for r in found["results"]:
            if r["k"] == k and r["start"] == "fresh":
                curve = 100 * np.array(r["curve"])
                steps = np.linspace(0, found["steps"], len(curve))
                (line,) = axis.plot(steps, curve.mean(1), label=r["arm"])
                low, high = curve.min(1), curve.max(1)
                axis.fill_between(steps, low, high, color=line.get_color(), alpha=0.12)
        axis.axhline(100 * found["oracle"], color="black", lw=0.8, ls=":")
        axis.set(title=f"k = {k}", xlabel="step", ylabel="test accuracy, %")
    axes[1].legend(fontsize=7, loc="lower right")
    shown = ["renormalised", "renormalised + dense_router"]
    for axis, name in zip(axes[2:], shown, strict=True):
        (r,) = (r for r in found["results"] if (r["arm"], r["k"]) == (name, 1))
        axis.imshow(np.array(r["confusion"]), vmin=0, vmax=1, cmap="Blues")
        axis.set(
            title=f"{name}, k = 1", xlabel="expert chosen first", ylabel="position"
        )
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build"))
    options = parser.parse_args()
    begin = time.perf_counter()
    found = experiment(options.steps, options.seeds)
    options.out.mkdir(parents=True, exist_ok=True)
    plot(found, options.out / "routing.svg")
    (options.out / "routing.json").write_text(json.dumps(found))
    print(table(found))
    print(
        f"{options.seeds} seeds, {options.steps} steps, "
        f"{time.perf_counter() - begin:.0f} s. With the expert of each image's "
        f"position the accuracy is {found['oracle']:.1%}."
    )


if __name__ == "__main__":
    main()
