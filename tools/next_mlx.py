# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Lists what breaks in this project with another version of MLX: docs/next-mlx.md.

    make next-mlx VERSION=0.33.0

Copies this project to build/next/VERSION, puts that version in place of the pinned one
there, and lets the copy's Makefile install MLX, build the wheel and run some tests.
Compares both versions of MLX, too. Prints everything that breaks, each with the files
of this project that depend on it. The exit status is 0 if nothing breaks and 1
otherwise. Works on Linux only, as it reads symbols with ``nm``.
"""

import argparse
import ast
import json
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PINNED = runpy.run_path(str(ROOT / "python/mlx/_version.py"))["UPSTREAM"]
STUBS = "mlx/core/__init__.pyi"
MODULE = ".venv/lib/python*/site-packages/mlx/{}.*.so"
ADDITIONS = "python/mlx/core/additions.pyi"
# Quick tests of what MLX's own behaviour can break.
TESTS = " ".join(
    f"tests/test_{name}.py"
    for name in ("errors", "index_gradient", "transforms", "export", "typing")
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


# ---- the checks: each returns pairs of what breaks and the files that depend on it --


def compile_errors(log):
    """Returns the first error in each source file."""
    errors = {}
    for line in log.splitlines():
        found = re.match(r"(?:.*/tree/)?(\S+?):(\d+):\d+: (?:fatal )?error: (.*)", line)
        if found:
            errors.setdefault(found[1], f"line {found[2]}: {found[3]}")
    return [(error, [file]) for file, error in errors.items()]


def missing_symbols(needed, exported):
    """``needed`` has for each source file the symbols that it takes from MLX."""
    users = {}
    for file, symbols in needed.items():
        for symbol in symbols - exported:
            users.setdefault(symbol, []).append(file)
    return [(f"libmlx does not export {s}", sorted(f)) for s, f in users.items()]


def nanobind_differences(theirs, ours):
    """Compares the versions of nanobind's data that two extension modules contain."""
    tag = re.compile(rb"[\w.]*(?:libstdcpp|libcpp)\w*_abi[\w.]*")
    theirs_and_ours = [set(tag.findall(data)) for data in (theirs, ours)]
    found = []
    if not set.intersection(*theirs_and_ours):
        names = [b", ".join(sorted(x)).decode() or "none" for x in theirs_and_ours]
        what = f"MLX has nanobind's data in version {names[0]}, ours in {names[1]}"
        found.append((what, ["pyproject.toml", "requirements.txt"]))
    if b"\0mlx\0" not in theirs:
        found.append(("MLX does not use nanobind's domain mlx", ["CMakeLists.txt"]))
    return found


def definitions(stubs):
    """Returns the functions of a stub file as text, without their docstrings."""
    found = {}
    for node in ast.parse(stubs).body:
        if isinstance(node, ast.FunctionDef):
            node.body = [ast.Expr(ast.Constant(...))]
            found[node.name] = found.get(node.name, "") + ast.unparse(node)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = f"class {node.name}"
    return found


def changed_stubs(old, new, additions):
    """Returns the names that our stubs define and whose definition in MLX changed."""
    old, new = definitions(old), definitions(new)
    changed = [n for n in definitions(additions) if old.get(n) != new.get(n)]
    return [(f"{n} in {STUBS}: {new.get(n, 'gone')}", [ADDITIONS]) for n in changed]


def mentions(name, sources):
    """Returns the files that name an attribute: as mx.NAME or in quotes."""
    found = re.compile(rf'(?:\b(?:core|stock|mx|array|random)\.|"){name}\b').search
    return [file for file, text in sources.items() if found(text)]


def changed_signatures(old, new, sources):
    """Returns the functions that ``sources`` name and that are not as they were."""
    found = []
    for name in (name for name in old if old[name] != new.get(name)):
        files = mentions(name.split(".")[-1], sources)
        if name not in new:
            what = f"mlx.core.{name} is gone"
        elif [o[0] for o in old[name]] != [o[0] for o in new[name]]:
            what = f"mlx.core.{name} is now: {new[name][0][0]}"
        else:
            # Only what replaces a function of MLX has to follow its docstring.
            what = f"mlx.core.{name} has another docstring"
            files = [file for file in files if "/nn/" not in file]
        found += [(what, files)] if files else []
    return found


def failed_tests(log):
    pattern = r"^(?:FAILED|ERROR) ([^\s:]+)(?:::(.*?))?(?: - (.*))?$"
    found = re.findall(pattern, log, re.MULTILINE)
    return [(f"{name}: {why}", [file]) for file, name, why in found]


# ---- what they look at -------------------------------------------------------------


def run(command, **environment):
    """Runs a command and returns its exit status and what it printed."""
    command = [str(part) for part in command]
    # A make that this runs under shall not pass its own options on.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
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
            log += run(["cmake", "--build", folder, "--", "-k", "0"])[1]
    return status, log


def defined_in(library, *options):
    names = output("nm", "-C", "--defined-only", *options, library).splitlines()
    return {name.split(" ", 2)[2] for name in names if name.count(" ") >= 2}


def symbols(objects):
    """Returns for each object's source the symbols of MLX that no object defines."""
    needed, defined = {}, set()
    for path in objects:
        source = re.sub(r".*\.dir/(.*)\.o", r"\1", path.as_posix())
        names = output("nm", "-C", "--undefined-only", path).splitlines()
        needed[source] = {n.strip()[2:] for n in names if "mlx::core::" in n}
        defined |= defined_in(path)
    return {source: names - defined for source, names in needed.items()}


def checks(tree):
    """Yields the heading of each check and what it found."""
    pinned, stock = ROOT / "build/stock", tree / "build/stock"
    files = [f for x in ("python/src/*", "python/mlx/**/*.py") for f in ROOT.glob(x)]
    sources = {f.relative_to(ROOT).as_posix(): f.read_text() for f in files}
    signatures = [
        json.loads(output(sys.executable, "-c", SIGNATURES, PYTHONPATH=str(mlx)))
        for mlx in (pinned, stock)
    ]
    yield "functions of mlx.core", changed_signatures(*signatures, sources)
    stubs = [(mlx / STUBS).read_text() for mlx in (pinned, stock)]
    yield "type stubs", changed_stubs(*stubs, (ROOT / ADDITIONS).read_text())
    added = [f for f in sources if (stock / f.removeprefix("python/")).exists()]
    yield "files", [("MLX has a file of this name, too", [file]) for file in added]

    status, log = build(tree)
    yield "compiler", compile_errors(log)
    needed = symbols((tree / "build").glob("cmake-wheel-*/**/*.cpp.o"))
    exported = defined_in(stock / "mlx/lib/libmlx.so", "-D")
    yield "symbols", missing_symbols(needed, exported)
    if status:
        yield "wheel", [(log.strip().splitlines()[-1], ["setup.py", "CMakeLists.txt"])]
        return
    status, log = make(tree, "test", f"TESTS={TESTS}")
    failed = failed_tests(log) or [(log[-500:], ["tests"])]
    modules = [next(tree.glob(MODULE.format(x))) for x in ("core", "_selection")]
    yield "nanobind", nanobind_differences(*(x.read_bytes() for x in modules))
    yield "tests", failed if status else []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", help="a version of mlx that PyPI has")
    version = parser.parse_args().version
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
