"""Turns the results of run.py into text: a line for each case, and full tables.

A result is a dictionary that run.py makes of one case. Results are grouped by the
name of the set that the case was measured in.
"""

import math
from typing import NamedTuple

from workloads import GOALS, Goal

RIVALS = ["stock idiom", "stock topk, values", "stock", "stock argmax", "torch"]
RIVALS += ["numpy", "jax", "max pass"]
# How calls are timed, and what the column of a table calls it.
MODES = {"single": "one call", "batched": "batched"}
# These rivals return values or indices only. They are compared with a function of this
# build that returns values only.
COUNTERPART = {"stock topk, values": "ours, values", "stock argmax": "ours, values"}


def ratio(result, rival, mode):
    """Returns the rival's median time divided by ours."""
    ours = result[mode][COUNTERPART.get(rival, "ours")]["median"]
    return result[mode][rival]["median"] / ours


def line(result):
    single, batched = (result[mode]["ours"]["median"] for mode in MODES)
    ratios = [
        " ".join([rival, *(f"{ratio(result, rival, m):.1f}x" for m in MODES)])
        for rival in RIVALS
        if rival in result["single"]
    ]
    times = f"{single:.1f} us, batched {batched:.1f} us"
    return f"{result['op']} {result['case']}: {times}; " + "; ".join(ratios)


def microseconds(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def times(value):
    return f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


def ratio_cell(result, rival, mode):
    """Returns the ratio as text, or nothing where the rival was not measured."""
    return times(ratio(result, rival, mode)) if rival in result[mode] else ""


def markdown_table(rows):
    """Writes rows of cells, the first of which is the head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def full_table(results, rivals):
    head = ["case", "one call, us", "p10 to p90", "batched, us", "GB/s"]
    head += [f"{rival}, {name}" for rival in rivals for name in MODES.values()]
    rows = [head]
    for result in results:
        single, batched = (result[mode]["ours"] for mode in MODES)
        row = [
            result["case"],
            microseconds(single["median"]),
            f"{microseconds(single['p10'])} to {microseconds(single['p90'])}",
            microseconds(batched["median"]),
            f"{result['bytes'] / batched['median'] / 1e3:.1f}",
        ]
        row += [ratio_cell(result, rival, m) for rival in rivals for m in MODES]
        rows.append(row)
    return markdown_table(rows)


def sets_of(results):
    """Returns the results of all sets: without the environment and the sweep."""
    return {
        name: group
        for name, group in results.items()
        if name not in ("environment", "sweep")
    }


def by_set_and_case(results):
    """Maps the name of a set and the fields of a case, as one tuple, to the result.

    The key contains the set, because a case that is in two sets is measured twice.
    """
    fields = ("op", "rows", "n", "k", "dtype", "data")
    return {
        (name, *(result[field] for field in fields)): result
        for name, group in sets_of(results).items()
        for result in group
    }


def result_of(measured, name, case):
    """Returns the result of ``case`` in the set ``name``, or None."""
    key = (name, case.op, case.rows, case.n, case.k, case.dtype, case.data)
    return measured.get(key)


class Outcome(NamedTuple):
    """How one goal was met in one mode: the ratio and the label of each case."""

    goal: Goal
    mode: str
    ratios: list[tuple[float, str]]

    @property
    def met(self):
        return sum(got >= self.goal.times for got, _ in self.ratios)

    @property
    def worst(self):
        return min(self.ratios)


def outcomes(results, goals=GOALS):
    """Yields an outcome for each goal and mode that has results."""
    measured = by_set_and_case(results)
    for goal in goals:
        found = [result_of(measured, *pair) for pair in goal.cases]
        found = [r for r in found if r and goal.rival in r["single"]]
        for mode in MODES if found else ():
            ratios = [
                (ratio(r, goal.rival, mode), f"{r['op']} {r['case']}") for r in found
            ]
            yield Outcome(goal, mode, ratios)


def goal_table(results):
    rows = [["goal", "mode", "met", "worst case"]]
    for outcome in outcomes(results):
        got, label = outcome.worst
        rows.append(
            [
                outcome.goal.text,
                MODES[outcome.mode],
                f"{outcome.met} of {len(outcome.ratios)}",
                f"{times(got)} on {label}",
            ]
        )
    return markdown_table(rows)


def sweep_summary(results):
    paragraphs = []
    for mode, name in MODES.items():
        ratios = [(ratio(r, "torch", mode), r["case"]) for r in results]
        slower = sorted(pair for pair in ratios if pair[0] < 1)
        mean = math.exp(sum(math.log(got) for got, _ in ratios) / len(ratios))
        paragraphs.append(
            f"{name}: {len(ratios)} shapes. On average (the geometric mean) torch.topk "
            f"takes {mean:.1f} times as long as ours. It is faster on {len(slower)}. "
            "Where it is fastest, its time divided by ours is:"
        )
        paragraphs.append(
            ", ".join(f"{case}: {got:.2f}" for got, case in slower[:12]) or "none"
        )
    return "\n\n".join(paragraphs) + "\n"


def full_tables(results):
    """Writes all sets, the sweep and the goals as Markdown."""
    text = ""
    for name, group in sets_of(results).items():
        for op in sorted({result["op"] for result in group}):
            rows = [result for result in group if result["op"] == op]
            rivals = [r for r in RIVALS if any(r in x["single"] for x in rows)]
            text += f"## Set {name}: {op}\n\n{full_table(rows, rivals)}\n"
    if "sweep" in results:
        text += f"## Sweep\n\n{sweep_summary(results['sweep'])}\n"
    return text + f"## Goals\n\n{goal_table(results)}"


def replace(page, name, text):
    """Replaces what is between the two marks of ``name`` on a page by ``text``."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = page.read_text().split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}{text}{end}{after}")


def update(page, name, text):
    """Does the same with a text of whole lines."""
    replace(page, name, f"\n\n{text}\n")
