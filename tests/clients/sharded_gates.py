"""Takes a training step of a sharded model, with and without patched gates.

Each process of the group runs this for the model types that are named. It prints a
JSON object: for each type, how many gates were changed and which results differ.
"""

import json
import sys

import mlx.core as mx
from gate_types import made, step
from mlx.nn import routing
from train_types import model_modules


def main():
    mx.set_default_device(mx.cpu)
    group = mx.distributed.init(strict=True, backend="ring")
    found = {}
    for name, module in model_modules():
        if name not in sys.argv[1:]:
            continue
        patched, plain = made(name, module, 0), made(name, module, 0)
        # One model is patched before it is sharded, as a user might do.
        changed = routing.patch_gates(patched).changed
        for model in (patched, plain):
            model.shard(group)
        ours, theirs = step(patched), step(plain)
        differ = [key for key in ours if ours[key] != theirs[key]]
        found[name] = [group.size(), len(changed), len(ours), differ]
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
