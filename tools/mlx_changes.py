# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Finds what differs between two versions of MLX and matters to this project.

The functions that next_mlx.py calls for its checks take what it has collected, as text
or as sets. They return pairs: what breaks, and a list of the files of this project that
depend on it.
"""

import ast
import re

STUBS = "mlx/core/__init__.pyi"
ADDITIONS = "python/mlx/core/additions.pyi"


def first_version(printed):
    """Returns the newest version in what ``pip index versions mlx`` printed."""
    found = re.search(r"^mlx \((\S+)\)$", printed, re.MULTILINE)
    if found is None:
        raise ValueError(f"pip named no version of mlx:\n{printed}")
    return found[1]


def compile_errors(log):
    """Returns the first error of the compiler in each source file."""
    # Paths are relative to the folder of the build, or below build/next/VERSION.
    where = r"(?:.*/build/next/[^/]+/|(?:\.\./)*)(\S+?):(\d+):\d+"
    errors = {}
    for line in log.splitlines():
        found = re.match(where + ": (?:fatal )?error: (.*)", line)
        if found:
            errors.setdefault(found[1], f"line {found[2]}: {found[3]}")
    return [(error, [file]) for file, error in errors.items()]


def needed_symbols(names):
    """Returns MLX's symbols in what ``nm --undefined-only`` printed of an object.

    Leaves out weak symbols, because the program runs without them. They are those of
    MLX's CUDA back ends, which tests/test_cuda_symbols.py checks.
    """
    lines = [line.strip() for line in names.splitlines() if "mlx::core::" in line]
    return {line[2:] for line in lines if line.startswith("U ")}


def missing_symbols(needed, exported):
    """Returns the symbols that are missing in ``exported``.

    ``needed`` has for each source file the symbols that it takes from MLX.
    """
    users = {}
    for file, symbols in needed.items():
        for symbol in symbols - exported:
            users.setdefault(symbol, []).append(file)
    return [(f"libmlx does not export {s}", sorted(f)) for s, f in users.items()]


def nanobind_differences(theirs, ours):
    """Compares the versions of nanobind's data that MLX's module and ours contain."""
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
    """Returns, by name, the signatures of functions and ``class NAME`` for classes."""
    found = {}
    for node in ast.parse(stubs).body:
        if isinstance(node, ast.FunctionDef):
            node.body = [ast.Expr(ast.Constant(...))]
            text = " ".join(ast.unparse(node).split())
            found[node.name] = found.get(node.name, "") + text
        elif isinstance(node, ast.ClassDef):
            found[node.name] = f"class {node.name}"
    return found


def changed_stubs(old, new, additions):
    """Returns the names that our stubs define and whose definition in MLX changed."""
    old, new = definitions(old), definitions(new)
    changed = [n for n in definitions(additions) if old.get(n) != new.get(n)]
    return [(f"{n} in {STUBS}: {new.get(n, 'gone')}", [ADDITIONS]) for n in changed]


def mentions(function, sources):
    """Returns the files that name a function of mlx.core: as ``mx.NAME`` or the like.

    C++ files may also have its name in quotes, because they replace it.
    """
    *scope, name = function.split(".")
    owner = {"": "core|stock|mx", "array": "$^", "random": "random"}["".join(scope)]
    used = re.compile(rf"\b(?:{owner})\.{name}\b").search
    return [
        file
        for file, text in sources.items()
        if used(text) or (file.endswith(".cpp") and f'"{name}"' in text)
    ]


def parameters(signature):
    """Returns the names, kinds and defaults of the parameters, without their types."""
    # nanobind writes \0, \1, ... for default values that it stores as objects.
    text = re.sub(r"\\\d+", "None", signature)
    function = ast.parse(f"{text}: ...").body[0]
    for node in ast.walk(function.args):
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(function.args)


def changed_signatures(old, new, sources):
    """Returns the functions that ``sources`` use and that differ in ``new``.

    ``old`` and ``new`` have for each function the signature and docstring of each
    of its overloads.
    """
    found = []
    for name in old:
        files = mentions(name, sources)
        if not files:
            continue
        if name not in new:
            found.append((f"mlx.core.{name} is gone", files))
            continue
        before, after = ([parameters(o[0]) for o in x[name]] for x in (old, new))
        if before != after:
            what = f"mlx.core.{name}({'; '.join(before)}) is now ({'; '.join(after)})"
            found.append((what, files))
        elif [o[1] for o in old[name]] != [o[1] for o in new[name]]:
            # Only the files that replace a function have to follow its docstring.
            files = [f for f in files if f.endswith(".cpp") or "_overlay" in f]
            what = f"mlx.core.{name} has another docstring"
            found += [(what, files)] if files else []
    return found


def failed_tests(log):
    pattern = r"^(?:FAILED|ERROR) ([^\s:]+)(?:::(.*?))?(?: - (.*))?$"
    found = re.findall(pattern, log, re.MULTILINE)
    return [(f"{name}: {why}", [file]) for file, name, why in found]


def first_error(log):
    """Returns the first line that names an error, or else the last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    # This line of pip says only that a process has failed, and comes first.
    lines = [line for line in lines if "subprocess-exited-with-error" not in line]
    # Does not match names of files, such as error.cpp.
    names_error = re.compile(r"\b(?:error|killed|failed)\b(?!\.\w)", re.IGNORECASE)
    errors = filter(names_error.search, lines)
    return next(errors, lines[-1] if lines else "no output")
