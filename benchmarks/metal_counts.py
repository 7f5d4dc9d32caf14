"""What a GPU would pay for the twelve shapes: counted in the emulator, not timed.

Per row, for values and indices, best first. Upstream's figures follow from its
host code for the indices alone: a merge sort of blocks in threadgroup memory, and
over several blocks passes that merge two at a time, each with a launch that finds
where, and a copy at the end.
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
from cases import DATA, TWELVE

ROOT = pathlib.Path(__file__).parent.parent
sys.path += [str(ROOT), str(ROOT / "tests")]

import hooks  # noqa: E402

import metal_kernels  # noqa: E402

SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclasses.dataclass
class Counts:
    """Of one row; barriers are those that one thread waits at, at the most."""

    bytes: float
    launches: int
    barriers: float
    collectives: float = 0


def least_bytes(case):
    """The row read once, and its results written."""
    size = SIZES[case.dtype]
    return case.n * size + case.k * (size + 4)


def ours(case, rows=2):
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
        # On the average of each launch's threadgroups.
        barriers=counts["launches"] * counts["barriers"] / groups,
        collectives=counts["collectives"] / rows,
    )


def upstream(case):
    size = SIZES[case.dtype]
    of_thread = 4
    threads = 32
    while threads * of_thread < case.n and threads < 512:
        threads *= 2
    blocks = -(-case.n // (threads * of_thread))
    # A block is loaded and stored; each of its merges has a barrier before and
    # after what it writes.
    of_block = 3 + 2 * int(math.log2(threads))
    if blocks == 1:
        return Counts(case.n * (size + 4), 1, of_block)
    passes = math.ceil(math.log2(blocks))
    pairs = case.n * (size + 4)
    return Counts(
        bytes=case.n * size + pairs + passes * 2 * pairs + 2 * 4 * case.n,
        launches=2 + 2 * passes,
        barriers=of_block + 4 * passes,
    )


def markdown(results):
    lines = [
        "| rows x n, k | bytes of the least: ours | upstream | launches: ours | "
        "upstream | barriers: ours | upstream |",
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
        "upstream": dataclasses.asdict(theirs),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=pathlib.Path, help="a page to bring up to date")
    parser.add_argument("--json", type=pathlib.Path, help="a file to write")
    arguments = parser.parse_args()
    results = []
    for case in dict.fromkeys(TWELVE):
        results.append((case, ours(case), upstream(case)))
        print(markdown(results[-1:]).splitlines()[-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([as_json(*row) for row in results]))
    if arguments.page:
        report.update(arguments.page, "metal-counts", markdown(results))


if __name__ == "__main__":
    main()
