"""Fine-tunes a small mixture of experts with mlx-lm's trainer, then generates text.

The model is of mlx-lm's type qwen3_moe, with random weights. The text is the
descriptions that scikit-learn ships with its data sets, and the tokenizer is trained
on that text. LoRA adapts attention, experts and the router. ``mx.stop_gradient`` is
replaced by a function that returns integers unchanged, so that nothing in mlx-lm
keeps gradients away from the chosen indices. ``make clients`` runs this.
"""

import pathlib
import sys
import tempfile

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
import sklearn.datasets
import tokenizers
from mlx.utils import tree_flatten
from mlx_lm.generate import stream_generate
from mlx_lm.sample_utils import make_sampler
from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.tuner.datasets import CacheDataset, TextDataset
from mlx_lm.tuner.trainer import TrainingArgs, TrainingCallback, train
from mlx_lm.tuner.utils import linear_to_lora_layers
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from small_mixture import small_mixture

VOCABULARY, STEPS = 288, 200
ADAPTED = [
    "model.embed_tokens",
    "lm_head",
    "self_attn.q_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate",
    "mlp.switch_mlp.gate_proj",
    "mlp.switch_mlp.up_proj",
    "mlp.switch_mlp.down_proj",
]


def pass_integers_through():
    """Makes ``mx.stop_gradient`` the identity for integer arrays."""
    original = mx.stop_gradient
    mx.stop_gradient = lambda a, **kwargs: (
        a if mx.issubdtype(a.dtype, mx.integer) else original(a, **kwargs)
    )


def paragraphs():
    """Returns scikit-learn's descriptions of data sets in parts of 120 characters."""
    folder = pathlib.Path(sklearn.datasets.__file__).parent / "descr"
    text = "\n".join(file.read_text() for file in sorted(folder.glob("*.rst")))
    return [text[i : i + 120] for i in range(0, len(text) - 120, 120)]


def tokenizer_of(texts):
    """Trains a byte-level BPE tokenizer on ``texts``."""
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return TokenizerWrapper(
        PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
    )


def model_to_tune():
    """Makes a model of two layers, each of eight experts; a token is sent to two."""
    return small_mixture(
        "qwen3_moe",
        vocabulary=VOCABULARY,
        hidden=64,
        layers=2,
        experts=8,
        experts_per_token=2,
        moe_intermediate_size=64,
        head_dim=16,
        norm_topk_prob=True,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        tie_word_embeddings=False,
        max_position_embeddings=512,
    )


class Losses(TrainingCallback):
    """Keeps the losses on held-out text."""

    def __init__(self):
        self.validation = []

    def on_train_loss_report(self, train_info):
        pass

    def on_val_loss_report(self, val_info):
        self.validation.append(float(val_info["val_loss"]))


def router_weights(model):
    """Returns the weight of each layer's router, with its LoRA adapter added."""
    return [layer.mlp.gate.fuse().weight for layer in model.layers]


def finetune(model, tokenizer, texts):
    """Trains the model with LoRA.

    Returns the losses on held-out text, and for each router the norm of its change
    divided by the norm of its weight before training.
    """
    model.freeze()
    config = {"rank": 16, "scale": 1.0, "dropout": 0.0, "keys": ADAPTED}
    linear_to_lora_layers(model, len(model.layers), config)
    before = router_weights(model)
    rows = [{"text": text} for text in texts]
    held_out = len(rows) // 10
    data = [
        CacheDataset(TextDataset(part, tokenizer))
        for part in (rows[held_out:], rows[:held_out])
    ]
    losses = Losses()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArgs(
            batch_size=8,
            iters=STEPS,
            val_batches=-1,
            steps_per_report=50,
            steps_per_eval=100,
            max_seq_length=129,
            adapter_file=f"{folder}/adapters.safetensors",
        )
        optimizer = optim.Adam(learning_rate=3e-3)
        train(model, optimizer, *data, arguments, training_callback=losses)
    moved = [
        (mx.linalg.norm(new - old) / mx.linalg.norm(old)).item()
        for old, new in zip(before, router_weights(model), strict=True)
    ]
    return losses.validation, moved


def main():
    mx.random.seed(0)
    # mlx-lm draws its batches from NumPy's global generator.
    np.random.seed(0)
    pass_integers_through()
    texts = paragraphs()
    tokenizer = tokenizer_of(texts)
    model = model_to_tune()
    losses, moved = finetune(model, tokenizer, texts)
    count = sum(a.size for _, a in tree_flatten(model.trainable_parameters()))
    print(f"\nmlx {mx.__version__}, {count:,} trained parameters")
    print("loss on held-out text:", " -> ".join(f"{loss:.3f}" for loss in losses))
    print(
        "change of the routers' weights, relative to their norm:",
        ", ".join(f"{m:.0%}" for m in moved),
    )
    sampler = make_sampler(temp=0.7, top_k=40, top_p=0.95, min_p=0.02)
    prompt = "The data set"
    written = [
        response.text
        for response in stream_generate(
            model, tokenizer, prompt, max_tokens=60, sampler=sampler
        )
    ]
    print("generated with top-k, top-p and min-p:", repr(prompt + "".join(written)))
    if not (losses[-1] < 0.8 * losses[0] and min(moved) > 0.01 and written):
        sys.exit(
            "The loss fell by less than a fifth, a router changed by less than 1%, or "
            "no text was generated."
        )


if __name__ == "__main__":
    main()
