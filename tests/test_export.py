"""Exported functions: a stock MLX loads them, with the same results."""

import functools
import os
import pathlib
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest

import oracle

STOCK = pathlib.Path(__file__).parents[1] / "build" / "stock"
X = mx.array([[3.0, 1, 2, 1, 3], [0, 5, 5, 4, 0], [7, 7, 7, 7, 7]])
TALLER = mx.array(np.random.default_rng(0).integers(0, 4, (6, 9)).astype(np.float32))

FUNCTIONS = {
    "topk": lambda x: mx.topk(x, 3, sorted=True, return_indices=True),
    "topk_values": lambda x: mx.topk(x, 3, axis=0, sorted=True),
    "top_k_smallest": lambda x: mx.top_k(x, 2, mode="smallest"),
    "flattened": lambda x: mx.topk(x, 4, axis=None, sorted=True),
    "partition": lambda x: mx.sort(mx.partition(x, -2)),
    "argsort": lambda x: mx.take_along_axis(x, mx.argsort(x), -1),
    "descending": lambda x: (
        mx.sort(x, 0, descending=True),
        mx.argsort(x, descending=True),
        mx.sort(mx.partition(x, [1, -2], descending=True)),
    ),
    "several_kths": lambda x: mx.sort(mx.partition(x, [0, 3])),
    "lexsort": lambda x: mx.lexsort([x, mx.floor(x / 3)]),
    "searched_rows": lambda x: mx.searchsorted(mx.sort(x), x, axis=-1),
    "sorter": lambda x: mx.searchsorted(x, x, axis=0, sorter=mx.argsort(x, 0)),
    "descending_gradient": mx.grad(
        lambda x: (mx.sort(x, descending=True) * mx.cumsum(mx.ones_like(x), 1)).sum()
    ),
    "argmax": lambda x: (mx.argmax(x, -1), x.argmin(-1)),
    "kthvalue": lambda x: mx.kthvalue(x, 2, 0),
    "kthvalue_largest": lambda x: mx.kthvalue(x, 3, largest=True),
    "quantile": lambda x: mx.quantile(x, [0.1, 0.7], -1),
    "quantile_lower": lambda x: mx.quantile(x, 0.6, 0, method="lower"),
    "median": lambda x: mx.median(x, -1),
    "gradient": mx.grad(lambda x: (mx.topk(x, 3) ** 2).sum()),
    "gradient_of_quantile": mx.grad(lambda x: (mx.quantile(x, 0.3, 0) ** 2).sum()),
    "gather": mx.grad(
        lambda x: (mx.take_along_axis(x, mx.argsort(x, 0), 0) ** 2).sum()
    ),
    "mapped": mx.vmap(lambda x: mx.top_k(x, 2)),
    "compiled": mx.compile(lambda x: mx.topk(x, 2, sorted=True)),
}
functions = pytest.mark.parametrize("name", FUNCTIONS)


def arrays(outputs):
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def on_stock(path, x, folder):
    """Runs an exported function in a stock MLX; returns NumPy arrays."""
    source, target = folder / "in.npz", folder / "out.npz"
    np.savez(source, x=np.array(x))
    program = (
        "import sys, numpy as np, mlx.core as mx\n"
        "assert 'topk' not in mx.__version__, mx.__version__\n"
        "mx.set_default_device(mx.cpu)\n"
        "x = mx.array(np.load(sys.argv[2])['x'])\n"
        "outputs = mx.import_function(sys.argv[1])(x)\n"
        "np.savez(sys.argv[3], *[np.array(out) for out in outputs])\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(path), str(source), str(target)],
        env={**os.environ, "PYTHONPATH": str(STOCK)},
        check=True,
        timeout=60,
    )
    loaded = np.load(target)
    return [loaded[name] for name in loaded.files]


def assert_equal(got, wanted):
    wanted = arrays(wanted)
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        assert np.array(g).dtype == np.array(w).dtype
        np.testing.assert_array_equal(np.array(g), np.array(w))


@functions
def test_an_export_loads_in_a_stock_mlx(name, tmp_path):
    path = tmp_path / "f.mlxfn"
    mx.export_function(str(path), FUNCTIONS[name], X)
    wanted = FUNCTIONS[name](X)
    assert_equal(on_stock(path, X, tmp_path), wanted)
    assert_equal(mx.import_function(str(path))(X), wanted)


# MLX's vmap of a broadcast records the shape that it was traced with.
@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"mapped"}))
def test_shapeless_exports_follow_the_shape(name, tmp_path):
    path = tmp_path / "f.mlxfn"
    mx.export_function(str(path), FUNCTIONS[name], X, shapeless=True)
    imported = mx.import_function(str(path))
    for x in (X, TALLER):
        assert_equal(imported(x), FUNCTIONS[name](x))
    assert_equal(on_stock(path, TALLER, tmp_path), FUNCTIONS[name](TALLER))


def test_a_shapeless_export_counts_a_negative_kth_from_the_end_of_new_rows(tmp_path):
    path = tmp_path / "f.mlxfn"
    f = functools.partial(mx.argpartition, kth=-2)
    mx.export_function(str(path), f, X, shapeless=True)
    (indices,) = on_stock(path, TALLER, tmp_path)
    for row, got in zip(np.array(TALLER), indices, strict=True):
        assert got[-2] == oracle.best_first(row, largest=False)[-2]


@pytest.mark.parametrize("descending", [True, False])
def test_a_shapeless_export_puts_each_kth_where_it_belongs(descending, tmp_path):
    path = tmp_path / "f.mlxfn"
    kths = [1, -2]
    f = functools.partial(mx.argpartition, kth=kths, descending=descending)
    mx.export_function(str(path), f, X, shapeless=True)
    (indices,) = on_stock(path, TALLER, tmp_path)
    for row, got in zip(np.array(TALLER), indices, strict=True):
        wanted = oracle.best_first(row, largest=descending)
        assert [got[kth] for kth in kths] == [wanted[kth] for kth in kths]


def test_an_exporter_writes_portable_graphs(tmp_path):
    path = tmp_path / "f.mlxfn"

    def f(x, *, k=2):
        return mx.topk(x, 2, sorted=True)

    with mx.exporter(str(path), f) as export:
        export(X)
        export(TALLER)
    assert_equal(on_stock(path, X, tmp_path), f(X))
    assert_equal(mx.import_function(str(path))(TALLER), f(TALLER))


def test_exporting_to_a_callback_names_mlx_primitives_only():
    names = []

    def note(args):
        if args["type"] == "primitive":
            names.append(args["name"])

    with mx.index_gradient("error"):
        mx.export_function(note, FUNCTIONS["topk"], X)
    assert "ArgSort" in names
    assert not {"TopK", "StableSort", "StableArgReduce", "IndexOutput"} & set(names)


def test_ops_use_our_primitives_again_after_an_export_that_failed(tmp_path):
    def fail(x):
        mx.topk(x, 1)
        raise KeyError

    with pytest.raises(KeyError):
        mx.export_function(str(tmp_path / "f.mlxfn"), fail, X)
    path = tmp_path / "graph.dot"
    mx.export_to_dot(str(path), mx.topk(X, 1))
    assert "TopK" in path.read_text()


def test_metadata_is_passed_on(tmp_path):
    path = tmp_path / "f.mlxfn"
    mx.export_function(str(path), FUNCTIONS["topk"], X, metadata="a note")
    assert b"a note" in path.read_bytes()
