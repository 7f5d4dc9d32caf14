"""The table of docs/topk.md: how other libraries order NaN, both zeros, and ties.

Each cell is computed from what the installed version of the library does.
"""

import functools
import importlib.metadata
import inspect
import pathlib
import re

import array_api_strict
import jax.numpy as jnp
import mlx.core as mx
import numpy as np
import pytest
import torch
from onnx import TensorProto
from onnx_models import topk_session

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs/topk.md"
PINS = ROOT / "requirements-referees.txt"

NONE = "no such sort"


# ---- the orders -----------------------------------------------------------------


def onnx_order(row, descending):
    session = topk_session(TensorProto.FLOAT, largest=descending)
    return session.run(["indices"], {"a": row, "k": np.array([len(row)])})[0]


def numpy_order(row, descending):
    if not descending:
        return np.argsort(row, stable=True)
    if "descending" in inspect.signature(np.argsort).parameters:
        return np.argsort(row, stable=True, descending=True)
    with pytest.raises(TypeError, match="descending"):
        np.argsort(row, descending=True)
    return None


def torch_order(row, descending):
    return torch.argsort(torch.tensor(row), descending=descending, stable=True)


def jax_order(row, descending):
    return jnp.argsort(jnp.array(row), descending=descending, stable=True)


def array_api_order(row, descending):
    a = array_api_strict.asarray(row)
    return array_api_strict.argsort(a, descending=descending, stable=True)


def our_order(row, descending):
    return mx.argsort(mx.array(row), descending=descending, stable=True)


# The package, the name in the table, what the table says of the call, and the function
# that returns indices in sorted order.
LIBRARIES = {
    "numpy": ("NumPy", ", `stable=True`", numpy_order),
    "torch": ("torch", ", `stable=True`", torch_order),
    "jax": ("JAX", "", jax_order),
    "onnxruntime": ("onnxruntime", ", `TopK` with k = n", onnx_order),
    "array-api-strict": ("array-api-strict", "", array_api_order),
}


# ---- what an order says --------------------------------------------------------


def where_nan_is(order):
    """Returns where NaNs of both signs stand, given the order of a row with some."""
    if order is None:
        return NONE
    row = np.array([1, np.nan, -np.inf, 2, -np.nan, np.inf, np.nan, 0, -np.nan], "f")
    nan = np.isnan(row[order(row)]).tolist()
    assert nan in ([True] * 4 + [False] * 5, [False] * 5 + [True] * 4)
    return "first" if nan[0] else "last"


def how_ties_stand(order, row):
    if order is None:
        return NONE
    found = np.asarray(order(row))
    values = row[found]
    ups, downs = True, True
    for value in np.unique(values):
        steps = np.diff(found[values == value])
        ups &= bool((steps > 0).all())
        downs &= bool((steps < 0).all())
    assert ups or downs
    return "lower index first" if ups else "higher index first"


def how_zeros_compare(order):
    rng = np.random.default_rng(0)
    row = np.where(rng.random(300) < 0.5, 0.0, -0.0).astype(np.float32)
    row[::7] = rng.standard_normal(43)
    if order is None:
        return NONE
    zeros = [i for i in np.asarray(order(row)).tolist() if row[i] == 0]
    return "equal" if zeros == sorted(zeros) else "not equal"


def cells_of(order_of):
    """Returns what the table says of a library's order."""
    cells = []
    for descending in (False, True):
        probe = np.arange(3, dtype=np.float32)
        exists = order_of(probe, descending) is not None
        order = functools.partial(order_of, descending=descending) if exists else None
        ties = np.random.default_rng(1).integers(0, 9, 1000).astype(np.float32)
        cells += [
            where_nan_is(order and (lambda row, f=order: np.asarray(f(row)))),
            how_zeros_compare(order),
            how_ties_stand(order, ties),
        ]
    return tuple(cells)


# ---- the table ------------------------------------------------------------------


def rows_of_the_page():
    """Maps the first cell of each row to the others."""
    section = PAGE.read_text().split("### Other libraries")[1].split("\n### ")[0]
    rows = re.findall(r"^\| (.*) \|$", section, re.M)
    return {name: tuple(cells) for name, *cells in (r.split(" | ") for r in rows[1:])}


def versions_of(name, library, call):
    """Returns the versions that a first cell names, if it is of this library."""
    found = re.fullmatch(rf"{library} ([\d., and]+){re.escape(call)}", name)
    return set(re.split(", | and ", found.group(1))) if found else set()


def test_the_page_says_what_is_done_here():
    assert rows_of_the_page()["here"] == cells_of(our_order)


@pytest.mark.parametrize("package", LIBRARIES)
def test_the_page_says_what_the_library_does(package):
    library, call, order = LIBRARIES[package]
    installed = importlib.metadata.version(package).split("+")[0]
    rows = [
        cells
        for name, cells in rows_of_the_page().items()
        if installed in versions_of(name, library, call)
    ]
    assert rows == [cells_of(order)], installed


@pytest.mark.parametrize("package", LIBRARIES)
def test_the_page_names_the_versions_that_are_compared(package):
    library, call, _ = LIBRARIES[package]
    pinned = re.findall(rf"^{package}==([\w.]+)", PINS.read_text(), re.M)
    named = [versions_of(name, library, call) for name in rows_of_the_page()]
    assert set.union(*named) == set(pinned)


def test_the_page_has_no_other_library():
    for name in rows_of_the_page():
        calls = [versions_of(name, lib, call) for lib, call, _ in LIBRARIES.values()]
        assert name == "here" or any(calls), name


def test_our_descending_order_is_that_of_the_others():
    rng = np.random.default_rng(2)
    for n in (5, 60, 700, 5000):
        row = rng.integers(-3, 4, n).astype(np.float32)
        row[rng.random(n) < 0.1] = np.nan
        row[rng.random(n) < 0.1] = -0.0
        wanted = np.array(our_order(row, True))
        for order in (torch_order, jax_order, onnx_order, array_api_order):
            np.testing.assert_array_equal(np.asarray(order(row, True)), wanted)


# ---- several keys, and sorters -------------------------------------------------


def test_lexsort_is_that_of_numpy_and_jax():
    rng = np.random.default_rng(3)
    keys = rng.integers(0, 3, (3, 4, 200)).astype(np.float32)
    keys[rng.random(keys.shape) < 0.05] = np.nan
    keys[rng.random(keys.shape) < 0.1] = -0.0
    for axis in (0, 1, -1):
        got = np.array(mx.lexsort(mx.array(keys), axis))
        np.testing.assert_array_equal(got, np.lexsort(keys, axis))
        np.testing.assert_array_equal(got, np.asarray(jnp.lexsort(keys, axis)))


@pytest.mark.parametrize("right", [True, False])
def test_searchsorted_of_rows_is_that_of_torch(right):
    rng = np.random.default_rng(4)
    a = rng.integers(0, 9, (3, 5, 40)).astype(np.float32)
    keys = rng.integers(-1, 10, (3, 5, 7)).astype(np.float32)
    sorter = np.argsort(a, -1, stable=True)
    theirs = torch.searchsorted(
        torch.tensor(a), torch.tensor(keys), right=right, sorter=torch.tensor(sorter)
    )
    side = "right" if right else "left"
    got = mx.searchsorted(
        mx.array(a), mx.array(keys), side, axis=-1, sorter=mx.array(sorter)
    )
    np.testing.assert_array_equal(np.array(got), theirs.numpy())
