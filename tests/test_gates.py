"""``routing.patch_gates``, with stand-ins for the classes of mlx-lm.

``make clients`` tests it with the classes themselves.
"""

import inspect
import subprocess
import sys

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.nn import routing
from mlx.nn.routing import _gate_forms, gates
from mlx.nn.routing._mlx_lm_gates import GATES
from mlx.nn.routing._mlx_lm_mixtures import MIXTURES
from mlx.nn.routing._mlx_lm_sources import FINGERPRINTS
from mlx.utils import tree_flatten
from transforms_of import normal

WIDTH, EXPERTS = 12, 8


class SwitchGLU(nn.Module):
    """Experts that multiply by a vector each, named as mlx-lm names its experts."""

    def __init__(self):
        super().__init__()
        self.weight = normal(0, EXPERTS, WIDTH)

    def __call__(self, x, indices):
        return x[..., None, :] * self.weight[indices]


def group_choice(scores, k):
    """Chooses k experts of the best two of four groups."""
    grouped = mx.unflatten(scores, -1, (4, -1))
    worth = mx.topk(grouped, 2, axis=-1).sum(axis=-1, keepdims=True)
    worst = mx.argpartition(worth, kth=1, axis=-2)[..., :2, :]
    grouped = mx.put_along_axis(grouped, worst, mx.array(0.0), axis=-2)
    return mx.argpartition(-mx.flatten(grouped, -2, -1), k - 1, axis=-1)[..., :k]


class GroupGate(nn.Module):
    def __init__(self):
        super().__init__()
        self.top_k, self.n_group, self.topk_group = 3, 4, 2
        self.norm_topk_prob, self.routed_scaling_factor = True, 2.5
        self.weight = normal(1, EXPERTS, WIDTH)
        self.e_score_correction_bias = normal(2, EXPERTS)

    def __call__(self, x):
        scores = mx.sigmoid((x @ self.weight.T).astype(mx.float32))
        indices = group_choice(scores + self.e_score_correction_bias, self.top_k)
        weights = mx.take_along_axis(scores, mx.stop_gradient(indices), axis=-1)
        weights = weights / weights.sum(axis=-1, keepdims=True)
        return indices, weights * self.routed_scaling_factor


