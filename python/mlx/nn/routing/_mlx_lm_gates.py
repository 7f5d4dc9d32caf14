"""The classes of mlx-lm that return the chosen experts and their weights, as forms.

A class is named by its file in ``mlx_lm.models`` and its name. ``FINGERPRINTS`` in
``_mlx_lm_sources.py`` says which source text of a class the form describes.
"""

import dataclasses
import functools

import mlx.core as mx
from mlx.nn.routing._gate_forms import (
    Choice,
    Gate,
    float_matrix,
    layer,
    matrix,
)

_precise_softmax = functools.partial(mx.softmax, axis=-1, precise=True)


# ---- Choices that several classes share ---------------------------------------

# Sigmoid scores with a bias and groups, as in DeepSeek-V3.
_DEEPSEEK_V3 = Choice(
    k=".top_k",
    score="sigmoid",
    bias=".e_score_correction_bias",
    groups=".n_group",
    topk_groups=".topk_group",
    renormalize=".norm_topk_prob",
    renormalize_one=False,
    scale=".routed_scaling_factor",
)
_DEEPSEEK_V3_EPS = dataclasses.replace(_DEEPSEEK_V3, eps=1e-20)

# The same with scores that the configuration names.
_BAILING = dataclasses.replace(
    _DEEPSEEK_V3,
    score=lambda m: "sigmoid" if m.score_function == "sigmoid" else "softmax",
    bias=".expert_bias",
)

# Softmax scores of the type of the logits, not renormalised, as in Qwen2.
ROUNDED_SOFTMAX = Choice(k=".top_k", cast=False, scores_of=_precise_softmax)

# The softmax of the chosen logits, as in Mixtral.
CHOSEN_SOFTMAX = Choice(
    k=".num_experts_per_tok", score="logits", renormalize=True, cast=False
)


# ---- What single classes do in another way -------------------------------------


def _gemma_logits(module, x):
    scale = module.scale * module._root_size
    return module.proj(mx.fast.rms_norm(x, scale, module.eps))


def _gemma_weights(module, indices, weights):
    """Computes the softmax of the chosen logits, scaled by a factor per expert."""
    return mx.softmax(weights, axis=-1) * module.per_expert_scale[indices]


def _laguna_logits(module, x):
    """Computes the logits, limited to a range by tanh if the model has a limit."""
    logits = module.proj(x).astype(mx.float32)
    limit = module.softcap
    return mx.tanh(logits / limit) * limit if limit > 0 else logits


def _deepseek_v41_score(module):
    named = module.score_func in ("sigmoid", "softmax")
    return module.score_func if named else "sqrtsoftplus"


def _deepseek_v2_groups(name):
    """Returns a function that reads a setting of groups, or 1 if there are none."""
    return lambda module: (
        getattr(module, name) if module.topk_method == "group_limited_greedy" else 1
    )


# ---- The table ------------------------------------------------------------------

_DEEPSEEK_V3_GATE = Gate(matrix, _DEEPSEEK_V3)
_DEEPSEEK_V3_EPS_GATE = Gate(matrix, _DEEPSEEK_V3_EPS)

# Gates that return indices and weights.
GATES = {
    "bailing_hybrid.Gate": Gate(
        layer("gate_proj"),
        dataclasses.replace(_BAILING, excluded_score=-mx.inf, eps=1e-20),
        weights_like="logits",
    ),
    "bailing_moe.BailingMoeGate": Gate(
        layer("gate_proj"),
        dataclasses.replace(_BAILING, ascending=True, eps=1e-20),
        weights_like="logits",
    ),
    "bailing_moe_linear.Gate": Gate(
        layer("gate_proj"), _BAILING, weights_like="logits"
    ),
    "bailing_moe_v3.BailingGate": Gate(
        float_matrix,
        dataclasses.replace(
            _DEEPSEEK_V3_EPS,
            bias=".expert_bias",
            excluded_score=-mx.inf,
            renormalize=True,
            renormalize_one=True,
        ),
    ),
    "deepseek.MoEGate": Gate(matrix, ROUNDED_SOFTMAX),
    "deepseek_v2.MoEGate": Gate(
        matrix,
        dataclasses.replace(
            ROUNDED_SOFTMAX,
            groups=_deepseek_v2_groups("n_group"),
            topk_groups=_deepseek_v2_groups("topk_group"),
            group_score="max",
            # mlx-lm takes the weights from scores that are 0 in excluded groups. With
            # -inf, no expert of such a group is chosen while others are left.
            excluded_score=-mx.inf,
            scale=".routed_scaling_factor",
        ),
    ),
    "deepseek_v3.MoEGate": _DEEPSEEK_V3_GATE,
    "deepseek_v32.MoEGate": _DEEPSEEK_V3_GATE,
    "deepseek_v41.Router": Gate(
        lambda module, x: float_matrix(module, x) / module.gate_temp,
        Choice(
            k=".top_k",
            score=_deepseek_v41_score,
            bias=".e_score_correction_bias",
            renormalize=".norm_topk_prob",
            renormalize_one=False,
            eps=1e-20,
            scale=".route_scale",
        ),
    ),
    "dots1.Dots1TopkRouter": _DEEPSEEK_V3_GATE,
    "exaone_moe.MoEGate": _DEEPSEEK_V3_EPS_GATE,
    "gemma4_text.Router": Gate(
        _gemma_logits,
        Choice(
            k=".config.top_k_experts",
            score="logits",
            ascending=True,
            cast=False,
        ),
        finish=_gemma_weights,
    ),
    "glm4_moe.MoEGate": _DEEPSEEK_V3_GATE,
    "glm4_moe_lite.MoEGate": _DEEPSEEK_V3_EPS_GATE,
    "granitemoe.GraniteMoeTopKGating": Gate(
        layer("layer"),
        dataclasses.replace(CHOSEN_SOFTMAX, k=".top_k", ascending=True, cast=True),
    ),
    "granitemoehybrid.GraniteMoeHybridTopKGating": Gate(
        layer("layer"), dataclasses.replace(CHOSEN_SOFTMAX, k=".top_k", ascending=True)
    ),
    "laguna.MoEGate": Gate(
        _laguna_logits,
        Choice(
            k=".top_k",
            score=".score_func",
            bias=".e_score_correction_bias",
            renormalize=True,
        ),
    ),
    "longcat_flash.LongcatFlashTopkRouter": Gate(
        layer("classifier"),
        Choice(
            k=".top_k",
            bias=".e_score_correction_bias",
            renormalize=".norm_topk_prob",
            eps=1e-20,
            scale=".routed_scaling_factor",
            ascending=True,
            cast=False,
        ),
        weights_like="input",
    ),
    "mimo_v2_flash.MoEGate": _DEEPSEEK_V3_EPS_GATE,
    "nemotron_h.MoEGate": _DEEPSEEK_V3_EPS_GATE,
    "step3p5.Step3p5MoEGate": Gate(
        layer("gate"),
        Choice(
            k=".top_k",
            score="sigmoid",
            bias=".router_bias",
            renormalize=".norm_topk_prob",
            eps=1e-20,
            scale=".routed_scaling_factor",
        ),
    ),
}
