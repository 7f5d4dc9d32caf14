"""The front-end check (metal.emulator.check): it accepts correct kernels and refuses a
planted mistake of each kind with an error that names the mistake and its line."""

import re
import subprocess
import sys

import pytest
from emulator_language_plants import LANGUAGE
from emulator_plants import KERNELS, RUN_TIME
from emulator_source_plants import SOURCE

from metal.emulator.check import check


@pytest.mark.parametrize("kernel", ["row_sum", "histogram", "compact"])
def test_correct_source_passes(kernel):
    assert check(KERNELS / f"{kernel}.metal") == []


MISTAKES = SOURCE + LANGUAGE


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES, ids=[m.name for m in MISTAKES])
def test_a_planted_mistake_is_refused(mistake, tmp_path):
    path = tmp_path / f"{mistake.kernel}.metal"
    path.write_text(mistake.source)
    errors = check(path)
    assert re.search(mistake.message, "\n".join(errors)), errors
    assert any(re.match(rf"{re.escape(str(path))}:\d+|{path}: ", e) for e in errors)


def test_the_names_of_mistakes_are_unique():
    names = [mistake.name for mistake in MISTAKES + RUN_TIME]
    assert len(set(names)) == len(names)


def test_the_command_prints_errors_and_its_status_is_1_if_there_are_any(tmp_path):
    wrong = tmp_path / "wrong.metal"
    wrong.write_text("[[kernel]] void f(device uint* x [[buffer(40)]]) { x[0] = y; }")
    command = [sys.executable, "-m", "metal.emulator.check"]
    folder = KERNELS.parent.parent

    def run(*files):
        return subprocess.run([*command, *files], capture_output=True, cwd=folder)

    good = str(KERNELS / "compact.metal")
    assert run(good).returncode == 0
    done = run(good, str(wrong))
    assert done.returncode == 1
    assert b"wrong.metal:1: error: [[buffer(40)]] out of range 0 to 30" in done.stdout
    assert b"use of undeclared identifier 'y'" in done.stdout
