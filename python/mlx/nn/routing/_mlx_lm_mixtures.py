"""The classes of mlx-lm that choose experts and run them, as forms.

``_mlx_lm_gates.py`` explains the names.
"""

import dataclasses

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.routing._gate_forms import (
    Choice,
    Gate,
    Mixture,
    gated_shared_expert,
    layer,
    shared_layer,
)
from mlx.nn.routing._mlx_lm_gates import CHOSEN_SOFTMAX, ROUNDED_SOFTMAX

# The same, renormalised, with the best expert last, as in Qwen3.
_QWEN3 = dataclasses.replace(
    ROUNDED_SOFTMAX, renormalize=".norm_topk_prob", ascending=True
)


def _clamped_quotient(module, indices, weights):
    """Divides the weights by their sum, or by 1e-12 if the sum is less (ERNIE)."""
    return weights / mx.maximum(weights.sum(axis=-1, keepdims=True), 1e-12)


def _klear_output(module, x, indices, weights):
    """Mixes the experts and the shared experts with two coefficients per token."""
    routed = (module.experts(x, indices) * weights[..., None]).sum(axis=-2)
    parts = mx.softmax(module.coefficient(x), axis=-1, precise=True)
    return routed * parts[..., :1] + module.shared_experts(x) * parts[..., 1:]


def _llama4_output(module, x, indices, weights):
    """Scales the input of the one expert, not its output."""
    routed = module.experts(x * weights, indices).squeeze(2)
    return routed + module.shared_expert(x)


def _kimi_k3_output(module, x, indices, weights):
    """Runs the experts on a projection of the input, which may have fewer entries."""
    group, latent = module.sharding_group, module.latent_size is not None
    inputs = module.routed_expert_down_proj(x) if latent else x
    y = (module.switch_mlp(inputs, indices) * weights[..., None]).sum(axis=-2)
    shared = None if module.shared_experts is None else module.shared_experts(x)
    if group is not None:
        # One sum over processes for what both parts need.
        parts = [y] if shared is None else [y, shared]
        total = mx.distributed.all_sum(mx.concatenate(parts, axis=-1), group=group)
        size = y.shape[-1]
        y = total[..., :size]
        shared = None if shared is None else total[..., size:]
    if module.routed_expert_norm is not None:
        y = module.routed_expert_norm(y)
    if latent:
        y = module.routed_expert_up_proj(y)
    return y if shared is None else y + shared


_SHARED_EXPERTS = shared_layer("shared_experts")

# The choice of Kimi's and of MiniMax's models, from which some differ in a setting.
_KIMI = Choice(
    k=".args.num_experts_per_token",
    score="sigmoid",
    bias=".e_score_correction_bias",
    groups=".args.num_expert_group",
    topk_groups=".args.topk_group",
    renormalize=".args.moe_renormalize",
    renormalize_one=False,
    eps=1e-20,
    scale=".args.routed_scaling_factor",
)
_MINIMAX = Choice(
    k=".num_experts_per_tok",
    score="sigmoid",
    bias=".e_score_correction_bias",
    renormalize=True,
    eps=1e-20,
)

