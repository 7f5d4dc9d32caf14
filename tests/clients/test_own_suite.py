"""mlx-lm's own tests, from its source distribution, pass here if they pass on stock."""

import collections
import json
import os
import pathlib
import subprocess
import sys
from concurrent import futures

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from test_mlx_lm import ROOT, STOCK

from upstream import core_suite

TESTS = ROOT / "build/mlx-lm-source/tests"
# The files whose tests need neither downloads nor Metal, or only a few of them.
FILES = [
    *("test_awq", "test_deepseek_v41", "test_finetune", "test_gptq", "test_models"),
    *("test_muse_spark", "test_sample_utils", "test_tuner_trainer"),
    *("test_tuner_utils", "test_utils"),
]


def outcomes_with(path, folder):
    """Returns the outcome of each test, in processes that import MLX from ``path``."""
    found = {}
    output = folder / "outcomes.json"
    offline = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
    for name in FILES:
        command = [sys.executable, core_suite.__file__, "--file", TESTS, f"{name}.py"]
        done = subprocess.run(
            [*command, output],
            env={**os.environ, **offline},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr
        found |= json.loads(output.read_text())
    return found


@pytest.mark.timeout(2000)
def test_mlx_lms_own_tests_come_out_as_on_stock(tmp_path_factory, capsys):
    folders = [tmp_path_factory.mktemp(name) for name in ("fork", "stock")]
    with futures.ThreadPoolExecutor(2) as pool:
        ours, stock = pool.map(outcomes_with, ["", str(STOCK)], folders)
    lines, worse = core_suite.compared(stock, ours, {})
    counts = collections.Counter(ours.values())
    with capsys.disabled():
        print(f"\nmlx-lm's own tests: {dict(counts)}", *lines, sep="\n")
    assert worse == []
    assert counts["passed"] > 170
