"""Times the sort and the partition of one long row with one thread and with several.

    python benchmarks/one_long_row.py [--threads 2] [--size 1000000]

Prints medians in milliseconds of calls in a loop, and how many times as fast several
threads are. Two rows of half the size, of which each thread can take one, show what the
machine gains at most.
"""

import argparse
import statistics
import time

import mlx.core as mx
import numpy as np

CALLS = 30
ROUNDS = 4


def median_times(function, threads):
    """Returns the median of one call's milliseconds, for each number of threads."""
    times = {n: [] for n in threads}
    for _ in range(ROUNDS):
        for n in threads:
            mx.set_selection_threads(n)
            # The first calls wake the threads.
            for call in range(5 + CALLS):
                begin = time.perf_counter()
                mx.eval(function())
                if call >= 5:
                    times[n].append(time.perf_counter() - begin)
    return [1e3 * statistics.median(times[n]) for n in threads]


def cases_of(size):
    """Maps the name of each case to a function."""
    row = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    one = mx.array(row).reshape(1, -1)
    two = one.reshape(2, -1)
    cases = {"sort": lambda: mx.sort(one), "argsort": lambda: mx.argsort(one)}
    for kth in (50, size // 8, size // 2):
        cases[f"argpartition, kth = {kth}"] = lambda k=kth: mx.argpartition(one, k)
    cases["sort, two rows"] = lambda: mx.sort(two)
    cases["argsort, two rows"] = lambda: mx.argsort(two)
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=1_000_000, help="an even number")
    arguments = parser.parse_args()
    mx.set_default_device(mx.cpu)
    print("Instruction set:", mx.selection_info()["instruction_sets"][0])
    print(f"{'ms, threads:':32s} {1:8d} {arguments.threads:8d}    ratio")
    for name, function in cases_of(arguments.size).items():
        one, several = median_times(function, [1, arguments.threads])
        print(f"{name:32s} {one:8.2f} {several:8.2f} {one / several:8.2f}", flush=True)


if __name__ == "__main__":
    main()
