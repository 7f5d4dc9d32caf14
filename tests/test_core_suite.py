"""upstream.core_suite: it compares the results of MLX's own tests on two wheels."""

import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from upstream import core_suite

SUITE = """
import unittest

class Test(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail()
    def test_wrong(self): raise KeyError
    @unittest.skip("why")
    def test_left_out(self): pass
    def test_parts(self):
        for part in range(2):
            with self.subTest(part=part):
                self.assertEqual(part, 0)
"""


def test_each_test_of_a_file_has_an_outcome(tmp_path):
    (tmp_path / "test_some.py").write_text(SUITE)
    output = tmp_path / "outcomes.json"
    command = [sys.executable, core_suite.__file__, "--file", tmp_path, "test_some.py"]
    subprocess.run([*command, output], check=True)
    outcomes = json.loads(output.read_text())
    assert {name.rpartition("_")[2]: what for name, what in outcomes.items()} == {
        "good": "passed",
        "bad": "failed",
        "wrong": "error",
        "out": "skipped",
        "parts": "failed",
    }


def test_a_worse_outcome_without_a_reason_is_a_failure(capsys):
    stock = {"a": "passed", "b": "passed", "c": "failed", "d": "error", "e": "passed"}
    fork = {"a": "passed", "b": "failed", "c": "passed", "d": "error"}
    assert core_suite.report(stock, fork, {"b": "by design"}) == 1
    assert core_suite.report(stock, fork, {"b": "by design", "e": "gone"}) == 0
    out = capsys.readouterr().out
    assert "b: passed -> failed (by design)" in out
    assert "e: passed -> missing (no reason is known)" in out
    assert core_suite.report({}, {}, {}) == 1


def test_a_failure_that_passes_when_run_again_is_unsteady():
    files = []

    def run(file):
        files.append(file)
        return {"test_a.A.x": "passed", "test_a.A.y": "failed"}

    reasons = core_suite.unsteady(["test_a.A.x", "test_a.A.y", "test_b.B.z"], run)
    assert list(reasons) == ["test_a.A.x"]
    assert files == ["test_a.py", "test_b.py"]
