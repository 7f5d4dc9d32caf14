"""The tests themselves: their order and names are the same in every run."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def collected(hash_seed):
    """Starts a collection of all tests in a process with this hash seed."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
        ],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_ids_and_order_do_not_depend_on_the_hash_seed():
    listings = []
    for process in [collected(1), collected(2)]:
        output, _ = process.communicate()
        assert process.returncode == 0, output
        listings.append([line for line in output.splitlines() if "::" in line])
    assert len(listings[0]) > 1000
    assert listings[0] == listings[1]
