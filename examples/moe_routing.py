"""Trains a switch layer that sends each token to 2 of 8 experts.

The routing is the obvious one: ``mx.argpartition`` chooses the experts,
``mx.take_along_axis`` reads their weights, and nothing calls ``mx.stop_gradient``.
The data are scikit-learn's handwritten digits. A token is one image.
"""

import sys

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from sklearn.datasets import load_digits


class SwitchLayer(nn.Module):
    """Sends each token to k experts and returns the weighted sum of their outputs."""

    def __init__(self, dims, num_experts, k):
        super().__init__()
        self.k = k
        self.gate = nn.Linear(dims, num_experts, bias=False)
        scale = dims**-0.5
        self.up = mx.random.normal((num_experts, dims, dims)) * scale
        self.down = mx.random.normal((num_experts, dims, dims)) * scale

    def __call__(self, x):
        g = mx.softmax(self.gate(x), axis=-1)
        chosen = mx.argpartition(-g, kth=self.k - 1, axis=-1)[..., : self.k]
        weights = mx.take_along_axis(g, chosen, axis=-1)
        h = nn.relu(mx.gather_mm(x[:, None, None], self.up, rhs_indices=chosen))
        y = mx.gather_mm(h, self.down, rhs_indices=chosen).squeeze(-2)
        return (y * weights[..., None]).sum(-2)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(64, 64)
        self.switch = SwitchLayer(64, num_experts=8, k=2)
        self.classify = nn.Linear(64, 10)

    def __call__(self, x):
        x = nn.relu(self.embed(x))
        return self.classify(x + self.switch(x))


def digits():
    """Returns images and labels of the training split, then of the test split."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x = mx.array(data.data[order].astype(np.float32) / 16)
    y = mx.array(data.target[order].astype(np.int32))
    return (x[:1500], y[:1500]), (x[1500:], y[1500:])


def train(steps=300, batch=128):
    mx.random.seed(0)
    (x, y), (x_test, y_test) = digits()
    model = Classifier()
    optimizer = optim.Adam(learning_rate=2e-3)

    def loss(model, x, y):
        return nn.losses.cross_entropy(model(x), y, reduction="mean")

    step = nn.value_and_grad(model, loss)
    for i in range(steps + 1):
        rows = mx.random.randint(0, len(y), (batch,))
        value, gradients = step(model, x[rows], y[rows])
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state)
        if i == 0:
            print(f"mlx {mx.__version__} trains the switch layer:")
            print("step    loss  test accuracy  norm of the gate's gradient")
        if i % 50 == 0:
            norm = mx.linalg.norm(gradients["switch"]["gate"]["weight"])
            accuracy = (model(x_test).argmax(-1) == y_test).mean()
            print(
                f"{i:4d}  {value.item():6.3f}  {accuracy.item():13.1%}  "
                f"{norm.item():27.4f}"
            )


if __name__ == "__main__":
    try:
        train()
    except ValueError as error:
        print(f"mlx {mx.__version__} stops at the first training step: {error}")
        sys.exit(1)
