"""The results of run.py as a line, as tables, and as a plot."""

import math

from cases import GOALS

RIVALS = ["stock idiom", "stock topk, values", "stock", "stock argmax", "torch"]
RIVALS += ["numpy", "jax", "max pass"]
MODES = ("eager", "graph")
OWN = {"stock topk, values": "ours, values", "stock argmax": "ours, values"}


def ratio(result, rival, mode):
    """How many times as long as ours the rival's takes."""
    ours = result[mode][OWN.get(rival, "ours")]["median"]
    return result[mode][rival]["median"] / ours


def line(result):
    ours = result["eager"]["ours"]["median"]
    graph = result["graph"]["ours"]["median"]
    ratios = [
        " ".join([rival, *(f"{ratio(result, rival, m):.1f}x" for m in MODES)])
        for rival in RIVALS
        if rival in result["eager"]
    ]
    return f"{result['case']}: {ours:.1f} us, {graph:.1f} us; " + "; ".join(ratios)


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def times(value):
    return f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


def table(results, rivals):
    head = ["case", "ours, eager", "p10 to p90", "in a graph", "GB/s"]
    head += [f"{rival}, eager" for rival in rivals]
    head += [f"{rival}, graph" for rival in rivals]
    rows = [head, ["---"] * len(head)]
    for result in results:
        eager, graph = result["eager"]["ours"], result["graph"]["ours"]
        row = [result["case"], number(eager["median"])]
        row.append(f"{number(eager['p10'])} to {number(eager['p90'])}")
        row += [number(graph["median"])]
        row.append(f"{result['bytes'] / graph['median'] / 1e3:.1f}")
        for mode in MODES:
            for rival in rivals:
                known = rival in result[mode]
                row.append(times(ratio(result, rival, mode)) if known else "")
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def goal_rows(results):
    known = {
        (r["op"], r["case"]): r
        for name, group in results.items()
        if name not in ("environment", "sweep")
        for r in group
    }
    for goal in GOALS:
        found = [known.get((case.op, str(case))) for case in goal.cases]
        found = [r for r in found if r and goal.rival in r["eager"]]
        for mode in MODES:
            ratios = {
                r["op"] + " " + r["case"]: ratio(r, goal.rival, mode) for r in found
            }
            if ratios:
                missed = [case for case, got in ratios.items() if got < goal.times]
                worst = min(ratios, key=ratios.get)
                yield goal, mode, len(ratios), missed, worst, ratios[worst]


def goals(results):
    rows = ["| goal | mode | met | worst |", "| --- | --- | --- | --- |"]
    for goal, mode, count, missed, worst, got in goal_rows(results):
        met = f"{count - len(missed)} of {count}"
        rows.append(f"| {goal.text} | {mode} | {met} | {times(got)} on {worst} |")
    return "\n".join(rows) + "\n"


def sweep_summary(results):
    rows = []
    for mode in MODES:
        ratios = {r["case"]: ratio(r, "torch", mode) for r in results}
        slower = {case: got for case, got in ratios.items() if got < 1}
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        rows.append(
            f"{mode}: {len(ratios)} shapes; torch.topk takes {mean:.1f} times as long "
            f"in the geometric mean; we are slower on {len(slower)}"
        )
        if slower:
            worst = sorted(slower, key=slower.get)[:12]
            rows.append(", ".join(f"{case}: {slower[case]:.2f}" for case in worst))
    return "\n\n".join(rows) + "\n"


def markdown(results):
    env = results["environment"]
    versions = ", ".join(f"{k} {v}" for k, v in env["versions"].items())
    text = f"{env['processor']} ({env['instructions']}), threads: {env['threads']}; "
    text += f"{versions}.\n\n"
    for name, group in results.items():
        if name == "sweep":
            text += f"### sweep\n\n{sweep_summary(group)}\n"
        elif name != "environment":
            there = [r for r in RIVALS if any(r in x["eager"] for x in group)]
            ops = sorted({result["op"] for result in group})
            for op in ops:
                rows = [result for result in group if result["op"] == op]
                text += f"### {name}: {op}\n\n{table(rows, there)}\n"
    return text + f"### goals\n\n{goals(results)}"


def plot(results, file):
    """A bar for each rival and case: how many times as long as ours it takes."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "bench"
    import matplotlib.pyplot as plt

    shown = results.get("table", []) + results.get("sorts", [])
    if not shown:
        return
    names = ["stock idiom", "stock", "torch", "numpy", "max pass"]
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(shown) + 1.5))
    height = 0.8 / len(names)
    for i, rival in enumerate(names):
        # A max pass is a limit for topk, and no more than a unit for sorts.
        has = [
            (y, r)
            for y, r in enumerate(shown)
            if rival in r["graph"] and (rival != "max pass" or r["op"] == "topk")
        ]
        bars = [ratio(r, rival, "graph") for _, r in has]
        axes.barh([y + i * height for y, _ in has], bars, height, label=rival)
    labels = [f"{r['op']} {r['case'].replace(' float32', '')}" for r in shown]
    axes.set_yticks([y + 0.4 - height / 2 for y in range(len(shown))], labels)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("time of a rival, ours being 1")
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def update(page, name, text):
    """Puts ``text`` between the marks of ``name`` on a page."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = page.read_text().split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")
