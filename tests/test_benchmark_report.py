"""The benchmark's report has every measurement, and the pages show these data."""

import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import neon_counts  # noqa: E402

import page  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
from workloads import GOALS, PAGE, SETS, Case, Goal  # noqa: E402

CASE = Case("topk", 8192, 8, 2)
FILES = sorted(page.DATA.glob("*-threads-*.json"))


def result(case, stock, **rivals):
    """Returns what run.py writes for a case: 1 us for ours, ``stock`` us for stock."""
    times = {"ours": 1.0, "ours, values": 1.0, "stock idiom": stock, **rivals}
    medians = {name: {"median": us, "p10": us, "p90": us} for name, us in times.items()}
    shown = {"case": str(case), **vars(case), "bytes": 1}
    return {**shown, "single": medians, "batched": medians}


def test_one_case_in_two_sets_is_reported_twice():
    results = {"table": [result(CASE, 6.96)], "types": [result(CASE, 7.8)]}
    both = Goal("both", [("table", CASE), ("types", CASE)], "stock idiom", 7)
    for outcome in report.outcomes(results, [both]):
        assert [got for got, _ in outcome.ratios] == [6.96, 7.8]
        assert outcome.met == 1 and outcome.worst[0] == 6.96
    text = report.full_tables(results)
    assert "| 7.0 | 7.0 |" in text and "| 7.8 | 7.8 |" in text


@pytest.mark.parametrize("order", [("table", "types"), ("types", "table")])
def test_a_goal_takes_the_figure_of_its_own_set(order):
    figures = {"table": 6.96, "types": 7.8}
    results = {name: [result(CASE, figures[name])] for name in order}
    for name, figure in figures.items():
        goal = Goal(name, [(name, CASE)], "stock idiom", 1)
        single, batched = report.outcomes(results, [goal])
        assert single.worst[0] == batched.worst[0] == figure


@pytest.mark.parametrize("change", [{"dtype": "int8"}, {"data": "narrow"}, {"k": 3}])
def test_two_cases_of_one_shape_in_one_set_both_appear(change):
    other = Case(**{**vars(CASE), **change})
    results = {"table": [result(CASE, 3.0), result(other, 4.0)]}
    goal = Goal("both", [("table", CASE), ("table", other)], "stock idiom", 1)
    for outcome in report.outcomes(results, [goal]):
        assert [got for got, _ in outcome.ratios] == [3.0, 4.0]
    assert len(report.by_set_and_case(results)) == 2


def test_the_sweep_counts_two_equal_cases_twice():
    swept = [result(CASE, 1.0, torch=0.5), result(CASE, 1.0, torch=0.25)]
    assert "2 shapes" in report.sweep_summary(swept)
    assert f"{CASE}: 0.25, {CASE}: 0.50" in report.sweep_summary(swept)


def test_goals_and_the_page_name_cases_that_are_measured():
    for name, case in [*PAGE, *(pair for goal in GOALS for pair in goal.cases)]:
        assert case in SETS[name]
    for cases in SETS.values():
        assert len({str(case) + case.op for case in cases}) == len(cases)


ENVIRONMENT = {"processor": "A B (1)", "instructions": "avx2", "threads": 1}


def test_a_rival_that_was_not_measured_leaves_its_cell_empty():
    [(name, case), *_] = PAGE
    results = {name: [result(case, 3.0)], "environment": ENVIRONMENT}
    row = page.short_table({"avx2": {1: results}}).splitlines()[2]
    assert row == f"| {page.label(case)} | 1.0 | 3.0 |  |  |  | 1.0 | 1.0 | 3.0 |  |"


def test_a_table_has_columns_for_each_instruction_set():
    [(name, case), *_] = PAGE
    by_instructions = {
        instructions: {1: {name: [result(case, stock)], "environment": ENVIRONMENT}}
        for instructions, stock in [("avx2", 3.0), ("baseline", 5.0)]
    }
    lines = page.short_table(by_instructions).splitlines()
    assert "AVX2: stock" in lines[0] and "baseline: stock" in lines[0]
    row = "1.0 | 3.0 |  |  | 1.0 | 5.0 |  |  |  | 1.0 | 1.0 | 3.0 |  |"
    assert lines[2] == f"| {page.label(case)} | {row}"
    assert (
        page.claim({"A": by_instructions}) == "3.0 to 5.0 times ours (AVX2, baseline)"
    )


def test_the_name_of_a_file_has_the_processor_the_instructions_and_the_threads():
    assert page.stem(ENVIRONMENT) == "a-b-1-avx2-threads-1"


def test_the_page_counts_neon_instructions_of_every_case():
    text = (page.DOCS / "performance.md").read_text()
    _, _, section = text.partition("<!-- neon-counts -->")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.partition("<!-- end of neon-counts -->")[0].splitlines()
        if line.startswith("|")
    ][2:]
    assert [row[0] for row in rows] == [page.label(case) for case in neon_counts.CASES]
    made = neon_counts.table([(neon_counts.CASES[0], (2.0, 3.0))])
    assert made.endswith(f"| {page.label(neon_counts.CASES[0])} | 2.0 | 3.0 | 1.5 |\n")


def test_measurements_name_the_machine_and_the_commit():
    environment = run.environment(1)
    for name in ("processor", "instructions", "commit", "threads", "versions"):
        assert environment[name]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_published_data_name_their_machine_and_match_their_tables(file):
    results = json.loads(file.read_text())
    environment = results["environment"]
    assert file.stem == page.stem(environment)
    assert environment["processor"] and environment["commit"]
    assert file.with_suffix(".md").read_text() == page.all_tables(results)


def test_the_pages_show_the_published_data():
    text = (page.DOCS / "performance.md").read_text()
    found = page.load()
    assert found and page.page_text(found) in text
    assert f"-->{page.claim(found)}<!--" in (ROOT / "README.md").read_text()
    for processor in found:
        assert "</svg>" in (page.DATA / f"{page.slug(processor)}.svg").read_text()
