"""The front-end check: clean on kernels that are right, and a planted mistake of each
kind is refused, in words that name it and the line."""

import re
import subprocess
import sys

import pytest
from emulator_plants import KERNELS, RUN_TIME
from emulator_source_plants import SOURCE

from metal.emulator.check import check


@pytest.mark.parametrize("kernel", ["row_sum", "histogram", "compact"])
def test_right_source_passes(kernel):
    assert check(KERNELS / f"{kernel}.metal") == []


@pytest.mark.parametrize("plant", SOURCE, ids=[p.name for p in SOURCE])
def test_a_planted_mistake_is_refused(plant, tmp_path):
    path = tmp_path / f"{plant.kernel}.metal"
    path.write_text(plant.source)
    errors = check(path)
    assert re.search(plant.message, "\n".join(errors)), errors
    assert any(re.match(rf"{re.escape(str(path))}:\d+|{path}: ", e) for e in errors)


def test_plants_have_names_of_their_own():
    names = [plant.name for plant in SOURCE + RUN_TIME]
    assert len(set(names)) == len(names)


def test_the_command_exits_with_what_it_found(tmp_path):
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
    assert b"wrong.metal:1: error: [[buffer(40)]] out of range" in done.stdout
    assert b"use of undeclared identifier 'y'" in done.stdout
