"""Writes what docs/performance.md and README.md show of the measurements in docs/data.

    python benchmarks/page.py

Each file ``<processor>-<instructions>-threads-<n>.json`` gets all its tables as a
Markdown file beside it. Each processor gets a plot beside its data and a section of the
page, with all instruction sets that were measured on it.
"""

import json
import pathlib
import re

import matplotlib

import report
from workloads import PAGE

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
DATA = DOCS / "data"
# The fastest first.
NAMES = {"avx512": "AVX-512", "avx2": "AVX2", "baseline": "baseline"}
PLOTTED = ["stock", "torch", "numpy", "max pass"]


def slug(processor):
    return re.sub("[^a-z0-9]+", "-", processor.lower()).strip("-")


def stem(environment):
    """Returns the name of a file of measurements, without its suffix."""
    parts = [slug(environment["processor"]), environment["instructions"]]
    return "-".join([*parts, "threads", str(environment["threads"])])


def load(folder=DATA):
    """Returns {processor: {instruction set: {number of threads: results}}}.

    Processors are sorted by name, instruction sets by speed, threads by number.
    """
    found = {}
    for file in folder.glob("*-threads-*.json"):
        results = json.loads(file.read_text())
        environment = results["environment"]
        by_instructions = found.setdefault(environment["processor"], {})
        by_threads = by_instructions.setdefault(environment["instructions"], {})
        by_threads[environment["threads"]] = results
    return {
        processor: {
            name: dict(sorted(found[processor][name].items()))
            for name in NAMES
            if name in found[processor]
        }
        for processor in sorted(found)
    }


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


def fewest_threads(by_threads):
    return by_threads[min(by_threads)]


def batched_cells(result):
    """Makes the cells of a case that every instruction set has."""
    if result is None:
        return [""] * 4
    cells = [report.microseconds(result["batched"]["ours"]["median"])]
    rivals = (stock_of(result), "torch", "numpy")
    return cells + [report.ratio_cell(result, rival, "batched") for rival in rivals]


def extra_cells(result, more):
    """Makes the cells of a case that only the fastest instruction set has.

    ``more`` is the result with the most threads, or None.
    """
    single = result["single"]["ours"]["median"]
    return [
        report.ratio_cell(result, "max pass", "batched"),
        report.microseconds(more["batched"]["ours"]["median"]) if more else "",
        report.microseconds(single),
        *(report.ratio_cell(result, r, "single") for r in (stock_of(result), "torch")),
    ]


def head(by_instructions):
    cells = ["op and input"]
    for name in by_instructions:
        rivals = [f"{NAMES[name]}: {rival}" for rival in ("stock", "torch", "NumPy")]
        cells += [f"{NAMES[name]}, us", *rivals]
    fastest = next(iter(by_instructions))
    cells += [f"{NAMES[fastest]}: max pass"]
    cells += [f"{NAMES[fastest]}, threads: {max(by_instructions[fastest])}, us"]
    calls = ("us", "stock", "torch")
    return cells + [f"{NAMES[fastest]}, one call: {what}" for what in calls]


def short_table(by_instructions):
    """Makes the table of one processor: a row for each case of `PAGE`."""
    measured = {
        name: report.by_set_and_case(fewest_threads(by_threads))
        for name, by_threads in by_instructions.items()
    }
    fastest = next(iter(by_instructions))
    threads = by_instructions[fastest]
    with_most = report.by_set_and_case(threads[max(threads)])
    rows = [head(by_instructions)]
    for name, case in PAGE:
        results = [report.result_of(found, name, case) for found in measured.values()]
        if results[0] is None:
            continue
        row = [label(case)]
        for result in results:
            row += batched_cells(result)
        more = report.result_of(with_most, name, case)
        rows.append(row + extra_cells(results[0], more))
    return report.markdown_table(rows)


def links(by_instructions):
    """Links to everything that was measured on one processor."""
    lines = []
    for name, by_threads in by_instructions.items():
        for threads, results in by_threads.items():
            environment = results["environment"]
            file = f"data/{stem(environment)}"
            lines.append(
                f"- {NAMES[name]}, threads: {threads}, commit {environment['commit']}, "
                f"{environment['date']}: [tables]({file}.md), [JSON]({file}.json)"
            )
    return "\n".join(lines)


