"""Makes a small configuration for each model type of mlx-lm.

The fields are those of the type's dataclass of arguments. A field gets the value that
``SPECIAL`` has for it in this model type, else the size that ``SIZES`` has for its
name, else its default, else a value by its name or type.
"""

import copy
import dataclasses
import importlib

LAYERS, HEADS, HEAD, EXPERTS, CHOSEN = 2, 4, 16, 4, 2
HIDDEN = HEADS * HEAD

SIZES = {
    "vocab_size": 64,
    "vocab_size_per_layer_input": 64,
    "hidden_size_per_layer_input": 8,
    "max_position_embeddings": 128,
    "n_positions": 128,
    "n_ctx": 128,
    "block_size": 128,
    "model_max_length": 128,
    "sliding_window": 8,
    "sliding_window_size": 8,
    "attention_window_size": 8,
    "first_k_dense_replace": 0,
    "num_dense_layers": 0,
    "decoder_sparse_step": 1,
    "moe_layer_freq": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": HEAD,
    "n_group": 2,
    "num_expert_group": 2,
    "topk_group": 1,
    "state_size": 8,
    "ssm_state_size": 8,
    "time_step_rank": 4,
    "conv_kernel": 4,
    "rope_theta": 10000.0,
    "rotary_dim": 8,
    "shared_expert_intermediate_size": 32,
    "moe_shared_expert_intermediate_size": 32,
    "index_head_dim": HEAD,
    "index_n_heads": 2,
    "index_topk": 4,
    "num_nextn_predict_layers": 0,
    "partial_rotary_factor": 0.5,
}
for names, size in (
    ("num_hidden_layers num_layers n_layer n_layers num_transformer_layers", LAYERS),
    ("hidden_size n_embd d_model hidden_dim model_dim block_dim", HIDDEN),
    ("num_attention_heads num_heads n_head n_heads swa_num_attention_heads", HEADS),
    ("num_key_value_heads n_kv_heads num_kv_heads swa_num_key_value_heads", 2),
    ("num_attention_groups", 2),
    ("head_dim swa_head_dim swa_v_head_dim global_head_dim", HEAD),
    ("intermediate_size moe_intermediate_size ffn_hidden_size", 32),
    ("expert_ffn_hidden_size intermediate_size_mlp shared_intermediate_size", 32),
    ("ff_intermediate_size n_inner block_ff_dim", 32),
    ("num_experts n_routed_experts num_local_experts moe_num_experts", EXPERTS),
    ("num_experts_per_tok moe_topk moe_k num_experts_per_token top_k_experts", CHOSEN),
    ("n_shared_experts num_shared_experts num_shared_expert", 1),
    ("linear_num_key_heads", 2),
    ("linear_num_value_heads mamba_num_heads mamba_n_heads", 4),
    ("linear_key_head_dim linear_value_head_dim mamba_head_dim mamba_d_head", HEAD),
    ("mamba_d_state mamba_d_ssm", 8),
    ("a_low_rank_dim v_low_rank_dim gate_low_rank_dim decay_low_rank_dim", 8),
):
    SIZES.update(dict.fromkeys(names.split(), size))

