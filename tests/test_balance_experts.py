"""A small run of examples/balance_experts.py, and what the documentation says of it."""

import importlib.util
import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def balance():
    file = ROOT / "examples" / "balance_experts.py"
    spec = importlib.util.spec_from_file_location("balance_experts", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_short_run_writes_a_table_and_a_plot(balance, tmp_path):
    found = balance.experiment(steps=5, tokens=8192)
    by = found["results"]
    assert list(by) == list(balance.ARMS) and all(len(row) == 6 for row in by.values())
    starts = {row[0] for row in by.values()}
    assert len(starts) == 1 and starts.pop() > 5
    assert by["no balance"][5] > 5 and by["sign, rate 0.001"][5] > 5
    assert by["quantile"][5] < 1.2 and by["quantile, 4 iterations"][5] < 1.12
    assert 1 < found["chance"] < 1.1
    assert balance.table(found).count("\n") == 1 + len(balance.ARMS)
    balance.plot(found, tmp_path / "plot.svg")
    assert "</svg>" in (tmp_path / "plot.svg").read_text()


def test_the_page_shows_the_published_data_and_the_goal_is_met(balance):
    published = json.loads((ROOT / "docs" / "data" / "balance.json").read_text())
    page = (ROOT / "docs" / "routing.md").read_text()
    assert balance.table(published) in page
    assert f"Choices at random have {published['chance']:.3f}" in page
    assert published["results"]["quantile, 4 iterations"][5] <= 1.05