def section(processor, by_instructions):
    """Writes the part of the page about one processor."""
    names = ", ".join(NAMES[name] for name in by_instructions)
    return (
        f"### {processor}: {names}\n\nEverything that was measured:\n\n"
        f"{links(by_instructions)}\n\n"
        f"![Time of each rival divided by ours, {processor}]"
        f"(data/{slug(processor)}.svg)\n\n"
        f"{short_table(by_instructions)}"
    )


def page_text(found):
    return "\n".join(section(*pair) for pair in found.items())


def claim(found):
    """Says how much faster than the stock idiom topk is, for README.md.

    The range is over all shapes of the page, processors, instruction sets and ways of
    calling, with one thread.
    """
    ratios, sets = [], set()
    for by_instructions in found.values():
        for instructions, by_threads in by_instructions.items():
            measured = report.by_set_and_case(fewest_threads(by_threads))
            for name, case in PAGE:
                result = report.result_of(measured, name, case)
                if result and case.op == "topk":
                    sets.add(instructions)
                    ratios += [
                        report.ratio(result, "stock idiom", mode)
                        for mode in report.MODES
                    ]
    names = ", ".join(name for key, name in NAMES.items() if key in sets)
    return (
        f"{report.times(min(ratios))} to {report.times(max(ratios))} times ours "
        f"({names})"
    )


def plotted_ratio(result, rival):
    """Returns the ratio that a bar shows, or None if there is no bar to draw."""
    if rival == "stock":
        rival = stock_of(result)
    # A sort does far more than a pass over memory, so no bar compares the two.
    if rival == "max pass" and result["op"] in ("sort", "argsort"):
        return None
    known = rival in result["batched"]
    return report.ratio(result, rival, "batched") if known else None


def draw_bars(axes, pairs):
    """Draws a bar for each case and rival: its batched time divided by ours."""
    height = 0.8 / len(PLOTTED)
    for i, rival in enumerate(PLOTTED):
        bars = {
            y + i * height: got - 1
            for y, (_, result) in enumerate(pairs)
            if result and (got := plotted_ratio(result, rival)) is not None
        }
        # Bars start at 1, so that those of faster rivals point to the left.
        axes.barh(list(bars), list(bars.values()), height, left=1, label=rival)
    centres = [y + 0.4 - height / 2 for y in range(len(pairs))]
    axes.set_yticks(centres, [label(case) for case, _ in pairs], fontsize=8)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.margins(y=0.01)


def plot(by_instructions, file):
    """Draws the cases of `PAGE`, with the instruction sets side by side."""
    matplotlib.use("svg")
    # Fixed ids make the file reproducible, and text kept as text makes it small.
    matplotlib.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none"})
    from matplotlib import pyplot

    count = len(by_instructions)
    figure, all_axes = pyplot.subplots(
        1,
        count,
        figsize=(4 + 4.5 * count, 0.3 * len(PAGE) + 1.2),
        sharey=True,
        sharex=True,
        squeeze=False,
    )
    for axes, (name, by_threads) in zip(
        all_axes[0], by_instructions.items(), strict=True
    ):
        results = fewest_threads(by_threads)
        measured = report.by_set_and_case(results)
        draw_bars(axes, [(c, report.result_of(measured, s, c)) for s, c in PAGE])
        threads = results["environment"]["threads"]
        axes.set_title(f"{NAMES[name]}, threads: {threads}", fontsize=9)
    all_axes[0][0].invert_yaxis()
    all_axes[0][-1].legend(loc="lower right", fontsize=8)
    figure.supxlabel(
        "time divided by ours, batched (to the right of 1 ours is faster)", fontsize=9
    )
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def main():
    found = load()
    for processor, by_instructions in found.items():
        for by_threads in by_instructions.values():
            for results in by_threads.values():
                file = DATA / f"{stem(results['environment'])}.md"
                file.write_text(all_tables(results))
        plot(by_instructions, DATA / f"{slug(processor)}.svg")
    report.update(DOCS / "performance.md", "measured", page_text(found))
    report.replace(ROOT / "README.md", "topk range", claim(found))


if __name__ == "__main__":
    main()
