# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Lists what breaks in this project with another version of MLX.

    make next-mlx VERSION=0.33.0
    make next-mlx VERSION=newest

See docs/next-mlx.md.

Copies this project to build/next/VERSION, puts that version in place of the pinned one
there, and lets the copy's Makefile install MLX, build the wheel and run some tests.
Compares both versions of MLX, too. Prints everything that breaks, each with the files
of this project that depend on it. The exit status is 0 if nothing breaks and 1
otherwise. Works on Linux only, as it reads symbols with ``nm``.
"""

import argparse
import json
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import mlx_changes as changes

ROOT = pathlib.Path(__file__).resolve().parents[1]
PINNED = runpy.run_path(str(ROOT / "python/mlx/_version.py"))["STOCK_VERSION"]
# The sources of the bindings, and the Python files of the wheel.
SOURCES = ["python/src/*", "python/mlx/**/*.py", "overlay/python/**/*"]
# Quick tests that fail if MLX behaves in another way.
TESTS = " ".join(
    f"tests/test_{name}.py"
    for name in (
        "errors",
        "index_gradient",
        "transforms",
        "compile",
        "wrapped_functions",
        "export",
        "typing",
    )
)

# Prints the signature and docstring of MLX's functions, by qualified name.
SIGNATURES = """
import json, mlx.core as mx
found = {}
for scope in ("", "array", "random"):
    owner = getattr(mx, scope) if scope else mx
    for name in dir(owner):
        overloads = getattr(getattr(owner, name), "__nb_signature__", None)
        if overloads and name[0] != "_":
            found[f"{scope}.{name}".strip(".")] = [list(o[:2]) for o in overloads]
print(json.dumps(found))
"""


def run(command, **environment):
    """Runs a command and returns its exit status and what it printed."""
    command = [str(part) for part in command]
    # Removes the options of the make that runs this script, if there is one.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    inherited["LC_ALL"] = "C.UTF-8"
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def output(*command, **environment):
    status, text = run(command, **environment)
    if status:
        sys.exit(f"{' '.join(map(str, command))}\n{text}")
    return text


def make(tree, *arguments):
    return run(["make", "-C", tree, f"PYTHON={sys.executable}", *arguments])


def make_tree(tree, version):
    """Copies this project to ``tree``, with ``version`` in place of the pinned one."""
    names = output("git", "ls-files", "-z", "-c", "-o", "--exclude-standard")
    for name in filter(None, names.split("\0")):
        source, target = ROOT / name, tree / name
        if not source.is_file():
            continue
        data = source.read_bytes()
        if name in ("python/mlx/_version.py", "pyproject.toml"):
            data = data.replace(PINNED.encode(), version.encode())
        if not target.exists() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            shutil.copymode(source, target)


def build(tree):
    """Builds the wheel. Returns the exit status and what the build printed."""
    status, log = make(tree, "wheel")
    if status:
        # The build stopped at its first errors. This collects those of all files.
        for folder in (tree / "build").glob("cmake-wheel-*"):
            cmake = [tree / ".venv/bin/cmake", "--build", folder, "--", "-k", "0"]
            log += run(cmake)[1]
    return status, log


def defined_in(library, *options):
    names = output("nm", "-C", "--defined-only", *options, library).splitlines()
    return {name.split(" ", 2)[2] for name in names if name.count(" ") >= 2}


def symbols(objects):
    """Returns for each source file the symbols that its object takes from MLX."""
    needed, defined = {}, set()
    for path in objects:
        source = re.sub(r".*\.dir/(.*)\.o", r"\1", path.as_posix())
        names = output("nm", "-C", "--undefined-only", path)
        needed[source] = changes.needed_symbols(names)
        defined |= defined_in(path)
    return {source: names - defined for source, names in needed.items()}


def checks(tree):
    """Yields the heading of each check and what it found."""
    pinned, stock = ROOT / "build/stock", tree / "build/stock"
    files = [f for x in SOURCES for f in ROOT.glob(x) if f.is_file()]
    sources = {f.relative_to(ROOT).as_posix(): f.read_text() for f in files}
    signatures = [
        json.loads(output(sys.executable, "-c", SIGNATURES, PYTHONPATH=str(mlx)))
        for mlx in (pinned, stock)
    ]
    yield "functions of mlx.core", changes.changed_signatures(*signatures, sources)
    stubs = [(mlx / changes.STUBS).read_text() for mlx in (pinned, stock)]
    additions = (ROOT / changes.ADDITIONS).read_text()
    yield "type stubs", changes.changed_stubs(*stubs, additions)
    added = [f for f in sources if (stock / f.removeprefix("python/")).exists()]
    yield "files", [("MLX has a file of this name, too", [file]) for file in added]

    status, log = build(tree)
    errors = changes.compile_errors(log)
    yield "compiler", errors
    objects = list(tree.glob("build/cmake-wheel-*/**/*.cpp.o"))
    theirs = next(stock.glob("mlx/core.*.so")).read_bytes()
    ours = b"".join(path.read_bytes() for path in objects)
    yield "nanobind", changes.nanobind_differences(theirs, ours)
    needed = symbols(objects)
    exported = defined_in(stock / "mlx/lib/libmlx.so", "-D")
    if errors:
        # Symbols of this project's files that did not compile are missing too. Only
        # symbols that the pinned MLX exports are MLX's.
        before = defined_in(pinned / "mlx/lib/libmlx.so", "-D")
        needed = {file: names & before for file, names in needed.items()}
    yield "symbols", changes.missing_symbols(needed, exported)
    if status:
        if not errors:
            yield "wheel", [(changes.first_error(log), ["setup.py", "CMakeLists.txt"])]
        return
    status, log = make(tree, "test", f"TESTS={TESTS}")
    failed = changes.failed_tests(log) or [(changes.first_error(log), ["tests"])]
    yield "tests", failed if status else []


def newest_version():
    """Returns the newest version of mlx that PyPI has, which may be the pinned one."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    return changes.first_version(output(*pip, "index", "versions", "mlx"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", help="a version of mlx that PyPI has, or newest")
    version = parser.parse_args().version
    if version == "newest":
        version = newest_version()
        if version == PINNED:
            print(f"PyPI has no version of mlx after {PINNED}.")
            return 0
        print(f"The newest version of mlx is {version}.", flush=True)
    tree = ROOT / "build" / "next" / version
    make_tree(tree, version)
    status, log = make(tree, "build/stock/.installed")
    if status:
        sys.exit(log)
    broken = False
    for heading, found in checks(tree):
        broken = broken or bool(found)
        print(f"{heading}: {len(found) or 'nothing'} to mend", flush=True)
        for what, files in found:
            print(f"  {what}\n    {', '.join(files)}", flush=True)
    naming = output("git", "grep", "-lF", PINNED).split()
    print(f"files that name {PINNED}:\n    {', '.join(naming)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
