"""Writes what docs/performance.md shows of the measurements in docs/data.

    python benchmarks/page.py

For each file ``<instructions>-threads-<n>.json``, writes all tables to a Markdown file
beside that file. For each instruction set, writes a plot beside the data, and a short
table into the page.
"""

import json
import pathlib

import matplotlib

import report
from workloads import PAGE

DOCS = pathlib.Path(__file__).parents[1] / "docs"
DATA = DOCS / "data"
NAMES = {"avx512": "AVX-512", "avx2": "AVX2"}
PLOTTED = ["stock", "torch", "numpy", "max pass"]


def load(folder=DATA):
    """Returns {instruction set: {number of threads: results}}, both sorted by key."""
    found = {}
    for file in folder.glob("*-threads-*.json"):
        instructions, _, threads = file.stem.partition("-threads-")
        by_threads = found.setdefault(instructions, {})
        by_threads[int(threads)] = json.loads(file.read_text())
    return {name: dict(sorted(found[name].items())) for name in sorted(found)}


def source(environment):
    """Says what was measured on which machine, in one line."""
    versions = ", ".join(f"{k} {v}" for k, v in environment["versions"].items())
    return (
        f"{environment['processor']}, instruction set {environment['instructions']}, "
        f"threads: {environment['threads']}; commit {environment['commit']}; {versions}"
    )


def all_tables(results):
    environment = results["environment"]
    return (
        f"# Every measurement: {environment['instructions']}, threads: "
        f"{environment['threads']}\n\n{source(environment)}.\n\n"
        "What the columns mean is said in [performance.md](../performance.md). Columns "
        "named after a rival hold its time divided by ours.\n\n"
        f"{report.full_tables(results)}"
    )


def label(case):
    k = f", k = {case.k}" if case.k else ""
    return f"{case.op} ({case.rows}, {case.n}){k}"


def stock_of(result):
    """Returns the name of the stock rival that does the same work."""
    return "stock idiom" if result["op"] == "topk" else "stock"


def short_row(case, result):
    """Makes the cells of a case, measured with the fewest threads."""
    single, batched = (result[mode]["ours"]["median"] for mode in report.MODES)
    row = [label(case), report.microseconds(single), report.microseconds(batched)]
    for rival in (stock_of(result), "torch"):
        row += [report.ratio_cell(result, rival, mode) for mode in report.MODES]
    for rival in ("numpy", "max pass"):
        row.append(report.ratio_cell(result, rival, "batched"))
    return row


def short_table(by_threads):
    """Makes the table of one instruction set: a row for each case of `PAGE`.

    The last column has the time with the most threads that were measured.
    """
    fewest, most = min(by_threads), max(by_threads)
    measured = {n: report.by_set_and_case(by_threads[n]) for n in (fewest, most)}
    rows = [
        [
            "op and input",
            "one call, us",
            "batched, us",
            "stock, one call",
            "stock, batched",
            "torch, one call",
            "torch, batched",
            "NumPy, batched",
            "max pass, batched",
            f"batched, us, threads: {most}",
        ]
    ]
    for name, case in PAGE:
        result = report.result_of(measured[fewest], name, case)
        if result is None:
            continue
        more = report.result_of(measured[most], name, case)
        time = report.microseconds(more["batched"]["ours"]["median"]) if more else ""
        rows.append([*short_row(case, result), time])
    return report.markdown_table(rows)


def section(instructions, by_threads):
    """Writes the part of the page about one instruction set."""
    environment = by_threads[min(by_threads)]["environment"]
    name = NAMES.get(instructions, instructions)
    stems = {n: f"{instructions}-threads-{n}" for n in by_threads}
    links = ", ".join(
        f"threads: {n} ([tables](data/{stem}.md), [JSON](data/{stem}.json))"
        for n, stem in stems.items()
    )
    return (
        f"### {name}: {environment['processor']}\n\n{source(environment)}.\n"
        f"Everything measured: {links}.\n\n"
        f"![Time of each rival divided by ours, {name}](data/{instructions}.svg)\n\n"
        f"{short_table(by_threads)}"
    )


def page_text(found):
    return "\n".join(section(*pair) for pair in found.items())


def plotted_ratio(result, rival):
    """Returns the ratio that a bar shows, or None if there is no bar to draw."""
    if rival == "stock":
        rival = stock_of(result)
    # A sort does far more than a pass over memory, so no bar compares the two.
    if rival == "max pass" and result["op"] in ("sort", "argsort"):
        return None
    known = rival in result["batched"]
    return report.ratio(result, rival, "batched") if known else None


def plot(results, file):
    """Draws a bar for each case and rival: its batched time divided by ours."""
    matplotlib.use("svg")
    # Fixed ids make the file reproducible, and text kept as text makes it small.
    matplotlib.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none"})
    from matplotlib import pyplot

    measured = report.by_set_and_case(results)
    pairs = [(case, report.result_of(measured, name, case)) for name, case in PAGE]
    pairs = [(case, result) for case, result in pairs if result]
    figure, axes = pyplot.subplots(figsize=(9, 0.3 * len(pairs) + 1.2))
    height = 0.8 / len(PLOTTED)
    for i, rival in enumerate(PLOTTED):
        bars = {
            y + i * height: got - 1
            for y, (_, result) in enumerate(pairs)
            if (got := plotted_ratio(result, rival)) is not None
        }
        # Bars start at 1, so that those of faster rivals point to the left.
        axes.barh(list(bars), list(bars.values()), height, left=1, label=rival)
    centres = [y + 0.4 - height / 2 for y in range(len(pairs))]
    axes.set_yticks(centres, [label(case) for case, _ in pairs], fontsize=8)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    environment = results["environment"]
    axes.set_xlabel(
        "time divided by ours, batched (to the right of 1 ours is faster); "
        f"{environment['instructions']}, threads: {environment['threads']}"
    )
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def main():
    found = load()
    for instructions, by_threads in found.items():
        for threads, results in by_threads.items():
            file = DATA / f"{instructions}-threads-{threads}.md"
            file.write_text(all_tables(results))
        plot(by_threads[min(by_threads)], DATA / f"{instructions}.svg")
    report.update(DOCS / "performance.md", "measured", page_text(found))


if __name__ == "__main__":
    main()
