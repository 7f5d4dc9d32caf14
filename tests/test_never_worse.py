"""The sweep against stock MLX finds what is slower, and nothing else."""

import pathlib
import sys
import time

import mlx.core as mx
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import never_cases  # noqa: E402
import never_worse  # noqa: E402
from never_cases import Case  # noqa: E402
from never_worse import Result  # noqa: E402

CASE = Case("sort", 64, "many", "last", "float32", "random", 0, "graph")
WHOLE = Case("topk values", 8, "one", "last", "float32", "random", 8, "graph")


def results(*ratios, case=CASE, peaks=(0, 0)):
    return [Result(case, ratio, 1e-6, *peaks) for ratio in ratios]


def rows_of(table):
    """Maps the first cell of each row of a table to the other cells."""
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {name: cells for name, *cells in lines}


def test_slower_cases_are_counted_by_how_much_slower_they_are():
    found = results(0.5, 1.0, 1.09, 1.11, 1.49, 1.51, 8.0)
    row = rows_of(never_worse.op_table(found))["sort"]
    assert row[0] == "7"
    assert row[2:4] == ["4 (57.1%)", "2 (28.6%)"]


def test_the_mean_is_geometric():
    row = rows_of(never_worse.op_table(results(0.25, 1.0)))["sort"]
    assert row[1] == "2.00"


def test_higher_peaks_are_counted():
    found = results(1.0, peaks=(9, 8)) + results(1.0, 1.0, peaks=(8, 8))
    assert rows_of(never_worse.op_table(found))["sort"][-1] == "1 (33.3%)"
    assert f"| {CASE} | 9 | 8 |" in never_worse.peak_table(found)


def test_the_worst_cases_come_first():
    lines = never_worse.worst_table(results(1.2, 3.0, 1.0, 2.0)).splitlines()[2:]
    assert [line.split("|")[2].strip() for line in lines] == ["3.00", "2.00", "1.20"]


def test_topk_of_the_whole_row_has_a_line_of_its_own():
    found = results(1.0) + results(50.0, case=WHOLE)
    rows = rows_of(never_worse.op_table(found))
    assert rows["all of these"][2] == "0 (0.0%)"
    assert rows["topk values with k = n"][2] == "1 (100.0%)"
    assert str(WHOLE) not in never_worse.report(found, "")


@pytest.mark.parametrize("mode", never_cases.MODES)
def test_a_slow_op_is_found(mode):
    def planted(case, a):
        def slow():
            time.sleep(0.0003)
            return mx.sort(a)

        return slow, lambda: mx.sort(a)

    case = Case("sort", 64, "one", "last", "float32", "random", 0, mode)
    assert never_worse.measure(case, planted).ratio > never_worse.MUCH_SLOWER


def test_an_op_that_allocates_more_is_found():
    def planted(case, a):
        return lambda: mx.sort(a) + mx.zeros((1 << 20,)).sum(), lambda: mx.sort(a)

    result = never_worse.measure(CASE, planted)
    # MLX may have freed one array before it allocates the other.
    assert result.higher_peak and result.peak >= 1 << 22


def test_a_doubtful_case_is_measured_afresh():
    rounds = []

    def disturbed(count):
        rounds.append(count)
        ours = 5.0 if len(rounds) == 1 else 1.0
        return [(ours, 1.0)] * count

    assert never_worse.ratio_of(never_worse.judge(disturbed)) == 1.0
    assert rounds == list(never_worse.ROUNDS[:2])


def test_a_slower_case_is_slower_in_every_round():
    rounds = []

    def slow(count):
        rounds.append(count)
        return [(1.5, 1.0)] * count

    assert never_worse.ratio_of(never_worse.judge(slow)) == 1.5
    assert rounds == list(never_worse.ROUNDS)


def test_a_sample_has_as_many_cases_of_each_op_and_depends_on_the_seed_alone():
    def draw(*words):
        return never_worse.sample(never_worse.parse(["--n", "1,17", *words]))[0]

    cases = draw("--cases", "90")
    assert {op: sum(c.op == op for c in cases) for op in never_cases.OPS} == {
        op: 10 for op in never_cases.OPS
    }
    assert len(set(cases)) == 90
    assert cases == draw("--cases", "90") != draw("--cases", "90", "--seed", "1")
    assert {c.n for c in draw("--all", "--op", "sort")} == {1, 17}


@pytest.mark.parametrize("axis", never_cases.AXES)
@pytest.mark.parametrize("data", never_cases.DATA)
def test_both_sides_of_a_case_select_the_same_values(data, axis):
    for op in ("topk values", "topk with indices", "top_k", "sort"):
        case = Case(op, 17, "many", axis, "float32", data, 5 if op != "sort" else 0, "")
        a = never_cases.make_array(case)
        along = 1 if axis == "last" else 0
        assert a.shape[along] == 17 and a.shape[1 - along] == case.count
        ours, theirs = (function() for function in never_cases.functions(case, a))
        if op in ("topk with indices", "top_k"):
            ours, theirs = ours[0], theirs[0]
        if data == "NaN":
            # Stock MLX sorts NaN last but negates for top_k, where it comes last too.
            assert ours.shape == theirs.shape
            continue
        got, wanted = (np.sort(np.array(x), axis=along) for x in (ours, theirs))
        np.testing.assert_array_equal(got, wanted)


def test_a_section_is_replaced_and_a_new_one_is_added(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Head\n")
    for text in ("old\n", "new\n"):
        never_worse.update(page, "avx2", text)
        never_worse.update(page, "baseline", f"b {text}")
    expected = "<!-- avx2 -->\n\nnew\n\n<!-- end of avx2 -->\n"
    other = "<!-- baseline -->\n\nb new\n\n<!-- end of baseline -->\n"
    assert page.read_text() == f"# Head\n\n{expected}\n{other}"
