"""Every difference from stock MLX is on the list of docs/changes-from-stock.md.

The calls of ``stock_calls*.py`` are made here, and on stock MLX in a process of its
own. Results are compared bit for bit, errors by their type and message.
"""

import collections
import functools
import os
import pathlib
import pickle
import re
import subprocess
import sys

import pytest
from compared_results import Compared, same
from differences import DIFFERENCES, explanation
from stock_calls import calls, drawn_calls, result_of

ROOT = pathlib.Path(__file__).parents[1]
STOCK = ROOT / "build/stock"
PAGE = ROOT / "docs/changes-from-stock.md"


@functools.cache
def results_of_stock(seed, draws, folder):
    output = folder / f"{seed}.pickle"
    command = [sys.executable, ROOT / "tests/stock_calls.py", output]
    subprocess.run(
        [*command, "--seed", str(seed), "--draws", str(draws)],
        env={**os.environ, "PYTHONPATH": str(STOCK)},
        check=True,
        timeout=300,
    )
    version, results = pickle.loads(output.read_bytes())
    assert "+" not in version, "this is not stock MLX"
    return results


def compare(seed, draws, folder):
    """Returns how many calls were made, and the names of those whose results differ.

    The names are grouped by the key of the difference that explains them, or by None.
    """
    stock = results_of_stock(seed, draws, folder)
    made = calls(seed, draws)
    assert [call.name for call in made] == list(stock)
    differing = collections.defaultdict(list)
    for call in made:
        ours = result_of(call)
        if not same(stock[call.name], ours):
            it = Compared(call, stock[call.name], ours, stock.get(call.twin))
            differing[explanation(it)].append(call.name)
    return len(made), differing


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    return compare(0, 8, tmp_path_factory.mktemp("stock"))


def test_what_differs_from_stock_is_on_the_list(compared):
    number, differing = compared
    assert number > 1500
    assert differing[None] == []


@pytest.mark.parametrize("key", [difference.key for difference in DIFFERENCES])
def test_each_difference_of_the_list_is_seen(compared, key):
    assert compared[1][key]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_differs_from_stock_in_a_larger_draw_is_on_the_list(seed, tmp_path):
    number, differing = compare(seed, 60, tmp_path)
    assert number > 9000
    assert differing[None] == []


def test_the_page_has_the_list():
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \| (.*) \|$", PAGE.read_text(), re.M)
    assert rows == [(d.key, d.what, d.why) for d in DIFFERENCES]


# ---- The comparison finds planted differences ------------------------------------


@pytest.mark.parametrize("op", ["topk", "partition", "argpartition", "sort", "argmax"])
def test_a_wrong_element_is_noticed(op):
    """Changes one element of each result; no difference may explain that."""
    noticed = 0
    for call in drawn_calls(0, 2):
        stock, wrong = result_of(call), result_of(call)
        if call.op != op or not hasattr(wrong, "bits") or not wrong.bits.size:
            continue
        wrong.bits.flat[0] ^= 1
        it = Compared(call, stock, wrong, None)
        assert explanation(it) is None, call.name
        noticed += 1
    assert noticed > 10


@pytest.mark.parametrize("op", ["topk", "argmax", "searchsorted"])
def test_another_shape_or_type_is_noticed(op):
    for call in drawn_calls(0, 2):
        stock, shape, dtype = (result_of(call) for _ in range(3))
        if call.op == op and hasattr(stock, "bits"):
            shape.bits, shape.values = shape.bits[None], shape.values[None]
            assert explanation(Compared(call, stock, shape, None)) is None
            dtype.dtype = "int64" if stock.dtype != "int64" else "int32"
            assert explanation(Compared(call, stock, dtype, None)) is None
