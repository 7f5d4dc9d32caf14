"""Measures the selection ops against their rivals, and writes a JSON file.

    python benchmarks/run.py [--sets table,sorts] [--threads 1] [--out FOLDER]

The variable MLX_TOPK_CPU chooses the instruction set of the kernels. NumPy, torch and
JAX are told to use the same.

Times are microseconds per call, the median over repeated calls. "single" is one call
with its evaluation. "batched" is one of 16 calls that are evaluated together, so that
the time to wake the stream's thread (some 50 microseconds) is shared by all of them.
If a single call of this build takes more than 300 microseconds, the case is not
measured again in batches. The rivals take turns, so that other work on the machine
slows all of them alike.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

import mlx.core as mx
import numpy as np

import machine
import page
import report
import rivals
from workloads import SETS, sweep

CALLS = {"single": 1, "batched": 16}
LONG_CALL = 300

# NumPy names the groups of AVX-512 differently in different versions.
NUMPY_AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
NUMPY_AVX512 += " AVX512_SPR X86_V4"
# What rivals read when they are imported, to use no more than an instruction set.
RIVAL_VARIABLES = {
    "avx2": {
        "NPY_DISABLE_CPU_FEATURES": NUMPY_AVX512,
        "ATEN_CPU_CAPABILITY": "avx2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
    "baseline": {
        "NPY_DISABLE_CPU_FEATURES": f"{NUMPY_AVX512} AVX2 FMA3 X86_V3",
        "ATEN_CPU_CAPABILITY": "default",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    },
}


def clock(function, calls):
    begin = time.perf_counter()
    function(calls)
    return (time.perf_counter() - begin) / calls


def measure(functions, seconds, calls):
    """Maps the name of each function to the sorted times of one call, in seconds.

    The functions take turns of up to 8 measurements. The first calls of a turn are
    not counted, since they find the data of another function in the caches.
    """
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
    for mode, calls in CALLS.items():
        # Waking the thread is a small part of a long call, and a batch of long calls
        # would need much memory.
        if mode == "batched" and result["single"]["ours"]["median"] > LONG_CALL:
            result[mode] = result["single"]
            continue
        measured = measure(functions, seconds, calls)
        result[mode] = {name: summary(times) for name, times in measured.items()}
    return result


def environment(threads):
    described = machine.describe()
    described["threads"] = threads
    described["versions"]["numpy"] = np.__version__
    for name in ("torch", "jax"):
        if getattr(rivals, name):
            described["versions"][name] = getattr(rivals, name).__version__
    return described


def measure_sets(names, seconds):
    for name in names:
        results = []
        swept = name == "sweep"
        for case in sweep() if swept else SETS[name]:
            only = ["ours", "torch"] if swept else None
            results.append(run_case(case, seconds / 8 if swept else seconds, only))
            print(f"{name}: {report.line(results[-1])}", flush=True)
        yield name, results


def as_json(results):
    """Returns JSON with one case per line, so that a diff of two runs is readable."""
    parts = []
    for name, value in results.items():
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(result) for result in value)
            parts.append(f"{json.dumps(name)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def limit_rivals():
    """Starts this program again if rivals could use more instructions than ours."""
    wanted = RIVAL_VARIABLES.get(os.environ.get("MLX_TOPK_CPU"), {})
    if not wanted.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)


def main():
    limit_rivals()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join([*SETS, "sweep"]))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.6, help="for each case")
    parser.add_argument("--out", type=pathlib.Path, default="build/bench")
    arguments = parser.parse_args()
    mx.set_default_device(mx.cpu)
    rivals.set_threads(arguments.threads)
    results = {"environment": environment(arguments.threads)}
    if results["environment"]["load"] > 0.5:
        print("Other programs are running: the times below may be too long.")
    results |= measure_sets(arguments.sets.split(","), arguments.seconds)
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / f"{page.stem(results['environment'])}.json"
    file.write_text(as_json(results))
    print(f"\n{report.full_tables(results)}\nWrote {file}.")


if __name__ == "__main__":
    main()
