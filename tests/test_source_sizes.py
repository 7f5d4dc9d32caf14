"""Files and functions stay short enough to be read at once."""

import ast
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SUFFIXES = (".py", ".h", ".cpp", ".cuh", ".metal", ".sh")


def sources(*suffixes):
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("this is not a git repository")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    found = [path for path in paths if path.suffix in suffixes and path.is_file()]
    assert found
    return found


def test_no_source_file_has_over_400_lines():
    for path in sources(*SUFFIXES):
        assert len(path.read_text().splitlines()) <= 400, path


def test_no_function_in_python_has_over_60_lines():
    for path in sources(".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"
