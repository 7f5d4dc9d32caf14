"""No kind of row makes a selection slow, by valgrind's count of instructions."""

import functools
import pathlib
import shutil
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "benchmarks"))

import instruction_counts
from instruction_counts import WORK

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind"),
    pytest.mark.skipif(
        not WORK.exists(),
        reason="needs build/tests/selection_work, which make test builds",
    ),
]

ROWS = [
    "random",
    "ascending",
    "descending",
    "equal",
    "zeros",
    "few",
    "nan",
    "infinite",
    "organ-pipe",
    "periodic",
]
# For each kernel: the size of a row, k, and the greatest allowed number of instructions
# per element, with SSE2, which every x86-64 processor has. The limits are twice what
# random rows take, or more.
LIMITS = {
    "lanes": (256, 16, 250),
    "short_row": (1000, 50, 150),
    "bounded": (40_000, 50, 25),
    "select": (40_000, 10_000, 90),
    "argpartition": (40_000, 20_000, 130),
    "argsort": (40_000, 0, 120),
}


@functools.cache
def instructions(work, row, n, k):
    return instruction_counts.count("baseline", f"{work} {row} {n} {k}")


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("work", LIMITS)
def test_every_row_takes_few_instructions_for_each_element(work, row):
    n, k, limit = LIMITS[work]
    assert n < instructions(work, row, n, k) < limit * n


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("work", ["bounded", "select", "argpartition", "argsort"])
def test_instructions_grow_in_proportion_to_the_length_of_the_row(work, row):
    n, k, _ = LIMITS[work]
    longer = instructions(work, row, 4 * n, 4 * k)
    assert longer < 5 * instructions(work, row, n, k)
