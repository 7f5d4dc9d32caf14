"""Builds small mixtures of experts of mlx-lm's model types, with random weights.

examples/finetune_moe.py and benchmarks/mlx_lm_client.py use this.
"""

import importlib

import mlx.nn as nn


def small_mixture(
    model_type: str,
    *,
    vocabulary: int,
    hidden: int,
    layers: int,
    experts: int,
    experts_per_token: int,
    **fields,
) -> nn.Module:
    """Returns a model of ``model_type`` with four attention heads.

    Args:
        model_type: ``"mixtral"``, ``"qwen3_moe"`` or another type whose configuration
            has the fields below.
        vocabulary: The number of tokens.
        hidden: The size of a token's hidden state.
        layers: The number of layers.
        experts: The number of experts in each layer.
        experts_per_token: How many of them a token is sent to.
        fields: Further fields of the model type's configuration.
    """
    module = importlib.import_module(f"mlx_lm.models.{model_type}")
    config = {
        "model_type": model_type,
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        # Model types have one of these two names. from_dict ignores the other.
        "num_experts": experts,
        "num_local_experts": experts,
        "num_experts_per_tok": experts_per_token,
        "intermediate_size": 128,
        **fields,
    }
    return module.Model(module.ModelArgs.from_dict(config))
