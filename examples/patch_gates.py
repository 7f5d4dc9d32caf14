"""Swaps the gates of a mixture of mlx-lm for routing.route, and measures what changes.

The model is of mlx-lm's type qwen3_moe, with random weights. It generates greedily and
takes training steps, before the swap and after it. Tokens and losses must be the same,
bit for bit. ``make clients`` runs this. With stock MLX it measures what it has:

    PYTHONPATH=build/stock python examples/patch_gates.py
"""

import importlib.util
import sys
import time

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx_lm.generate import generate_step

from small_mixture import small_mixture

VOCABULARY, TOKENS, STEPS = 1024, 64, 5


def small_model():
    mx.random.seed(0)
    model = small_mixture(
        "qwen3_moe",
        vocabulary=VOCABULARY,
        hidden=64,
        layers=4,
        experts=64,
        experts_per_token=8,
        moe_intermediate_size=32,
        head_dim=16,
        norm_topk_prob=True,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        rms_norm_eps=1e-6,
        rope_theta=10_000.0,
        tie_word_embeddings=False,
        max_position_embeddings=512,
    )
    mx.eval(model.parameters())
    return model


def generated(model):
    """Returns the tokens, and how many the model generates in a second."""
    prompt = mx.arange(16)
    begin = time.perf_counter()
    tokens = [int(t) for t, _ in generate_step(prompt, model, max_tokens=TOKENS)]
    return tokens, TOKENS / (time.perf_counter() - begin)


def trained(model):
    """Returns the losses of training steps, and the milliseconds that a step takes."""
    batch = mx.random.randint(0, VOCABULARY, (4, 33), key=mx.random.key(1))
    optimizer = optim.SGD(learning_rate=0.1)

    def loss_of(model):
        logits = model(batch[:, :-1])
        return nn.losses.cross_entropy(logits, batch[:, 1:], reduction="mean")

    losses = []
    begin = time.perf_counter()
    for _ in range(STEPS):
        loss, gradients = nn.value_and_grad(model, loss_of)(model)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), loss)
        losses.append(loss.item())
    return losses, 1000 * (time.perf_counter() - begin) / STEPS


def measured(name, model):
    """Prints the rates, the best of three, and returns the tokens and the losses."""
    generated(model)
    runs = [generated(model) for _ in range(3)]
    rate = max(rate for _, rate in runs)
    # Training changes the model, so each repetition goes on from the one before.
    steps = [trained(model) for _ in range(3)]
    fastest = min(step for _, step in steps)
    print(f"{name}: {rate:.0f} tokens/s, {fastest:.0f} ms for a training step")
    return runs[0][0], [losses for losses, _ in steps]


def main():
    before = measured(f"mlx {mx.__version__}, mlx-lm's gates", small_model())
    if importlib.util.find_spec("mlx.nn.routing") is None:
        return
    from mlx.nn import routing

    model = small_model()
    print(routing.patch_gates(model))
    after = measured(f"mlx {mx.__version__}, routing.route", model)
    if after != before:
        sys.exit("The tokens or the losses differ.")


if __name__ == "__main__":
    main()
