"""No row makes a selection slow: instructions counted by valgrind, not seconds."""

import functools
import pathlib
import re
import shutil
import subprocess

import pytest

WORK = pathlib.Path(__file__).parents[1] / "build/tests/selection_work"

pytestmark = [
    pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind"),
    pytest.mark.skipif(not WORK.exists(), reason="make test builds selection_work"),
]

ROWS = [
    "random",
    "ascending",
    "descending",
    "equal",
    "zeros",
    "few",
    "nan",
    "organ-pipe",
    "periodic",
]
# Of each: the size of a row, k, and so many instructions for an element are enough,
# with the 4 lanes that every x86-64 has. What is usual is a third or less.
LIMITS = {
    "lanes": (256, 16, 800),
    "short_row": (1000, 50, 100),
    "bounded": (40_000, 50, 60),
    "select": (40_000, 10_000, 120),
    "argpartition": (40_000, 20_000, 120),
    "argsort": (40_000, 0, 60),
}


@functools.cache
def instructions(kernels, work, row, n, k, times):
    arguments = [kernels, work, row, n, k, times]
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", WORK]
        + [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def of_one(kernels, work, row, n, k):
    """What one more selection adds: neither start-up, nor making the row."""
    counts = [instructions(kernels, work, row, n, k, times) for times in (1, 2)]
    return counts[1] - counts[0]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("work", LIMITS)
def test_every_row_takes_few_instructions_for_each_element(work, row):
    n, k, limit = LIMITS[work]
    assert of_one("baseline", work, row, n, k) < limit * n


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("work", ["bounded", "select", "argpartition", "argsort"])
def test_four_times_the_row_takes_four_times_the_instructions(work, row):
    n, k, _ = LIMITS[work]
    longer = of_one("baseline", work, row, 4 * n, 4 * k)
    assert longer < 5 * of_one("baseline", work, row, n, k)
