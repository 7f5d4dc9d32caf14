"""Single gates of mlx-lm, in many settings and with inputs that are difficult.

The experts of a mixture are replaced by :class:`StandIn`, so that any type can be
computed on the CPU, and so that little time goes into anything but the choice.
"""

import contextlib
import dataclasses
import itertools
import operator

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from gate_types import SIZES, bits
from generate_types import drawn
from mlx.nn.routing import gates
from mlx.nn.routing._gate_forms import Mixture, NotExact
from mlx.utils import tree_flatten, tree_map
from train_types import model_modules

from small_configs import build

WIDTH = 64
# The numbers of experts, for longcat_flash with experts that do nothing.
COUNTS = (SIZES["num_experts"], SIZES["num_experts"] + SIZES["zero_expert_num"])

# Settings that a form reads with a function: values to try, by path of the attribute.
OTHERS = {
    "afmoe.AfmoeMoE": [{"score_func": "sigmoid"}, {"score_func": "softmax"}],
    "bailing_hybrid.Gate": [{"score_function": n} for n in ("sigmoid", "softmax")],
    "bailing_moe.BailingMoeGate": [
        {"score_function": n} for n in ("sigmoid", "softmax")
    ],
    "bailing_moe_linear.Gate": [{"score_function": n} for n in ("sigmoid", "softmax")],
    "deepseek_v2.MoEGate": [
        {"topk_method": n} for n in ("group_limited_greedy", "greedy")
    ],
    "deepseek_v41.Router": [
        {"score_func": "sigmoid", "gate_temp": 3.0},
        {"score_func": "softmax"},
        {"score_func": "sqrtsoftplus"},
    ],
    "ernie4_5_moe.Ernie4_5_MoeMLP": [
        {"gate_act": kind()} for kind in (nn.Softmax, nn.Sigmoid)
    ],
    "kimi_linear.KimiSparseMoE": [
        {"args.moe_router_activation_func": n} for n in ("sigmoid", "softmax")
    ],
    "laguna.MoEGate": [
        {"score_func": "sigmoid", "softcap": 0.0},
        {"score_func": "sqrtsoftplus", "softcap": 2.0},
    ],
    "lfm2_moe.Lfm2MoeSparseMoeBlock": [
        {"use_expert_bias": True},
        {"use_expert_bias": False},
    ],
}
# A type of the parameters of the gate, of those of its choice, and of the input.
TYPES = [
    (mx.float32, mx.float32, mx.float32),
    (mx.bfloat16, mx.float32, mx.bfloat16),
    (mx.float16, mx.float16, mx.float16),
    (mx.float32, mx.float32, mx.bfloat16),
]


class StandIn(nn.Module):
    """Experts that multiply their input by a number."""

    def __init__(self, experts):
        super().__init__()
        self.factors = mx.random.normal((experts,))

    def __call__(self, x, indices):
        y = x[..., None, :] * self.factors[indices][..., None]
        return y.astype(x.dtype)


def short(name):
    return name.removeprefix("mlx_lm.models.")


def one_of_each():
    """Returns a gate of each class that has a form, by the name of the class."""
    found = {}
    for name, module in model_modules():
        if not any(f".{name}." in f".{known}" for known in gates.FORMS):
            continue
        mx.random.seed(0)
        # A group of four experts is not full after a choice of four among two groups.
        model = build(module, name, SIZES)
        model.update(tree_map(drawn, model.parameters()))
        for part in model.modules():
            kind = gates._name(type(part))
            if kind in gates.FORMS and kind not in found:
                found[kind] = part
                if short(kind) == "lfm2_moe.Lfm2MoeSparseMoeBlock":
                    part.expert_bias = mx.zeros(SIZES["num_experts"])
                if isinstance(gates.FORMS[kind], Mixture):
                    experts = gates.FORMS[kind].experts
                    part[experts] = StandIn(SIZES["num_experts"])
    return found


def choice_of(form):
    return form.gate.choice if isinstance(form, Mixture) else form.choice


def settings_of(name):
    """Lists the settings to try: dictionaries from paths of attributes to values."""
    choice = choice_of(gates.FORMS[name])
    named = {}
    for field, values in (
        ("renormalize", (True, True, False)),
        ("scale", (2.5, 1.0, 1.0)),
        ("k", (4, 1, 4)),
    ):
        path = getattr(choice, field)
        if isinstance(path, str) and path.startswith("."):
            named[path[1:]] = values
    if short(name) == "llama4.MoE":
        named["top_k"] = (1, 1, 1)
    common = [{path: values[i] for path, values in named.items()} for i in range(3)]
    return [
        {**one, **other}
        for one, other in itertools.product(common, OTHERS.get(short(name), [{}]))
    ]


