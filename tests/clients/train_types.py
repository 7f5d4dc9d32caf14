"""Takes a training step with every model type of the installed mlx-lm.

Prints a JSON object for each: its name, whether it has experts, and its error.
``--no-stop-gradient`` makes ``mx.stop_gradient`` the identity for integer arrays.
"""

import argparse
import importlib
import json
import pkgutil

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import mlx_lm.models
from mlx.utils import tree_flatten
from mlx_lm.models import switch_layers

from small_configs import build

TOKENS = mx.array([[3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 3]])


def pass_integers_through():
    original = mx.stop_gradient

    def stop_gradient(a, *, stream=None):
        if mx.issubdtype(a.dtype, mx.integer):
            return a
        return original(a, stream=stream)

    mx.stop_gradient = stop_gradient


def model_modules():
    """Yields the name and the module of each model type that can be imported."""
    for info in sorted(pkgutil.iter_modules(mlx_lm.models.__path__), key=str):
        try:
            module = importlib.import_module(f"mlx_lm.models.{info.name}")
        except SystemExit:
            # The module exits because a package that it needs is not installed.
            continue
        if hasattr(module, "Model") and hasattr(module, "ModelArgs"):
            yield info.name, module


def loss_of(model, tokens):
    logits = model(tokens[:, :-1])
    logits = getattr(logits, "logits", logits)
    return nn.losses.cross_entropy(logits, tokens[:, 1:], reduction="mean")


def train(model):
    """Takes one step; the loss must be finite and some parameter must change."""
    optimizer = optim.SGD(learning_rate=0.1)
    model.train()
    before = dict(tree_flatten(model.trainable_parameters()))
    value, gradients = nn.value_and_grad(model, loss_of)(model, TOKENS)
    optimizer.update(model, gradients)
    mx.eval(model.parameters(), value)
    after = dict(tree_flatten(model.trainable_parameters()))
    assert mx.isfinite(value).item(), "the loss is not a number"
    moved = [name for name in after if not mx.array_equal(before[name], after[name])]
    assert moved, "no parameter moved"
    return moved


def attempt(name, module):
    mx.random.seed(0)
    result = {"name": name, "experts": False, "built": False, "error": None}
    try:
        model = build(module, name)
        size = sum(array.nbytes for _, array in tree_flatten(model.parameters()))
        assert size < 2**26, f"not small: {size:,} bytes"
        mx.eval(model.parameters())
        result["built"] = True
        result["experts"] = any(
            isinstance(m, switch_layers.SwitchLinear) for m in model.modules()
        )
        train(model)
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}"
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-stop-gradient", action="store_true")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--skip", nargs="*", default=[])
    options = parser.parse_args()
    if options.no_stop_gradient:
        pass_integers_through()
    for name, module in model_modules():
        if name not in options.skip and (not options.only or name in options.only):
            print(json.dumps(attempt(name, module)), flush=True)


if __name__ == "__main__":
    main()