class GatedMixture(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = GroupGate()
        self.switch_mlp = SwitchGLU()

    def __call__(self, x):
        indices, weights = self.gate(x)
        return (self.switch_mlp(x, indices) * weights[..., None]).sum(axis=-2)


class InlineMixture(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.top_k, self.norm_topk_prob = 2, True
        self.switch_mlp = SwitchGLU()

    def __call__(self, x):
        scores = mx.softmax(self.gate(x), axis=-1, precise=True)
        indices = mx.argpartition(scores, -self.top_k, axis=-1)[..., -self.top_k :]
        weights = mx.take_along_axis(scores, mx.stop_gradient(indices), axis=-1)
        if self.norm_topk_prob:
            weights = weights / weights.sum(axis=-1, keepdims=True)
        return (self.switch_mlp(x, indices) * weights[..., None]).sum(axis=-2)


class OtherMixture(GatedMixture):
    """A mixture whose gate has no form."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(WIDTH, EXPERTS)


class Model(nn.Module):
    def __init__(self, *kinds):
        super().__init__()
        self.layers = [kind() for kind in kinds]

    def __call__(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Adds the stand-ins to the classes that have forms."""
    for cls, form in (
        (GroupGate, GATES["deepseek_v3.MoEGate"]),
        (InlineMixture, MIXTURES["qwen3_moe.Qwen3MoeSparseMoeBlock"]),
    ):
        monkeypatch.setitem(gates.FORMS, gates._name(cls), form)
        prints = (gates.fingerprint(cls),)
        monkeypatch.setitem(gates.FINGERPRINTS, gates._name(cls), prints)


def results(model, dtype):
    """Returns the output and all gradients, as float32."""
    x = mx.concatenate([normal(3, 50, WIDTH), mx.zeros((2, WIDTH))]).astype(dtype)
    c = normal(4, 52, WIDTH)

    def loss(model, x):
        return (model(x) * c).sum()

    y = model(x)
    gradients = nn.value_and_grad(model, lambda model: loss(model, x))(model)
    to_x = mx.grad(lambda x: loss(model, x))(x)
    flat = tree_flatten(gradients)
    found = {"y": y, "x": to_x, **dict(flat[1:] if flat[0][0] == "" else flat)}
    return {name: np.array(a.astype(mx.float32)) for name, a in found.items()}


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_results_keep_their_bits(dtype):
    mx.random.seed(0)
    with mx.stream(mx.cpu):
        model = Model(GatedMixture, InlineMixture)
        model.set_dtype(dtype)
        plain = results(model, dtype)
        assert len(routing.patch_gates(model).changed) == 2
        patched = results(model, dtype)
    assert len(plain) > 5
    for name, expected in plain.items():
        assert np.array_equal(patched[name], expected, equal_nan=True), name
        assert np.any(expected) or "bias" in name, name


def test_only_the_gates_of_the_model_change_and_they_can_be_restored():
    model, other = (Model(GatedMixture, InlineMixture) for _ in range(2))
    gate, layer = model.layers[0].gate, model.layers[1]
    parameters = dict(tree_flatten(model.parameters()))
    found = routing.patch_gates(model)
    assert found == (
        [("layers.0.gate", "GroupGate"), ("layers.1", "InlineMixture")],
        [],
    )
    assert model.layers[0].gate is gate and model.layers[1] is layer
    assert isinstance(gate, GroupGate) and type(gate) is not GroupGate
    assert type(other.layers[0].gate) is GroupGate
    assert type(other.layers[1]) is InlineMixture
    after = dict(tree_flatten(model.parameters()))
    assert after.keys() == parameters.keys()
    assert all(after[name] is parameters[name] for name in after)
    assert routing.patch_gates(model) == ([], [])
    assert routing.unpatch_gates(model) == 2
    assert type(gate) is GroupGate and type(layer) is InlineMixture
    assert routing.unpatch_gates(model) == 0


def test_a_setting_may_change_after_the_patch():
    layer = InlineMixture()
    x = normal(5, 9, WIDTH)
    routing.patch_gates(layer)
    layer.top_k, layer.norm_topk_prob = 4, False
    patched = layer(x)
    routing.unpatch_gates(layer)
    assert mx.array_equal(patched, layer(x)).item()


def test_gates_that_are_not_known_are_listed(monkeypatch):
    monkeypatch.setitem(gates.FINGERPRINTS, gates._name(GroupGate), ("0" * 16,))
    model = Model(GatedMixture, OtherMixture, InlineMixture)
    assert routing.patch_gates(model) == (
        [("layers.2", "InlineMixture")],
        [
            ("layers.0.gate", "GroupGate", "its source text is unknown"),
            ("layers.1", "OtherMixture", "its class is unknown"),
        ],
    )
    assert type(model.layers[0].gate) is GroupGate


def test_the_fingerprint_is_that_of_the_class_and_its_functions(monkeypatch):
    source = inspect.getsource(sys.modules[__name__])

    def fingerprint_of(text):
        monkeypatch.setattr(inspect, "getsource", lambda _: text)
        return gates.fingerprint.__wrapped__(GroupGate)

    first = fingerprint_of(source)
    moved = source.replace(
        "def group_choice(scores, k)", "def group_choice( scores,\nk)", 1
    )
    assert moved != source and fingerprint_of("# a comment\n" + moved) == first
    for old, new in ((" = True, 2.5", " = True, 3.5"), ("kth=1, ", "kth=0, ")):
        assert old in source and fingerprint_of(source.replace(old, new, 1)) != first
    other = source.replace("self.top_k, self.norm_topk_prob = 2, True", "pass")
    assert other != source and fingerprint_of(other) == first


def test_each_form_has_fingerprints_and_settings_of_route():
    stand_ins = {gates._name(cls) for cls in (GroupGate, InlineMixture)}
    assert FINGERPRINTS.keys() == gates.FORMS.keys()
    assert len(gates.FORMS.keys() - stand_ins) == len(GATES) + len(MIXTURES) > 40
    assert all(FINGERPRINTS.values())
    arguments = inspect.signature(routing.route).parameters
    assert set(_gate_forms._SETTINGS) <= arguments.keys()


def test_mlx_lm_is_not_imported():
    program = (
        "import sys, mlx.nn as nn; from mlx.nn import routing; "
        "routing.patch_gates(nn.Linear(2, 2)); print('mlx_lm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.stdout.strip() == b"False", done.stderr
