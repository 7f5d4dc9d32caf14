"""The CPU kernels execute as many instructions as instruction-counts.json says.

The counts are those of one compiler, so they are compared only where the kernels were
compiled by the same version. They need valgrind.
"""

import pathlib
import shutil
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "benchmarks"))

import instruction_counts
from instruction_counts import CASES, WORK, differences

STORED = instruction_counts.load()
HELP = "python benchmarks/instruction_counts.py --write accepts the new counts."


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")
@pytest.mark.skipif(not WORK.exists(), reason="make hooks builds selection_work")
def test_kernels_execute_the_stored_number_of_instructions():
    compiler, _ = instruction_counts.about()
    if compiler != STORED["compiler"]:
        pytest.skip(f"The stored counts are of the compiler {STORED['compiler']}.")
    found = instruction_counts.measure()
    assert found.keys() > {"compiler", "baseline"}
    assert differences(STORED, found) == [], HELP


def test_every_case_is_stored_for_every_instruction_set():
    assert STORED.keys() == {"compiler", *instruction_counts.COUNTED}
    for name in instruction_counts.COUNTED:
        assert list(STORED[name]) == CASES
        assert all(count > 100 for count in STORED[name].values())


def test_differences_of_more_than_the_tolerance_are_found():
    stored = {"avx2": {"a": 1000, "b": 1000, "c": 1000}}
    found = {"compiler": "1", "avx2": {"a": 1030, "b": 1031, "c": 969, "d": 5}}
    assert differences(stored, found) == [
        "avx2, b: 1000 instructions before, now 1031",
        "avx2, c: 1000 instructions before, now 969",
        "avx2, d: 0 instructions before, now 5",
    ]
    assert differences(stored, {"compiler": "2", "avx2": {"a": 1000}}) == []
