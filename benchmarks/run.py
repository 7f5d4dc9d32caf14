"""Measures selection against its rivals in one run: a table, a JSON file, a plot.

    python benchmarks/run.py [--sets table,sorts] [--threads 1] [--out FOLDER]

Every figure is the median over repeated calls, in microseconds. "eager" is one call
with its evaluation; "graph" is one of 16 calls that are evaluated at once, which
leaves out what it takes to wake the stream's thread (measured of what takes less than
300 microseconds, of which that is a part). Rivals take turns.
"""

import argparse
import json
import pathlib
import platform
import statistics
import time

import mlx.core as mx
import numpy as np
from mlx import _selection

import report
import rivals
from cases import SETS, sweep

IN_GRAPH = 16


def clock(function, calls):
    begin = time.perf_counter()
    function(calls)
    return (time.perf_counter() - begin) / calls


def measure(functions, seconds, calls):
    """Name to the sorted times of one call. The functions take turns of some calls,
    of which the first, with the caches of another, do not count."""
    times = {name: [] for name in functions}
    started = time.perf_counter()
    while True:
        for name, function in functions.items():
            first = clock(function, calls)
            in_turn = max(1, min(8, int(0.02 / (first * calls))))
            for _ in range(in_turn // 3):
                function(calls)
            times[name] += [clock(function, calls) for _ in range(in_turn)]
        spent = time.perf_counter() - started
        if spent > seconds or len(times["ours"]) >= 800:
            return {name: sorted(values) for name, values in times.items()}


def summary(times):
    tenth = len(times) // 10
    return {
        "median": round(statistics.median(times) * 1e6, 2),
        "p10": round(times[tenth] * 1e6, 2),
        "p90": round(times[-1 - tenth] * 1e6, 2),
        "calls": len(times),
    }


def run_case(case, seconds, only=None):
    rivals.verify(case)
    functions = rivals.rivals(case)
    if only:
        functions = {name: functions[name] for name in only}
    result = {"case": str(case), **vars(case)}
    result["bytes"] = case.rows * case.n * mx.zeros(1, getattr(mx, case.dtype)).nbytes
    for mode, calls in (("eager", 1), ("graph", IN_GRAPH)):
        # What takes long shows no difference, and would need much memory.
        if mode == "graph" and result["eager"]["ours"]["median"] > 300:
            result[mode] = result["eager"]
            continue
        measured = measure(functions, seconds, calls)
        result[mode] = {name: summary(times) for name, times in measured.items()}
    return result


def processor():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":")[1].strip()


def environment(threads):
    versions = {"mlx": mx.__version__, "numpy": np.__version__}
    for name in ("torch", "jax"):
        if getattr(rivals, name):
            versions[name] = getattr(rivals, name).__version__
    return {
        "machine": platform.machine(),
        "processor": processor() if platform.system() == "Linux" else "",
        "instructions": _selection.kernels()[0],
        "threads": threads,
        "versions": versions,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join([*SETS, "sweep"]))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.6, help="for each case")
    parser.add_argument("--out", type=pathlib.Path, default="build/bench")
    parser.add_argument("--page", type=pathlib.Path, help="a page to bring up to date")
    arguments = parser.parse_args()
    mx.set_default_device(mx.cpu)
    rivals.set_threads(arguments.threads)
    results = {"environment": environment(arguments.threads)}
    for name in arguments.sets.split(","):
        results[name] = []
        cases = sweep() if name == "sweep" else SETS[name]
        for case in cases:
            only = ["ours", "torch"] if name == "sweep" else None
            seconds = arguments.seconds / 8 if name == "sweep" else arguments.seconds
            results[name].append(run_case(case, seconds, only))
            print(f"{name}: {report.line(results[name][-1])}", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = f"threads-{arguments.threads}"
    file = arguments.out / f"{name}.json"
    file.write_text(json.dumps(results) + "\n")
    report.plot(results, file.with_suffix(".svg"))
    text = report.markdown(results)
    print(f"\n{text}\nWrote {file}, and the plot beside it.")
    if arguments.page:
        report.update(arguments.page, name, text)


if __name__ == "__main__":
    main()