ATTENTION = ["sliding_attention", "full_attention"]
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
YARN = {
    "rope_type": "yarn",
    "type": "yarn",
    "rope_theta": 10000.0,
    "factor": 2.0,
    "original_max_position_embeddings": 64,
    "llama_4_scaling_beta": 0.1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
SHORT_CONVOLUTION = {
    "conv_bias": False,
    "layer_types": ["conv", "full_attention"],
    "full_attn_idxs": [1],
    "block_auto_adjust_ff_dim": False,
    "block_ff_dim": 32,
}
LINEAR_ATTENTION = {
    "kda_layers": [1],
    "full_attn_layers": [2],
    "num_heads": HEADS,
    "head_dim": HEAD,
    "short_conv_kernel_size": 4,
    "gate_lower_bound": -5.0,
}

# Values of fields that have neither a default nor a size in SIZES.
STRUCTURES = {
    "layer_types": ATTENTION,
    "is_moe_layer": [True, True],
    "mlp_only_layers": [],
    "rope_parameters": {**ROPE, "full_attention": ROPE, "sliding_attention": ROPE},
    "rope_scaling": None,
    "time_step_limit": (0.001, 100.0),
    "hybrid_layer_pattern": [1, 0],
    "no_rope_layers": [1, 0],
    "linear_attn_config": LINEAR_ATTENTION,
    "cla_share_factor": 2,
    "layer_rope_theta": [10000.0, 0.0],
}

SPECIAL: dict[str, dict] = {
    "afm7": {"num_layers": 4, "num_kv_reuse_layers": 2},
    "baichuan_m1": {"sliding_window_layers": [0]},
    "cohere2": {"sliding_window_pattern": 2},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
        "ffn_config": {
            "ffn_hidden_size": 32,
            "moe_num_experts": EXPERTS,
            "moe_top_k": CHOSEN,
        },
    },
    "deepseek_v2": {"rope_scaling": YARN, "topk_method": "group_limited_greedy"},
    "exaone4": {"rope_scaling": {**YARN, "rope_type": "default"}},
    "exaone_moe": {"rope_parameters": ROPE},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_groups": 1},
    "gemma3_text": {"sliding_window_pattern": 2},
    "gemma4_text": {
        "sliding_window_pattern": 2,
        "num_kv_shared_layers": 0,
        "enable_moe_block": True,
        "head_dim": HEAD,
    },
    "gemma3n": {
        "activation_sparsity_pattern": [0.5, 0.0],
        "num_kv_shared_layers": 0,
        "altup_active_idx": 0,
        "laurel_rank": 8,
    },
    "glm_moe_dsa": {"rope_parameters": ROPE, "topk_method": "noaux_tc"},
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"],
        "mamba_n_groups": 1,
        "mamba_d_conv": 4,
        "mamba_proj_bias": False,
        "mamba_conv_bias": True,
    },
    "hunyuan": {"rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 1.0}},
    "jamba": {"layers_block_type": ["attention", "mamba"]},
    "kimi_k3": {
        "activation_situ_beta": 1.0,
        "attn_res_block_size": 2,
        "routed_expert_hidden_size": 32,
    },
    "lfm2": SHORT_CONVOLUTION,
    "lfm2_moe": SHORT_CONVOLUTION,
    "llama4": {
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 1,
        "num_hidden_layers": 4,
    },
    "longcat_flash": {
        "mla_scale_q_lora": True,
        "mla_scale_kv_lora": True,
        "zero_expert_type": "identity",
    },
    "mellum": {"rope_parameters": STRUCTURES["rope_parameters"]},
    "longcat_flash_ngram": {"mla_scale_q_lora": True, "mla_scale_kv_lora": True},
    "mimo_v2_flash": {"moe_layer_freq": [1, 1], "topk_method": "noaux_tc"},
    "minicpm3": {"rope_scaling": YARN},
    "minimax_m3_vl": {"moe_layer_freq": [1, 1], "dense_intermediate_size": 32},
    "ministral3": {"rope_parameters": YARN},
    "mistral4": {"rope_parameters": YARN},
    "muse_spark": {"moe_hidden_size": HIDDEN, "num_shared_experts": 0},
    "nemotron_h": {
        "hybrid_override_pattern": "ME*E",
        "num_hidden_layers": 4,
        "norm_topk_prob": True,
        "routed_scaling_factor": 1.0,
    },
    "nemotron-nas": {
        "block_configs": [
            {
                "attention": {"n_heads_in_group": 2},
                "ffn": {"ffn_mult": 1.0},
            }
        ]
        * LAYERS
    },
    "olmo3": {"layer_types": ATTENTION},
    "openelm": {
        "num_query_heads": [HEADS] * LAYERS,
        "num_kv_heads": [2] * LAYERS,
        "ffn_multipliers": [1.0] * LAYERS,
    },
    "phimoe": {
        "rope_scaling": {
            "type": "longrope",
            "short_factor": [1.0] * (HEAD // 2),
            "long_factor": [1.0] * (HEAD // 2),
            "short_mscale": 1.0,
            "long_mscale": 1.0,
        }
    },
    # This type writes to fixed positions of its vocabulary.
    "phi3small": {"vocab_size": 100352},
    "plamo": {"n_shared_head": 2},
    "qwen": {"kv_channels": HEAD, "intermediate_size": 64},
    "qwen3_5": {"full_attention_interval": 2},
    "qwen3_next": {"full_attention_interval": 2},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "step3p5": {
        "moe_top_k": CHOSEN,
        "share_expert_dim": 32,
        "moe_layers_enum": "0,1",
        "layer_types": ["full_attention", "sliding_attention"],
        "rope_theta": 10000.0,
    },
}

# Model types whose ``text_config`` has the arguments of another type.
TEXT = {
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
    "lfm2-vl": "lfm2",
    "mistral3": "ministral3",
    "pixtral": "llama",
    "qwen2_vl": "qwen2",
    "qwen3_5_moe": "qwen3_5",
    "qwen3_vl": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "prism_hadamard_qwen35": "qwen3_5",
    "kimi_k25": "deepseek_v3",
}
TEXT_CLASSES = ("TextArgs", "TextModelArgs", "TextConfig", "ModelArgs")


def value_for(field):
    """Returns a value for a field that has neither a default nor a size."""
    if field.name in STRUCTURES:
        return STRUCTURES[field.name]
    if field.name.endswith(("eps", "epsilon")):
        return 1e-5
    if "Optional" in str(field.type):
        return None
    for kind in (bool, int, float, str):
        if field.type in (kind, kind.__name__):
            return {bool: False, int: 2, float: 1.0, str: ""}[kind]
    raise ValueError(f"no value for {field.name}: {field.type}")


def small_config(name, arguments, sizes):
    """Returns the fields of the dataclass ``arguments`` of the model type ``name``.

    ``sizes`` replaces entries of ``SIZES``.
    """
    config = {}
    sizes = {**SIZES, **sizes}
    special = SPECIAL.get(name, {})
    for field in dataclasses.fields(arguments):
        missing = dataclasses.MISSING
        required = field.default is missing and field.default_factory is missing
        if field.name in special:
            config[field.name] = special[field.name]
        elif field.name in sizes:
            config[field.name] = sizes[field.name]
        elif field.name == "linear_attn_config":
            config[field.name] = LINEAR_ATTENTION
        elif required and field.name not in ("model_type", "text_config"):
            config[field.name] = value_for(field)
    return {**config, "model_type": name}


def text_config(module, name, sizes):
    holder = TEXT.get(name, name)
    text = importlib.import_module(f"{module.__package__}.{holder}")
    found = next(getattr(text, c) for c in TEXT_CLASSES if hasattr(text, c))
    return small_config(holder, found, sizes)


def build(module, name, sizes=()):
    """Returns a small model of the type ``name`` with random weights.

    ``sizes`` has values of fields in place of those of ``SIZES``.
    """
    sizes = dict(sizes)
    config = small_config(name, module.ModelArgs, sizes)
    if any(f.name == "text_config" for f in dataclasses.fields(module.ModelArgs)):
        config["text_config"] = text_config(module, name, sizes)
    return module.Model(module.ModelArgs.from_dict(copy.deepcopy(config)))