# Mixtures that choose and run the experts.
MIXTURES = {
    "Klear.KlearSparseMoeBlock": Mixture(
        Gate(
            layer("gate"),
            Choice(
                k=".top_k",
                score="sigmoid",
                bias=".expert_bias",
                renormalize=".norm_topk_prob",
            ),
            weights_like="input",
        ),
        experts="experts",
        combine=_klear_output,
    ),
    "afmoe.AfmoeMoE": Mixture(
        Gate(
            layer("router"),
            Choice(
                k=".num_experts_per_tok",
                score=lambda m: "sigmoid" if m.score_func == "sigmoid" else "softmax",
                bias=".expert_bias",
                groups=".n_group",
                topk_groups=".topk_group",
                renormalize=".route_norm",
                renormalize_one=False,
                scale=".route_scale",
            ),
        ),
        experts="experts",
        like_experts=True,
        shared=_SHARED_EXPERTS,
    ),
    "ernie4_5_moe.Ernie4_5_MoeMLP": Mixture(
        Gate(
            layer("gate"),
            Choice(
                k=".k",
                score=lambda m: (
                    "softmax" if isinstance(m.gate_act, nn.Softmax) else "sigmoid"
                ),
            ),
            finish=_clamped_quotient,
        ),
        like_experts=True,
        shared=_SHARED_EXPERTS,
    ),
    "gpt_oss.MLPBlock": Mixture(
        Gate(layer("router"), dataclasses.replace(CHOSEN_SOFTMAX, ascending=True)),
        experts="experts",
    ),
    "hunyuan.MoeBlock": Mixture(
        Gate(
            layer("gate"),
            ROUNDED_SOFTMAX,
            finish=lambda module, indices, weights: weights.astype(mx.float32),
        ),
        like_experts=True,
        shared=shared_layer("shared_mlp"),
    ),
    "jamba.JambaSparseMoeBlock": Mixture(Gate(layer("router"), CHOSEN_SOFTMAX)),
    "kimi_k3.KimiK3SparseMoE": Mixture(
        Gate(
            layer("gate"),
            _KIMI,
            weights_like="logits",
        ),
        combine=_kimi_k3_output,
    ),
    "kimi_linear.KimiSparseMoE": Mixture(
        Gate(
            layer("gate"),
            dataclasses.replace(
                _KIMI, score=".args.moe_router_activation_func", cast=False
            ),
        ),
        shared=_SHARED_EXPERTS,
    ),
    "lfm2_moe.Lfm2MoeSparseMoeBlock": Mixture(
        Gate(
            layer("gate"),
            Choice(
                k=".top_k",
                score="sigmoid",
                bias=lambda m: m.expert_bias if m.use_expert_bias else None,
                renormalize=".norm_topk_prob",
                eps=1e-6,
                scale=".routed_scaling_factor",
                ascending=True,
                cast=False,
                scores_of=mx.sigmoid,
            ),
            weights_like="input",
        ),
    ),
    "llama4.MoE": Mixture(
        Gate(
            layer("router"),
            Choice(k=".top_k", score="logits", cast=False),
            weights_like="input",
            finish=lambda module, indices, weights: mx.sigmoid(
                weights.astype(mx.float32)
            ),
        ),
        experts="experts",
        combine=_llama4_output,
    ),
    "mellum.MellumSparseMoeBlock": Mixture(Gate(layer("gate"), _QWEN3)),
    "minimax.MiniMaxSparseMoeBlock": Mixture(
        Gate(
            lambda module, x: module.gate(x.astype(mx.float32)),
            _MINIMAX,
            weights_like="input",
        ),
    ),
    "minimax_m3_vl.SparseMoeBlock": Mixture(
        Gate(
            layer("gate"),
            dataclasses.replace(_MINIMAX, scale=".routed_scaling_factor"),
            weights_like="input",
        ),
        shared=_SHARED_EXPERTS,
        flat=True,
    ),
    "mistral4.Mistral4MoE": Mixture(
        Gate(
            layer("gate"),
            Choice(
                k=".num_experts_per_tok",
                groups=".args.n_group",
                topk_groups=".args.topk_group",
                renormalize=".args.norm_topk_prob",
                eps=1e-20,
                scale=".args.routed_scaling_factor",
            ),
        ),
        like_experts=True,
        shared=_SHARED_EXPERTS,
    ),
    "mixtral.MixtralSparseMoeBlock": Mixture(Gate(layer("gate"), CHOSEN_SOFTMAX)),
    "olmoe.OlmoeSparseMoeBlock": Mixture(
        Gate(
            layer("gate"),
            dataclasses.replace(ROUNDED_SOFTMAX, renormalize=".norm_topk_prob"),
        ),
        flat=True,
    ),
    "phixtral.MOE": Mixture(Gate(layer("gate"), CHOSEN_SOFTMAX)),
    "qwen2_moe.Qwen2MoeSparseMoeBlock": Mixture(
        Gate(layer("gate"), ROUNDED_SOFTMAX), shared=gated_shared_expert
    ),
    "qwen3_moe.Qwen3MoeSparseMoeBlock": Mixture(
        Gate(layer("gate"), _QWEN3), like_experts=True
    ),
    "qwen3_next.Qwen3NextSparseMoeBlock": Mixture(
        Gate(layer("gate"), _QWEN3), shared=gated_shared_expert
    ),
}
