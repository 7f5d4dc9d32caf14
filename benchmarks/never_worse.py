"""Looks for cases in which an op of this build is slower than stock MLX.

    python benchmarks/never_worse.py [--cases N | --all] [--seed S] [--op sort,argsort]

Draws a random sample of the cases of never_cases.py. Times each with one thread, ours
and stock's in turns, and compares the peak of the memory that MLX allocates. Prints a
summary and writes it to docs/never-worse.md. That page says how a case is judged.
The variable MLX_TOPK_CPU chooses the instruction set of the kernels.
"""

import argparse
import collections
import dataclasses
import itertools
import math
import pathlib
import random
import statistics
import time

import mlx.core as mx

import machine
import never_cases
from report import markdown_table

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs/never-worse.md"

# Pairs of measurements in each round. The next round is only for cases that look
# slower than stock by more than `DOUBT`. Each round starts afresh, so that a case is
# not counted because of the same disturbance that made it look slow.
ROUNDS = (5, 15, 31)
DOUBT = 1.03
SLOWER = 1.1
MUCH_SLOWER = 1.5

# One measurement makes calls for about this long, but at most `MOST_CALLS` calls.
MEASUREMENT_SECONDS = 0.001
MOST_CALLS = 16
# A case gets no further pairs after this time.
MOST_SECONDS = 3.0


@dataclasses.dataclass(frozen=True)
class Result:
    case: object
    # Our time divided by stock's: the median over the pairs of the last round.
    ratio: float
    # Seconds for one call of ours, the median.
    seconds: float
    # Bytes that MLX had allocated at the peak, beyond the input.
    peak: int
    stock_peak: int

    @property
    def higher_peak(self):
        return self.peak > self.stock_peak


def graph(function, calls):
    """Makes ``calls`` calls and evaluates them together."""
    mx.eval([function() for _ in range(calls)])


def eager(function, calls):
    """Evaluates each call before it makes the next."""
    for _ in range(calls):
        mx.eval(function())


RUNNERS = {"graph": graph, "eager": eager}


def clock(run, function, calls):
    begin = time.perf_counter()
    run(function, calls)
    return (time.perf_counter() - begin) / calls


def judge(pairs_of, rounds=ROUNDS, most_seconds=MOST_SECONDS):
    """Returns the pairs of times (ours, stock's) of the last round that was needed.

    ``pairs_of(count)`` yields ``count`` new pairs. The last round decides.
    """
    started = time.perf_counter()
    for count in rounds:
        pairs = []
        for pair in pairs_of(count):
            pairs.append(pair)
            if time.perf_counter() - started > most_seconds and len(pairs) > 2:
                break
        if ratio_of(pairs) <= DOUBT:
            break
    return pairs


def ratio_of(pairs):
    return statistics.median(ours / theirs for ours, theirs in pairs)


def peak_of(function):
    """Returns how many bytes a call allocates at its peak, as MLX counts them."""
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(function())
    return max(0, mx.get_peak_memory() - before)


def measure(case, functions=never_cases.functions):
    """Times a case by the functions that ``functions(case, a)`` returns."""
    a = never_cases.make_array(case)
    ours, theirs = functions(case, a)
    run = RUNNERS[case.mode]
    peaks = [peak_of(function) for function in (ours, theirs)]
    once = min(clock(run, function, 1) for function in (ours, theirs))
    calls = max(1, min(MOST_CALLS, int(MEASUREMENT_SECONDS / once)))

    def pairs(count):
        for i in range(count):
            # They take turns at being first.
            if i % 2:
                stocks = clock(run, theirs, calls)
                yield clock(run, ours, calls), stocks
            else:
                own = clock(run, ours, calls)
                yield own, clock(run, theirs, calls)

    found = judge(pairs)
    seconds = statistics.median(own for own, _ in found)
    return Result(case, ratio_of(found), seconds, *peaks)


def slower(results, than=SLOWER):
    """Returns the results with a ratio above ``than``, the worst first."""
    found = [r for r in results if r.ratio > than]
    return sorted(found, key=lambda r: -r.ratio)


def geometric_mean(ratios):
    return math.exp(statistics.fmean(math.log(r) for r in ratios))


def percent(part, whole):
    return f"{part} ({100 * part / whole:.1f}%)" if whole else str(part)


def summary_row(name, results):
    """Makes a row of the table of ops. Speed is stock's time divided by ours."""
    count = len(results)
    speed = 1 / geometric_mean([r.ratio for r in results])
    higher = sum(r.higher_peak for r in results)
    numbers = [percent(len(slower(results, x)), count) for x in (SLOWER, MUCH_SLOWER)]
    return [name, str(count), f"{speed:.2f}", *numbers, percent(higher, count)]


