"""Counts (but does not time) the work of the Metal kernels, on workloads.MODELS.

This build's work is counted in the emulator, for a sorted top-k with values and
indices.

The work of stock MLX is computed from its host code, for an argsort. Looking up the
values would be additional work. Stock MLX sorts blocks of a row in threadgroup memory.
If there are several blocks, it merges pairs of sorted runs, in passes of two launches
each. The first launch of a pass divides the work; the few bytes that it moves are left
out. The second launch merges. After the last pass, one more launch copies the indices.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import sys

import mlx.core as mx
import numpy as np

import report
from workloads import DATA, MODELS

ROOT = pathlib.Path(__file__).parent.parent
sys.path += [str(ROOT), str(ROOT / "tests")]

import hooks  # noqa: E402

import metal_kernels  # noqa: E402

SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclasses.dataclass
class Counts:
    """The work for one row."""

    bytes: float  # of device memory, read and written
    launches: int  # for all rows together
    barriers: float
    """The number of threadgroup barriers that are passed one after another. This is the
    number of launches, times the average number of barriers in a threadgroup. The
    average is over the threadgroups of all launches."""
    collectives: float = 0  # simdgroup functions


def least_bytes(case):
    """The bytes of reading a row once and of writing its values and indices."""
    size = SIZES[case.dtype]
    return case.n * size + case.k * (size + 4)


def ours(case, rows=2):
    """Counts in the emulator, for an array of `rows` rows."""
    rng = np.random.default_rng(0)
    values = DATA[case.data](rng, (rows, case.n)).astype(np.float32)
    a = mx.array(values).astype(getattr(mx, case.dtype))
    mx.eval(a)
    with metal_kernels.emulated(tracked=True):
        found = mx.topk(a, case.k, sorted=True, return_indices=True, stream=mx.cpu)
        mx.eval(found)
        counts = hooks.take_emulated_counts()
    groups = counts["threadgroups"]
    return Counts(
        bytes=(counts["bytes_read"] + counts["bytes_written"]) / rows,
        launches=counts["launches"],
        barriers=counts["launches"] * counts["barriers"] / groups,
        collectives=counts["collectives"] / rows,
    )


def stock(case):
    """Computes the counts of stock MLX's argsort on Metal."""
    size = SIZES[case.dtype]
    elements_per_thread = 4
    threads = 32
    while threads * elements_per_thread < case.n and threads < 512:
        threads *= 2
    blocks = -(-case.n // (threads * elements_per_thread))
    # Three barriers for loading and storing the block, and one before and one after
    # the writes of each of its merges.
    block_barriers = 3 + 2 * int(math.log2(threads))
    pairs = case.n * (size + 4)  # bytes of a row of values with indices
    if blocks == 1:
        return Counts(pairs, 1, block_barriers)
    passes = math.ceil(math.log2(blocks))
    # Read the row and write sorted blocks; read and write all pairs in each pass; copy
    # the indices.
    return Counts(
        bytes=case.n * size + pairs + passes * 2 * pairs + 2 * 4 * case.n,
        launches=2 + 2 * passes,
        barriers=block_barriers + 4 * passes,
    )


def markdown(results):
    """Returns a table of (case, our counts, stock MLX's counts)."""
    lines = [
        "| rows x n, k | bytes / least possible: ours | stock | launches: ours | stock "
        "| barriers in sequence: ours | stock |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, mine, theirs in results:
        least = least_bytes(case)
        lines.append(
            f"| {case} | {mine.bytes / least:.2f} | {theirs.bytes / least:.2f} "
            f"| {mine.launches} | {theirs.launches} "
            f"| {mine.barriers:.0f} | {theirs.barriers:.0f} |"
        )
    return "\n".join(lines)


def as_json(case, mine, theirs):
    return {
        "case": str(case),
        "n": case.n,
        "least_bytes": least_bytes(case),
        "ours": dataclasses.asdict(mine),
        "stock": dataclasses.asdict(theirs),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=pathlib.Path, help="a page to update in place")
    parser.add_argument("--json", type=pathlib.Path, help="the file to write counts to")
    arguments = parser.parse_args()
    results = []
    for case in dict.fromkeys(MODELS):
        results.append((case, ours(case), stock(case)))
        print(markdown(results[-1:]).splitlines()[-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([as_json(*row) for row in results]))
    if arguments.page:
        report.update(arguments.page, "metal-counts", markdown(results))


if __name__ == "__main__":
    main()
