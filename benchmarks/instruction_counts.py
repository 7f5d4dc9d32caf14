"""Counts the instructions of the CPU kernels with valgrind.

    python benchmarks/instruction_counts.py [--write]

Counts do not depend on what else the machine does, so a test compares them with the
counts in docs/data/instruction-counts.json. ``--write`` stores the counts of this
build there. Valgrind does not know AVX-512, whose kernels are not counted.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).parents[1]
STORED = ROOT / "docs/data/instruction-counts.json"
WORK = ROOT / "build/tests/selection_work"
COUNTED = ("avx2", "baseline")

# The arguments of selection_work: what to run, a kind of row, the size of a row, k, the
# number of rows, the type.
CASES = [
    "topk random 8 2 64",
    "topk random 8 2 64 float64",
    "topk random 160 8 64",
    "topk random 160 8 64 bfloat16",
    "topk random 1000 500 8",
    "topk random 8192 32 4",
    "topk equal 8192 1024 4",
    "topk random 65536 2048",
    "argpartition random 160 8 64",
    "argpartition equal 1000 500 8",
    "argpartition random 8192 4096 4",
    "sort random 64 0 64",
    "sort random 8192 0 4",
    "sort random 8192 0 4 float64",
    "sort random 8192 0 4 int8",
    "argsort random 160 0 64",
    "argsort random 8192 0 4",
    "sort-descending random 8192 0 4",
    "argsort-descending random 160 0 64",
    "argpartition-descending random 160 8 64",
    "argmax random 8 0 64",
    "argmax random 160 0 64",
    "argmax random 8192 0 4 bfloat16",
]


def about():
    """Returns the compiler's version and the instruction sets that can be counted."""
    output = subprocess.check_output([WORK, "--about"], text=True)
    compiler, *instructions = output.splitlines()
    return compiler, [name for name in COUNTED if name in instructions]


def count(instructions, case):
    """Returns how many instructions one call of a kernel executes.

    ``case`` has the arguments of selection_work after the first.
    """
    done = subprocess.run(
        [
            shutil.which("valgrind"),
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=void counted*",
            *(WORK, instructions, *case.split()),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def measure():
    """Returns what is stored: the compiler, and counts by instruction set and case."""
    compiler, names = about()
    pairs = [(name, case) for name in names for case in CASES]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda pair: count(*pair), pairs))
    result = {"compiler": compiler, **{name: {} for name in names}}
    for (name, case), found in zip(pairs, counts, strict=True):
        result[name][case] = found
    return result


def load():
    return json.loads(STORED.read_text())


def differences(stored, found, tolerance=0.03):
    """Returns a line for each count that differs by more than ``tolerance``.

    A count that fell is a difference too: left as it is, the stored count would let a
    later change make the kernel slower again.
    """
    lines = []
    for name in found.keys() - {"compiler"}:
        for case, now in found[name].items():
            before = stored.get(name, {}).get(case, 0)
            if abs(now - before) > tolerance * before:
                lines.append(f"{name}, {case}: {before} instructions before, now {now}")
    return sorted(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write {STORED.name}")
    arguments = parser.parse_args()
    found = measure()
    stored = load() if STORED.exists() else {}
    for line in differences(stored, found, 0):
        print(line)
    if arguments.write:
        STORED.write_text(json.dumps({**stored, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
