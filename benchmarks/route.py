"""Times ``routing.route`` against the chain of ops that it replaces, on stock MLX.

    python benchmarks/route.py [--threads 1] [--seconds 2] [--write]

Both are timed in turn, in one process, by calls that are evaluated together. A time is
the median of the CPU time of all threads. The chain calls stock MLX's functions, as
mlx-lm writes it. With ``--write`` the table goes into
docs/routing.md.
"""

import argparse
import dataclasses
import pathlib
import statistics
import time

import mlx.core as mx
import numpy as np
from mlx import _overlay
from mlx.nn import routing

import machine
import report

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "routing.md"
# A graph has about this many logits, but at most 16 calls.
LOGITS = 1 << 20
stock = _overlay.stock


@dataclasses.dataclass(frozen=True)
class Case:
    rows: int
    experts: int
    k: int
    groups: int = 1
    topk_groups: int = 1
    # Whether the weights are the softmax of the chosen logits.
    chooses_logits: bool = False

    def __str__(self):
        groups = f", {self.topk_groups} of {self.groups} groups" * (self.groups > 1)
        logits = ", of logits" * self.chooses_logits
        return f"({self.rows}, {self.experts}), k = {self.k}{groups}{logits}"


CASES = [
    Case(1, 128, 8),
    Case(64, 256, 8),
    Case(8192, 160, 8),
    Case(8192, 256, 8, 8, 4),
]
# benchmarks/gpu.py times these.
GPU_CASES = [
    *CASES,
    Case(1, 128, 4, chooses_logits=True),
    Case(8192, 128, 4, chooses_logits=True),
]


def softmax_chain(logits, case):
    scores = mx.softmax(logits, axis=-1, precise=True)
    chosen = stock.argpartition(scores, kth=-case.k, axis=-1)[..., -case.k :]
    chosen = mx.stop_gradient(chosen)
    weights = mx.take_along_axis(scores, chosen, axis=-1)
    return weights / weights.sum(axis=-1, keepdims=True), chosen


def logits_chain(logits, case):
    chosen = stock.argpartition(logits, kth=-case.k, axis=-1)[..., -case.k :]
    chosen = mx.stop_gradient(chosen)
    weights = mx.take_along_axis(logits, chosen, axis=-1)
    return mx.softmax(weights, axis=-1, precise=True), chosen


def group_chain(logits, case, bias):
    scores = mx.sigmoid(logits)
    grouped = mx.unflatten(scores + bias, -1, (case.groups, -1))
    worth = stock.topk(grouped, 2, axis=-1).sum(axis=-1, keepdims=True)
    drop = case.groups - case.topk_groups
    worst = stock.argpartition(worth, kth=drop - 1, axis=-2)[..., :drop, :]
    worst = mx.stop_gradient(worst)
    grouped = mx.put_along_axis(grouped, worst, mx.array(0.0), axis=-2)
    biased = mx.flatten(grouped, -2, -1)
    chosen = stock.argpartition(-biased, kth=case.k - 1, axis=-1)[..., : case.k]
    chosen = mx.stop_gradient(chosen)
    weights = mx.take_along_axis(scores, chosen, axis=-1)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return weights * 2.5, chosen


def functions_of(case):
    """Returns the logits, and functions of them: this build's and the chain."""
    rng = np.random.default_rng(0)
    logits = mx.array(rng.normal(0, 1, (case.rows, case.experts)), mx.float32)
    if case.chooses_logits:
        settings = {"score": "logits", "ties": "higher", "sorted": False}
        return logits, {
            "ours": lambda x: routing.route(x, case.k, **settings),
            "chain": lambda x: logits_chain(x, case),
        }
    if case.groups == 1:
        return logits, {
            "ours": lambda x: routing.route(x, case.k),
            "chain": lambda x: softmax_chain(x, case),
        }
    bias = mx.array(rng.normal(0, 0.1, case.experts), mx.float32)
    settings = {"groups": case.groups, "topk_groups": case.topk_groups, "scale": 2.5}
    return logits, {
        "ours": lambda x: routing.route(
            x, case.k, score="sigmoid", bias=bias, **settings
        ),
        "chain": lambda x: group_chain(x, case, bias),
    }


def verify(logits, functions):
    """Compares the sorted weights of both."""
    weights = [np.sort(np.array(f(logits)[0])) for f in functions.values()]
    np.testing.assert_allclose(*weights, rtol=1e-6)


def with_gradient(function, cotangents):
    def loss(x):
        return (function(x)[0] * cotangents).sum()

    return mx.value_and_grad(loss)


def cpu_times(functions, logits, seconds):
    """Returns the median microseconds of CPU time of a call of each function.

    It counts all threads of this process, and not what other programs take.
    """
    calls = max(1, min(16, LOGITS // logits.size))
    times = {name: [] for name in functions}
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or len(times["chain"]) < 5:
        for name, function in functions.items():
            for _ in range(5):
                begin = time.process_time()
                mx.eval([function(logits) for _ in range(calls)])
                spent = time.process_time() - begin
                times[name].append(1e6 * spent / calls)
    return {name: statistics.median(t) for name, t in times.items()}


def table(seconds):
    rows = [["case", "forward, us", "chain", "forward and backward, us", "chain"]]
    for case in CASES:
        logits, functions = functions_of(case)
        verify(logits, functions)
        cotangents = mx.random.normal((case.rows, case.k))
        backward = {n: with_gradient(f, cotangents) for n, f in functions.items()}
        row = [str(case)]
        for measured in (functions, backward):
            times = cpu_times(measured, logits, seconds)
            row.append(report.microseconds(times["ours"]))
            row.append(report.times(times["chain"] / times["ours"]))
        rows.append(row)
        print("| " + " | ".join(row) + " |", flush=True)
    return report.markdown_table(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2, help="for each column")
    parser.add_argument("--write", action="store_true", help="write docs/routing.md")
    arguments = parser.parse_args()
    mx.set_default_device(mx.cpu)
    mx.set_selection_threads(arguments.threads)
    described = machine.describe()
    text = table(arguments.seconds)
    facts = (
        f"{described['processor']}, instruction set {described['instructions']}, "
        f"threads: {arguments.threads}, load {described['load']}; commit "
        f"{described['commit']}; mlx {described['versions']['mlx']}."
    )
    print(f"\n{text}\n{facts}")
    if arguments.write:
        report.update(PAGE, "route measured", f"{text}\n{facts}\n")


if __name__ == "__main__":
    main()
