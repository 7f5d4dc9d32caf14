"""mlx-lm generates the same tokens on this MLX as on stock, with every model type."""

import json
import os
import pathlib
import subprocess
import sys
from concurrent import futures

import pytest
from test_mlx_lm import STOCK

# Model types that generate nothing on any MLX here, and their errors.
SILENT = {
    "bitnet": "No Metal back-end",
    "muse_spark": "No Metal back-end",
    "prism_hadamard_qwen35": "Unsupported Hadamard pack",
}
STEPS, SEEDS = 64, 3

pytestmark = pytest.mark.timeout(1000)


def generated(path, *options):
    """Returns the results of generate_types.py, by model type and seed."""
    program = pathlib.Path(__file__).with_name("generate_types.py")
    command = [sys.executable, program, "--steps", str(STEPS), "--seeds"]
    done = subprocess.run(
        [*command, *map(str, range(SEEDS)), *options],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    results = map(json.loads, lines)
    return {(result["name"], result["seed"]): result for result in results}


@pytest.fixture(scope="module")
def both():
    with futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(generated, ["", str(STOCK)]))


def test_every_model_type_generates(both):
    ours, stock = both
    assert ours.keys() == stock.keys()
    for (name, _), result in ours.items():
        if name in SILENT:
            assert SILENT[name] in result["error"], name
        else:
            assert result["error"] is None, name
            assert len(result["tokens"]) == STEPS, name
    speaking = {name for name, _ in ours} - SILENT.keys()
    assert len(ours) == SEEDS * len({name for name, _ in ours})
    assert len(speaking) >= 100


def test_the_greedy_tokens_are_those_of_stock(both, capsys):
    ours, stock = both
    differing = [key for key in ours if ours[key] != stock[key]]
    with capsys.disabled():
        types = len({name for name, _ in ours})
        print(f"\n{types} model types, {SEEDS} seeds: {len(differing)} differ")
    assert differing == []


def test_the_tokens_with_patched_gates_are_those_of_stock(both, capsys):
    found = generated("", "--patch-gates")
    patched = {key: result for key, result in found.items() if key[0] not in SILENT}
    types = {name for name, _ in patched}
    with capsys.disabled():
        print(f"\n{len(types)} model types with patched gates")
    assert len(types) >= 50 and len(patched) == SEEDS * len(types)
    differing = [key for key in patched if patched[key] != both[1][key]]
    assert differing == []


def test_the_tokens_depend_on_the_seed_and_vary(both):
    """Otherwise the test above would compare little."""
    tokens = {key: tuple(result["tokens"] or ()) for key, result in both[0].items()}
    for name in {name for name, _ in tokens} - SILENT.keys():
        drawn = {tokens[name, seed] for seed in range(SEEDS)}
        assert len(drawn) == SEEDS, name
        assert min(len(set(row)) for row in drawn) > 10, name
