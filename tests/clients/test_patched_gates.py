"""``routing.patch_gates`` keeps the bits of every gate of mlx-lm that it changes."""

import functools
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import mlx.core as mx
import mlx.nn as nn
import pytest
from gate_cases import (
    cases,
    changed,
    inputs,
    mistakes,
    one_of_each,
    outcome,
    short,
)
from gate_sources import installed
from gate_table import PAGE, parts, table
from gate_types import SIZES, bits, made, step
from local_processes import finish, start
from mlx.nn import routing
from mlx.nn.routing import gates
from mlx.nn.routing._gate_forms import NotExact
from mlx.nn.routing._mlx_lm_sources import FINGERPRINTS
from mlx.utils import tree_flatten
from mlx_lm.models import deepseek_v2, mixtral, qwen3_moe
from mlx_lm.tuner.utils import linear_to_lora_layers
from test_mlx_lm import OLDER, UNTRAINABLE, mixtures_of

HALF_KEEPS_THE_CHAIN = {
    "kimi_linear.KimiSparseMoE",
    "longcat_flash.LongcatFlashTopkRouter",
}
# Mistakes that change nothing, and why.
HARMLESS = {
    # The logits are float32 for every type of the input.
    *(("bailing_moe_v3.BailingGate", "cast"), ("deepseek_v41.Router", "cast")),
    *(("laguna.MoEGate", "cast"), ("minimax.MiniMaxSparseMoeBlock", "cast")),
    # The weights are the chosen logits, of either type.
    ("llama4.MoE", "cast"),
    # Softmax scores without a bias are at least 0 and sum to 1, so the k best have a
    # sum above 0, and an expert of an excluded group has a weight of 0 if it is chosen.
    *(("mistral4.Mistral4MoE", "eps"), ("mistral4.Mistral4MoE", "excluded_score")),
    # test_deepseek_v2_gives_excluded_groups_no_weight notices it.
    ("deepseek_v2.MoEGate", "excluded_score"),
}
# Model types whose mixtures work on several processes.
SHARDED = (
    *("deepseek_v3", "gpt_oss", "kimi_k3", "minimax", "minimax_m3_vl", "mistral4"),
    *("qwen3_5_moe", "qwen3_moe"),
)
# Model types with experts whose gates are left as they are.
UNCHANGED = {"muse_spark", "phimoe"}


@functools.cache
def modules():
    return one_of_each()


@functools.cache
def stock_outcomes(name):
    """Returns what the class itself computes in each case."""
    module, found = modules()[name], []
    for settings, types in cases(name):
        with changed(module, settings, types):
            found.append(outcome(module, module, inputs(name, types[2])))
    return found


def outcomes(name, form):
    """Yields what the form computes in each case, or ``None`` if it cannot."""
    module = modules()[name]
    for settings, types in cases(name):
        with changed(module, settings, types):
            x = inputs(name, types[2])
            try:
                yield outcome(lambda x: form(module, x), module, x)
            except NotExact:
                yield None


@pytest.mark.parametrize("name", gates.FORMS, ids=short)
def test_a_gate_keeps_the_bits_of_its_class(name):
    stock, ours = stock_outcomes(name), list(outcomes(name, gates.FORMS[name]))
    assert len(ours) >= 12
    for one, case, expected in zip(ours, cases(name), stock, strict=True):
        if one is None:
            assert short(name) in HALF_KEEPS_THE_CHAIN
            assert case[1][0] != mx.float32 or case[1][2] != mx.float32, case
        else:
            assert one == expected, case


@pytest.mark.parametrize("name", gates.FORMS, ids=short)
def test_a_mistake_in_a_setting_changes_bits(name):
    """Otherwise the test above would not notice a wrong setting."""
    stock = stock_outcomes(name)
    for word, wrong in mistakes(gates.FORMS[name]):
        pairs = zip(outcomes(name, wrong), stock, strict=True)
        noticed = any(one != expected for one, expected in pairs)
        assert noticed != ((short(name), word) in HARMLESS), word


def test_deepseek_v2_gives_excluded_groups_no_weight():
    """Only two experts of the two kept groups have a score above 0."""
    name = "mlx_lm.models.deepseek_v2.MoEGate"
    gate = modules()[name]
    x = mx.full((1, 1, 64), -1000.0)
    # Experts 0 and 1 belong to excluded groups, 8 and 12 to kept ones.
    for expert, logit in ((0, -2.0), (4, -3.0), (8, 0.0), (12, -1.0)):
        x[0, 0, expert] = logit
    settings = {"topk_method": "group_limited_greedy", "top_k": 4}
    with changed(gate, settings, (mx.float32,) * 3):
        gate.weight = mx.eye(16, 64)
        _, weights = gate(x)
        assert mx.sum(weights > 0).item() == 2
        assert bits(gates.FORMS[name](gate, x)[1]) == bits(weights)


def test_the_fingerprints_are_those_of_the_installed_mlx_lm():
    found = installed()
    assert found.keys() == gates.FORMS.keys() == FINGERPRINTS.keys()
    for name, value in found.items():
        assert value in FINGERPRINTS[name], name