def op_table(results):
    head = ["op", "cases", "times as fast as stock", "slower by > 10%"]
    rows = [[*head, "slower by > 50%", "higher peak"]]
    whole = [r for r in results if r.case.is_whole_row]
    others = [r for r in results if not r.case.is_whole_row]
    for op in never_cases.OPS:
        if found := [r for r in others if r.case.op == op]:
            rows.append(summary_row(op, found))
    if others:
        rows.append(summary_row("all of these", others))
    if whole:
        rows.append(summary_row("topk values with k = n", whole))
    return markdown_table(rows)


def worst_table(results, count=25):
    rows = [["case", "our time / stock's", "ours, us"]]
    for r in slower(results)[:count]:
        rows.append([str(r.case), f"{r.ratio:.2f}", f"{r.seconds * 1e6:.1f}"])
    return markdown_table(rows) if len(rows) > 1 else "None.\n"


def peak_table(results, count=10):
    found = [r for r in results if r.higher_peak]
    found.sort(key=lambda r: -r.peak / max(r.stock_peak, 1))
    rows = [["case", "our peak, bytes", "stock's peak, bytes"]]
    rows += [[str(r.case), str(r.peak), str(r.stock_peak)] for r in found[:count]]
    return markdown_table(rows) if found else "None.\n"


def report(results, drawn):
    """Writes the tables. Those of the worst cases leave out `Case.is_whole_row`."""
    tables = op_table(results)
    results = [r for r in results if not r.case.is_whole_row]
    return (
        f"{drawn}\n\n{tables}\n"
        f"The worst 25 of the slower cases:\n\n{worst_table(results)}\n"
        f"The worst 10 of the cases with a higher peak:\n\n{peak_table(results)}"
    )


def source(environment):
    return (
        f"{environment['processor']}, instruction set {environment['instructions']}, "
        f"one thread; commit {environment['commit']}; mlx "
        f"{environment['versions']['mlx']}."
    )


def update(page, instructions, text):
    """Replaces the section of an instruction set, or adds it at the end of the page."""
    begin, end = f"<!-- {instructions} -->", f"<!-- end of {instructions} -->"
    section = f"{begin}\n\n{text}\n{end}\n"
    before, found, rest = page.read_text().partition(begin + "\n")
    if found:
        page.write_text(before + section + rest.partition(end + "\n")[2])
    else:
        page.write_text(f"{before.rstrip()}\n\n{section}")


def sample(arguments):
    """Returns the cases to measure, and a sentence about how they were drawn."""
    by_op = collections.defaultdict(list)
    for case in never_cases.all_cases(filters(arguments)):
        by_op[case.op].append(case)
    every = sum(map(len, by_op.values()))
    if arguments.all or arguments.cases >= every:
        return list(itertools.chain(*by_op.values())), f"All {every} cases."
    chance = random.Random(arguments.seed)
    of_each = arguments.cases // len(by_op)
    drawn = [chance.sample(c, min(of_each, len(c))) for c in by_op.values()]
    cases = list(itertools.chain(*drawn))
    # The order is random, so that a disturbance does not fall on one op.
    chance.shuffle(cases)
    text = f"{len(cases)} of {every} cases, as many of each op, drawn at random with "
    return cases, f"{text}seed {arguments.seed}."


def filters(arguments):
    """Maps the fields that the command line restricts to the values that it allows."""
    given = {field: getattr(arguments, field) for field in never_cases.FIELDS}
    return {field: text.split(",") for field, text in given.items() if text}


def parse(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10000, help="how many to draw")
    parser.add_argument("--all", action="store_true", help="measure every case")
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--slower", type=pathlib.Path, help="a file for slower cases")
    parser.add_argument("--no-page", action="store_true", help="do not write the page")
    for field in never_cases.FIELDS:
        parser.add_argument(f"--{field}", help="only these, separated by commas")
    return parser.parse_args(words)


def write_slower(file, results):
    """Writes one line for each slower case and each case with a higher peak."""
    lines = [
        f"{r.ratio:7.2f} {r.seconds * 1e6:10.1f} us  {r.case}" for r in slower(results)
    ]
    for r in results:
        if r.higher_peak:
            lines.append(f"peak {r.peak} stock's {r.stock_peak}  {r.case}")
    file.write_text("\n".join(lines) + "\n")


def main(words=None):
    arguments = parse(words)
    mx.set_default_device(mx.cpu)
    mx.set_selection_threads(1)
    environment = machine.describe()
    cases, drawn = sample(arguments)
    results = []
    for i, case in enumerate(cases, 1):
        results.append(measure(case))
        if i % 500 == 0:
            print(f"{i} cases, {len(slower(results))} slower", flush=True)
    text = f"{source(environment)}\n{report(results, drawn)}"
    print(text)
    if arguments.slower:
        write_slower(arguments.slower, results)
    if not arguments.no_page:
        instructions = environment["instructions"]
        update(PAGE, instructions, f"## {instructions}\n\n{text}")


if __name__ == "__main__":
    main()
