"""Generates tokens with every model type of the installed mlx-lm.

Prints a JSON object for each type and seed: the tokens that mlx-lm generates greedily
from a small model with random weights, or the error. A token that is among the last
``WINDOW`` tokens is never chosen, since such a model would often repeat one token for
ever. With ``--patch-gates`` only types with gates that ``routing.patch_gates`` changes
are tried, with their gates changed.
"""

import argparse
import json

import mlx.core as mx
from mlx.utils import tree_map
from mlx_lm.generate import generate_step
from train_types import model_modules

from small_configs import build

WINDOW = 24
PROMPT = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 3]


def exclude_recent(tokens, logits):
    logits[:, tokens[-WINDOW:]] = -mx.inf
    return logits


def drawn(parameter):
    """Draws a matrix that the model type leaves constant, and keeps any other array."""
    is_matrix = parameter.ndim > 1 and mx.issubdtype(parameter.dtype, mx.floating)
    if not is_matrix or not mx.all(parameter == parameter.flatten()[0]).item():
        return parameter
    return mx.random.normal(parameter.shape, parameter.dtype) / 8


def made(name, module, seed):
    mx.random.seed(seed)
    model = build(module, name)
    model.eval()
    model.update(tree_map(drawn, model.parameters()))
    mx.eval(model.parameters())
    return model


def generate(model, steps):
    found = generate_step(
        mx.array(PROMPT), model, max_tokens=steps, logits_processors=[exclude_recent]
    )
    return [int(token) for token, _ in found]


def patched(model):
    """Patches the gates of the model and returns how many there are."""
    # Stock MLX has no such module.
    from mlx.nn import routing

    return len(routing.patch_gates(model).changed)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--skip", nargs="*", default=[])
    parser.add_argument("--patch-gates", action="store_true")
    options = parser.parse_args()
    mx.set_default_device(mx.cpu)
    for name, module in model_modules():
        if name in options.skip or (options.only and name not in options.only):
            continue
        for seed in options.seeds:
            result = {"name": name, "seed": seed, "tokens": None, "error": None}
            try:
                model = made(name, module, seed)
                if options.patch_gates and not patched(model):
                    break
                result["tokens"] = generate(model, options.steps)
            except Exception as error:
                result["error"] = f"{type(error).__name__}: {error}"
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