@contextlib.contextmanager
def changed(module, settings, types):
    """Gives the module settings and types of its parameters, then the old ones."""
    kept, old = {}, tree_map(lambda a: a, module.parameters())
    key = mx.random.key(3)

    def owner(path):
        head, _, last = path.rpartition(".")
        return (operator.attrgetter(head)(module) if head else module), last

    for path, value in settings.items():
        target, last = owner(path)
        kept[path] = getattr(target, last)
        setattr(target, last, value)
    own, of_choice, _ = types

    def cast(a):
        is_vector = a.ndim == 1 and len(a) in COUNTS
        if is_vector:
            # Most scores with a bias are negative, so that the score of the experts of
            # excluded groups matters.
            a = mx.random.normal(a.shape, key=key) - 1
        elif a.ndim == 2 and len(a) in COUNTS:
            # The first entry of the input is added to all logits.
            a = mx.concatenate([mx.ones_like(a[:, :1]), a[:, 1:]], axis=1)
        return a.astype(of_choice if is_vector else own)

    module.update(tree_map(cast, module.parameters()))
    try:
        yield
    finally:
        module.update(old)
        for path, value in kept.items():
            target, last = owner(path)
            setattr(target, last, value)


def inputs(name, dtype):
    """Returns rows of which some make scores equal, 0, 1 or NaN."""
    x = np.random.default_rng(5).standard_normal((2, 24, WIDTH)).astype(np.float32)
    x[:, 8:14] *= 30
    x[:, 14:18] *= 3000
    x[:, 18:20] = 0
    # All sigmoids are 0 in these rows.
    x[:, 20:22] /= 10
    x[:, 20:22, 0] = -400
    if short(name) != "deepseek_v2.MoEGate":
        # In a row of NaN mlx-lm's class gives experts of excluded groups a weight of 0.
        x[1, 22:] = np.nan
    x = mx.array(x).astype(dtype)
    return x.reshape(-1, WIDTH) if short(name) == "deepseek_v41.Router" else x


def without_zeros(found):
    """Replaces the indices of experts with weight 0 by 0."""
    indices, weights = found
    return mx.where(weights == 0, 0, indices), weights


def outcome(call, module, x):
    """Returns the bits of what a gate computes, and of the gradient of its sum."""
    name = short(gates._name(type(module)))

    def loss(parameters, x):
        module.update(parameters)
        found = call(x)
        found = found if isinstance(found, tuple) else (found,)
        if name == "deepseek_v2.MoEGate":
            found = without_zeros(found)
        floating = [a for a in found if mx.issubdtype(a.dtype, mx.floating)]
        ramp = [mx.sin(mx.arange(a.size)).reshape(a.shape) for a in floating]
        total = sum((a * r).sum() for a, r in zip(floating, ramp, strict=True))
        return total, found

    parameters = module.trainable_parameters()
    (_, found), (to_parameters, to_x) = mx.value_and_grad(loss, argnums=(0, 1))(
        parameters, x
    )
    module.update(parameters)
    flat = [a for _, a in tree_flatten(to_parameters)]
    return [bits(a) for a in [*found, to_x, *flat]]


def cases(name):
    """Yields the settings and the types of each case of a class."""
    yield from itertools.product(settings_of(name), TYPES)


def mistakes(form):
    """Yields a word and a form with a mistake, for each setting that has a mistake."""
    is_mixture = isinstance(form, Mixture)
    gate = form.gate if is_mixture else form
    choice = choice_of(form)

    def with_gate(**changes):
        made = dataclasses.replace(gate, **changes)
        return dataclasses.replace(form, gate=made) if is_mixture else made

    wrong = {
        "ascending": not choice.ascending,
        "cast": not choice.cast,
        "score": "sigmoid" if choice.score == "logits" else "logits",
    }
    if choice.bias is not None:
        wrong["bias"] = None
    if choice.groups != 1:
        wrong["topk_groups"] = choice.groups
        wrong["group_score"] = "max" if choice.group_score == "top2" else "top2"
        wrong["excluded_score"] = -mx.inf if choice.excluded_score == 0 else 0.0
    if choice.renormalize is not False:
        wrong["renormalize"] = False
        if choice.score != "logits":
            wrong["renormalize_one"] = not choice.renormalize_one
            wrong["eps"] = 0.0 if choice.eps else 1e-3
    if choice.scale != 1.0:
        wrong["scale"] = 1.0
    for field, value in wrong.items():
        yield field, with_gate(choice=dataclasses.replace(choice, **{field: value}))
    if gate.weights_like is not None:
        yield "weights_like", with_gate(weights_like=None)
    if gate.finish is not None:
        yield "finish", with_gate(finish=None)
    if is_mixture:
        if form.combine is None and gate.weights_like is None:
            yield (
                "like_experts",
                dataclasses.replace(form, like_experts=not form.like_experts),
            )
        for field in ("shared", "combine"):
            if getattr(form, field) is not None:
                yield field, dataclasses.replace(form, **{field: None})


def keeps_bits(name, module):
    """Returns whether the form has the bits of the module in all cases that it can."""
    form = gates.FORMS[name]
    for settings, types in cases(name):
        with changed(module, settings, types):
            x = inputs(name, types[2])
            stock = outcome(module, module, x)
            try:
                if outcome(lambda x: form(module, x), module, x) != stock:
                    return False
            except NotExact:
                continue
    return True
