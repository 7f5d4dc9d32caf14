"""mlx-lm: every model type takes a training step on the fork; on stock many cannot.

``make clients`` runs this. It tries stock MLX and the fork with two versions of
mlx-lm, each combination in a process of its own.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys

import mlx.core as mx
import mlx_lm
import pytest

ROOT = pathlib.Path(__file__).parents[2]
STOCK = ROOT / "build" / "stock"
OLDER = ROOT / "build" / "older-mlx-lm"
VERSIONS = {"pinned": (), "older": (OLDER,)}

# Model types that fail with any MLX, and their errors.
UNTRAINABLE = {
    "bitnet": "No Metal back-end",
    "muse_spark": "No Metal back-end",
    "prism_hadamard_qwen35": "Unsupported Hadamard pack",
    "recurrent_gemma": "'Model' object has no attribute '_no_grad'",
}
# In the older mlx-lm this type writes beyond its logits, which may end the process.
SKIPPED = {"pinned": (), "older": ("phi3small",)}
# This type has its own code for experts, not mlx-lm's switch layers.
OWN_EXPERTS = {"dbrx"}
INDEX_ERROR = "Cannot calculate VJP with respect to indices"


@functools.cache
def trained(version, stock, patched):
    """Returns the results of train_types.py: a dictionary by model type."""
    path = [*([STOCK] if stock else []), *VERSIONS[version]]
    command = [sys.executable, pathlib.Path(__file__).with_name("train_types.py")]
    command += ["--no-stop-gradient"] if patched else []
    done = subprocess.run(
        [*command, "--skip", *SKIPPED[version]],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return {result["name"]: result for result in map(json.loads, lines)}


def failures(results):
    """Returns the errors by model type, without those of ``UNTRAINABLE``."""
    found = {name: result["error"] for name, result in results.items()}
    for name, error in list(found.items()):
        if error is None or UNTRAINABLE.get(name, error + "!") in error:
            del found[name]
    return found


def mixtures_of(version):
    """Returns the model types with experts: those that import switch layers."""
    folder = pathlib.Path(mlx_lm.__file__).parent
    if version == "older":
        folder = OLDER / "mlx_lm"
    files = {p.stem: p.read_text() for p in (folder / "models").glob("*.py")}
    return {name for name, text in files.items() if "from .switch_layers" in text}


@pytest.mark.parametrize("patched", [False, True], ids=["as published", "no stops"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_model_type_takes_a_training_step(version, patched, capsys):
    ours = trained(version, False, patched)
    theirs = trained(version, True, patched)
    experts = {name for name, result in ours.items() if result["experts"]}
    stopped = failures(theirs)
    with capsys.disabled():
        print(
            f"\nmlx-lm, {version}, integer stop_gradient "
            f"{'removed' if patched else 'kept'}: {len(ours)} model types, "
            f"{len(experts)} with experts; fail on mlx {mx.__version__}: "
            f"{len(failures(ours))}; on stock: {len(stopped)}"
        )
    assert failures(ours) == {}
    assert len(ours) - len(UNTRAINABLE) >= 100
    # Stock MLX fails only at a gather's indices, and only in types with experts.
    assert all(INDEX_ERROR in error for error in stopped.values())
    assert stopped.keys() <= experts | OWN_EXPERTS
    assert ours.keys() == theirs.keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_no_mixture_of_experts_is_left_out(version):
    results = trained(version, False, True)
    for name in mixtures_of(version) - UNTRAINABLE.keys():
        assert results[name]["experts"] and results[name]["error"] is None, name


def test_removing_stop_gradient_matters_on_stock():
    """Shows that the first test can fail: on stock MLX many model types do."""
    assert len(failures(trained("pinned", True, True))) > 40
    assert len(failures(trained("older", True, False))) > 20