@functools.cache
def training_steps():
    """Returns the results of gate_types.py, by model type."""
    program = pathlib.Path(__file__).with_name("gate_types.py")
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return {result["name"]: result for result in map(json.loads, lines)}


def test_a_training_step_keeps_its_bits(capsys):
    results = training_steps()
    patched = {name: r for name, r in results.items() if r["changed"]}
    with capsys.disabled():
        print(f"\npatch_gates changes {len(patched)} of {len(results)} model types")
    for name, result in patched.items():
        assert result["error"] is None and result["unchanged"] == [], result
        assert result["results"] > 30
        assert result["differ"] == [], name
    used = {kind for result in patched.values() for kind in result["changed"]}
    assert used == {name.rpartition(".")[2] for name in gates.FORMS}


def test_every_mixture_of_experts_is_changed_or_listed():
    results = training_steps()
    mixtures = mixtures_of("pinned") | {"dbrx"}
    left = {
        name for name in mixtures - UNTRAINABLE.keys() if results[name]["unchanged"]
    }
    assert left | {"muse_spark"} == UNCHANGED | {"dbrx"}
    for name in mixtures - UNTRAINABLE.keys() - left:
        assert results[name]["changed"], name


@pytest.mark.parametrize(
    ("module", "adapted"),
    [
        (mixtral, "block_sparse_moe.gate"),
        (qwen3_moe, "mlp.gate"),
        (deepseek_v2, "mlp.switch_mlp.up_proj"),
    ],
)
@pytest.mark.parametrize("first", ["patch", "adapt"])
def test_quantized_layers_and_adapters_work(module, adapted, first):
    name = module.__name__.rpartition(".")[2]

    def adapt(model):
        nn.quantize(
            model,
            group_size=32,
            bits=4,
            class_predicate=lambda _, layer: (
                hasattr(layer, "to_quantized") and layer.weight.shape[-1] % 32 == 0
            ),
        )
        model.freeze()
        config = {"rank": 4, "scale": 1.0, "dropout": 0.0, "keys": [adapted]}
        mx.random.seed(1)
        linear_to_lora_layers(model, len(model.layers), config)

    patched, plain = made(name, module, 0), made(name, module, 0)
    adapt(plain)
    for change in [routing.patch_gates, adapt][:: 1 if first == "patch" else -1]:
        change(patched)
    assert routing.patch_gates(patched) == ([], [])
    adapters = [path for path, _ in tree_flatten(patched.trainable_parameters())]
    assert any(f"{adapted}.lora" in path for path in adapters)
    assert step(patched) == step(plain)


def test_a_group_of_one_process_changes_nothing():
    group = mx.distributed.init()
    for name, module in modules().items():
        if "sharding_group" not in vars(module):
            continue
        settings, types = next(iter(cases(name)))
        with changed(module, {**settings, "sharding_group": group}, types):
            x = inputs(name, types[2])
            stock = outcome(module, module, x)
            form = gates.FORMS[name]
            assert outcome(lambda x: form(module, x), module, x) == stock, name  # noqa: B023


def test_sharded_models_keep_their_bits(tmp_path):
    """Two processes take a training step of one model, connected by MLX's ring."""
    program = pathlib.Path(__file__).with_name("sharded_gates.py")
    results = finish(start(2, tmp_path, program, *SHARDED))
    for code, output, errors in results:
        assert code == 0, errors
        found = json.loads(output.splitlines()[-1])
        assert found.keys() == set(SHARDED)
        for name, (processes, count, compared, differ) in found.items():
            assert processes == 2 and count == 2 and compared > 50, name
            assert differ == [], name


def test_gates_are_restored():
    model = made("qwen3_moe", qwen3_moe, 0)
    other = made("qwen3_moe", qwen3_moe, 0)
    kind = type(model.layers[0].mlp)
    found = routing.patch_gates(model)
    assert found.changed == [(f"model.layers.{i}.mlp", kind.__name__) for i in (0, 1)]
    assert type(model.layers[0].mlp) is not kind
    assert isinstance(model.layers[0].mlp, kind)
    assert type(other.layers[0].mlp) is kind
    assert routing.unpatch_gates(model) == 2
    assert type(model.layers[0].mlp) is kind
    assert routing.unpatch_gates(model) == 0
    assert SIZES["num_experts"] == model.layers[0].mlp.num_experts


def test_the_page_has_the_table():
    _, inside, _ = parts(PAGE.read_text())
    assert inside.strip() == table().strip()


def test_gates_of_the_older_mlx_lm_keep_their_bits():
    program = """if True:
        import mlx_lm
        from gate_cases import keeps_bits, one_of_each
        from gate_sources import FORMS, installed
        from mlx.nn.routing._mlx_lm_sources import FINGERPRINTS
        found, modules = installed(), one_of_each()
        known = {name for name in found if found[name] in FINGERPRINTS[name]}
        assert "older-mlx-lm" in mlx_lm.__file__
        assert all(keeps_bits(name, modules[name]) for name in known)
        print(len(known), len(found))
    """
    path = os.pathsep.join([str(OLDER), str(pathlib.Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    known, found = map(int, done.stdout.split()[-2:])
    assert (known, found) == (31, 33)
