"""A small run of examples/learn_to_route.py: its arms, curves, table and plot."""

import importlib.util
import json
import pathlib

import mlx.core as mx
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILE = ROOT / "examples" / "learn_to_route.py"


@pytest.fixture(scope="module")
def route():
    spec = importlib.util.spec_from_file_location("learn_to_route", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(route):
    z = mx.random.normal((20, route.POSITIONS), key=mx.random.key(0))
    shape = (20, route.POSITIONS, route.CLASSES)
    return z, mx.random.normal(shape, key=mx.random.key(1))


def test_all_positions_differ_and_the_splits_cover_all_images(route):
    x, _ = route.digits()["train"]
    for i in range(route.POSITIONS):
        for j in range(i):
            assert not mx.array_equal(x[:, i], x[:, j]).item()
    assert sum(len(y) for _, y in route.digits().values()) == 1797


@pytest.mark.parametrize("k", [1, 2])
def test_arms_have_the_expected_output_and_train_the_gate_where_they_should(
    route, data, k
):
    z, every = data
    p, _, w, outputs = route.chosen_of(z, every, k)
    renormalised = route.weighted_sum(w / w.sum(-1, keepdims=True), outputs)
    wanted = {
        "no gate gradient": outputs.sum(-2),
        "straight-through, wrong sign": -outputs.sum(-2),
        "straight-through": outputs.sum(-2),
        "renormalised": renormalised,
        "renormalised + dense_router": renormalised,
        "renormalised + soft_topk": renormalised,
        "y * gw": route.weighted_sum(w, outputs),
        "y * gw + dense_router": route.weighted_sum(w, outputs),
        "all experts, softmax": route.weighted_sum(p, every),
    }
    for name, arm in route.ARMS.items():
        got = arm(z, every, k)
        np.testing.assert_allclose(got, wanted[name], rtol=1e-4, atol=1e-5)
        learns = mx.grad(lambda z, arm=arm: (arm(z, every, k) ** 2).sum())(z)
        largest = mx.abs(learns).max().item()
        still = name == "no gate gradient" or (name == "renormalised" and k == 1)
        assert largest < 1e-4 if still else largest > 1e-2


def test_a_short_run_writes_a_table_and_a_plot(route, tmp_path, monkeypatch):
    names = ["no gate gradient", "renormalised", "renormalised + dense_router"]
    monkeypatch.setattr(route, "ARMS", {n: route.ARMS[n] for n in names})
    monkeypatch.setattr(route, "PRETRAINED", names[1:])
    found = route.experiment(steps=60, seeds=2)
    accuracy = {
        (r["arm"], r["k"], r["start"]): np.mean(r["curve"][-1])
        for r in found["results"]
    }
    still, learned = (accuracy[n, 1, "fresh"] for n in (names[0], names[2]))
    assert 0.6 < found["oracle"] <= 1 and learned > still + 0.1
    for r in found["results"]:
        np.testing.assert_allclose(np.sum(r["confusion"], 1), 1)
        assert np.shape(r["curve"]) == (6, 2)
    assert route.table(found).count("\n") == 1 + 3 + 2
    route.plot(found, tmp_path / "plot.svg")
    assert "</svg>" in (tmp_path / "plot.svg").read_text()


def test_the_page_shows_the_table_of_the_published_data(route):
    published = json.loads((ROOT / "docs" / "data" / "routing.json").read_text())
    page = (ROOT / "docs" / "routing.md").read_text()
    assert route.table(published) in page
    assert f"{100 * published['oracle']:.1f}" in page
