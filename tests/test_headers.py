"""Each header includes what it uses, and may be included twice."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import sysconfig

import nanobind
import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
STOCK = ROOT / "build" / "stock" / "mlx" / "include"

# Leaves out *-inl.h, which are compiled once per instruction set, inside a namespace,
# and headers of backend/metal, which are in Metal's language or need its headers.
HEADERS = [
    header
    for folder in ("mlx", "overlay", "python/src", "tests/hooks")
    for header in sorted((ROOT / folder).rglob("*.h"))
    if not header.name.endswith("-inl.h") and "backend/metal" not in str(header)
]


def compile_header(header):
    """Returns what the compiler says of a file that includes a header twice."""
    name = header.relative_to(ROOT).as_posix()
    # The order in which the project's own targets look for headers.
    folders = [ROOT, ROOT / "overlay"]
    system = [STOCK, nanobind.include_dir(), sysconfig.get_paths()["include"]]
    done = subprocess.run(
        [
            os.environ.get("CXX", "c++"),
            "-std=c++20",
            "-fsyntax-only",
            *(f"-I{folder}" for folder in folders),
            *(f"-isystem{folder}" for folder in system),
            "-xc++",
            "-",
        ],
        input=f'#include "{name}"\n' * 2,
        # Quoted names are looked up in the current folder first.
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.stderr


def test_there_are_headers_to_compile():
    names = {header.relative_to(ROOT).as_posix() for header in HEADERS}
    assert {"mlx/topk_ops.h", "overlay/selection.h"} <= names
    assert len(names) > 40


@pytest.mark.skipif(sys.platform != "linux", reason="one system is enough")
def test_each_header_compiles_alone():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        messages = list(pool.map(compile_header, HEADERS))
    wrong = {
        header.relative_to(ROOT).as_posix(): message
        for header, message in zip(HEADERS, messages, strict=True)
        if message
    }
    assert not wrong, "\n".join(f"{name}:\n{text}" for name, text in wrong.items())


def first_include(file):
    """Returns the name of the first header that a file includes, or an empty text."""
    lines = file.read_text().splitlines()
    includes = [line.split()[1] for line in lines if line.startswith("#include")]
    return includes[0].strip('"<>') if includes else ""


def test_bindings_include_python_before_the_headers_of_the_system():
    # Python's headers define _POSIX_C_SOURCE, which the system's headers may define
    # in another way if nothing has defined it before. nanobind's headers begin with
    # Python's.
    sources = [
        source
        for folder in ("python/src", "overlay/python", "tests/hooks")
        for source in sorted((ROOT / folder).rglob("*.cpp"))
        if "nanobind" in source.read_text()
    ]
    assert len(sources) >= 8
    for source in sources:
        first = first_include(source)
        while (ROOT / first).is_file():
            first = first_include(ROOT / first)
        assert first.startswith("nanobind/"), source
