"""The type stubs: a type checker accepts and refuses the right calls."""

import ast
import inspect
import pathlib
import re
import subprocess
import sys

import mlx.core as mx
import pytest

STUBS = pathlib.Path(__file__).parents[1] / "python/mlx/core/additions.pyi"

GOOD = """
import mlx.core as mx
from mlx.nn import routing

a = mx.zeros((2, 3))
reveal_type(mx.topk(a, 2))
reveal_type(mx.topk(a, 2, axis=None, largest=False, sorted=True))
reveal_type(mx.topk(a, 2, return_indices=True))
reveal_type(mx.top_k(a, 2).indices)
values, indices = mx.top_k(a, 2, axis=0, mode="smallest", sorted=False)
reveal_type(indices)
reveal_type(mx.kthvalue(a, 2, 0, largest=True))
reveal_type(mx.quantile(a, [0.5, 0.9], (0, 1), method="hazen"))
reveal_type(mx.median(a))
reveal_type(mx.default_index_gradient())
with mx.index_gradient("zero") as scope:
    reveal_type(scope.mode)
mx.set_default_index_gradient("stop")
reveal_type(mx.argsort(a))
reveal_type(mx.sort(a, axis=None, descending=True, stable=False))
reveal_type(mx.argpartition(a, (0, -1), descending=True))
reveal_type(mx.lexsort([a, a], axis=0))
reveal_type(mx.searchsorted(a, a, "right", axis=1, sorter=mx.argsort(a)))
reveal_type(routing.soft_topk(a, 2, kind="laplace"))
reveal_type(routing.sample_topk(a, 2)[1])
reveal_type(routing.TopKRouter(3, 4, 2)(a).weights)
"""
REVEALED = [
    "mlx.core.array",
    "mlx.core.array",
    "mlx.core.TopKResult",
    "mlx.core.array",
    "mlx.core.array",
    "mlx.core.TopKResult",
    "mlx.core.array",
    "mlx.core.array",
    "Literal['stop'] | Literal['zero'] | Literal['error']",
    "Literal['stop'] | Literal['zero'] | Literal['error']",
    *["mlx.core.array"] * 5,
    "mlx.core.array",
    "mlx.core.array",
    "mlx.core.array",
]

BAD = [
    'mx.topk(a, "2")',
    "mx.topk(a, 2, -1, True)",
    'mx.top_k(a, 2, mode="biggest")',
    "mx.top_k(a, 2, axis=None)",
    "mx.kthvalue(a, 2.5)",
    'mx.quantile(a, 0.5, method="cubic")',
    'mx.index_gradient("no")',
    "mx.sort(a, -1, True)",
    "mx.partition(a, [0.5])",
    "mx.lexsort(3)",
    "mx.searchsorted(a, a, sorter=[0, 1])",
    "mx.topk(a, 2).indices",
    'routing.soft_topk(a, 2, kind="relu")',
    'routing.MixtureOfExperts(3, 4, 5, 2, gradient="none")',
]


def mypy(source, folder):
    file = folder / "user.py"
    file.write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", folder / "cache", file],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    return [line for line in done.stdout.splitlines() if line.startswith("user.py")]


def test_mypy_sees_the_new_signatures(tmp_path):
    lines = mypy(GOOD, tmp_path)
    revealed = [re.search(r'Revealed type is "(.*)"', line) for line in lines]
    assert all(revealed), lines
    got = [match.group(1) for match in revealed]
    plain = [re.sub(r"^tuple\[.*fallback=(.*)\]$", r"\1", text) for text in got]
    assert plain == REVEALED


def test_mypy_refuses_wrong_calls(tmp_path):
    imports = "import mlx.core as mx; from mlx.nn import routing\n"
    source = imports + "a = mx.zeros((2, 3))\n" + "\n".join(BAD)
    errors = mypy(source, tmp_path)
    refused = {int(line.split(":")[1]) for line in errors if ": error:" in line}
    assert refused == set(range(3, 3 + len(BAD)))


def definitions():
    return [
        node
        for node in ast.parse(STUBS.read_text()).body
        if isinstance(node, ast.FunctionDef)
    ]


@pytest.mark.parametrize("name", sorted({node.name for node in definitions()}))
def test_stubs_have_the_parameters_that_functions_have(name):
    function = getattr(mx, name)
    if inspect.isfunction(function):  # written in Python
        signature = f"def {name}{inspect.signature(function)}"
    else:
        signature = function.__nb_signature__[0][0]
    (real,) = ast.parse(f"{signature}: ...").body
    for stub in (node for node in definitions() if node.name == name):
        for kind in ("posonlyargs", "args", "kwonlyargs"):
            ours = [a.arg for a in getattr(stub.args, kind)]
            assert ours == [a.arg for a in getattr(real.args, kind)]


def test_every_addition_exists():
    names = {
        node.name
        for node in ast.parse(STUBS.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    assert names <= set(dir(mx)) and "TopKResult" in names
