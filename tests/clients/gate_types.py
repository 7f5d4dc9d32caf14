"""Compares a training step with and without ``routing.patch_gates``, bit for bit.

Prints a JSON object for each model type of the installed mlx-lm: the classes of the
gates that were changed, the modules that were left, and the names of the results that
differ, among the loss, the gradients and the parameters after the step.
"""

import argparse
import json

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from generate_types import drawn
from mlx.nn import routing
from mlx.utils import tree_flatten, tree_map
from train_types import TOKENS, loss_of, model_modules

from small_configs import build

# More experts than the other tests use, so that a choice has more to choose from, and
# parts that are missing by default.
SIZES = {
    **dict.fromkeys(
        ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 16
    ),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk"), 4),
    **dict.fromkeys(("moe_k", "top_k_experts", "n_group", "num_expert_group"), 4),
    "topk_group": 2,
    "zero_expert_num": 4,
    "moe_num_shared_experts": 1,
    "use_mixed_mlp_moe": True,
    "moe_router_enable_expert_bias": True,
}


def bits(a):
    """Returns the bytes of an array, with its shape and type. All NaNs are alike."""
    if mx.issubdtype(a.dtype, mx.floating):
        a = mx.where(mx.isnan(a), mx.array(mx.nan, a.dtype), a)
    flat = a.view(mx.uint8) if a.ndim else a[None].view(mx.uint8)
    return str(a.dtype), a.shape, np.array(flat).tobytes()


def made(name, module, seed):
    """Returns a model whose weights depend on the seed alone."""
    mx.random.seed(seed)
    model = build(module, name, SIZES)
    model.update(tree_map(drawn, model.parameters()))
    mx.eval(model.parameters())
    return model


def step(model):
    """Takes a training step and returns all that it computed, by name."""
    optimizer = optim.SGD(learning_rate=0.1)
    model.train()
    value, gradients = nn.value_and_grad(model, loss_of)(model, TOKENS)
    optimizer.update(model, gradients)
    found = {"loss": bits(value)}
    for kind, tree in (("gradient", gradients), ("parameter", model.parameters())):
        found |= {f"{kind} {path}": bits(a) for path, a in tree_flatten(tree)}
    return found


def compared(name, module, seed):
    result = {"name": name, "seed": seed, "changed": [], "unchanged": [], "error": None}
    try:
        patched = made(name, module, seed)
        gates = routing.patch_gates(patched)
        result["changed"] = sorted({kind for _, kind in gates.changed})
        result["unchanged"] = sorted({tuple(row[1:]) for row in gates.unchanged})
        if gates.changed:
            ours, theirs = step(patched), step(made(name, module, seed))
            assert ours.keys() == theirs.keys()
            result["results"] = len(ours)
            result["differ"] = [key for key in ours if ours[key] != theirs[key]]
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}"
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    mx.set_default_device(mx.cpu)
    for name, module in model_modules():
        for seed in options.seeds:
            if not options.only or name in options.only:
                print(json.dumps(compared(name, module, seed)), flush=True)


if __name__ == "__main__":
    main()
