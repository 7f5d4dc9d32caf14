"""A strict front end for Metal source: python -m metal.emulator.check FILE...

The source is compiled, for nothing, as C++ for OpenCL, which has Metal's address
spaces and most of its restrictions, by the clang that the package ziglang brings.
What that compiler lets pass is looked for in what it makes: pointers without an
address space in its syntax tree, recursion in its calls.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from . import prepass
from .tokens import SourceError

FRONTEND = Path(__file__).resolve().parent / "frontend"
CLANG = [sys.executable, "-m", "ziglang", "clang"]
LANGUAGE = [
    *["-x", "cl", "-cl-std=clc++2021", "-cl-no-stdinc", "--target=x86_64"],
    # Without -Xclang the driver drops it.
    *["-Xclang", "-cl-ext=-all,+cl_khr_fp16,+__opencl_c_generic_address_space"],
    *["-ferror-limit=0", "-fno-caret-diagnostics", "-fno-color-diagnostics"],
    f"-I{FRONTEND}",
]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow"]
WARNINGS += ["-Wno-unused-parameter", "-Wno-unused-function"]
# Metal's half and float suffixes and its lack of double are not OpenCL's.
HARMLESS = re.compile(r"double precision constant requires|unused-command-line")
PROBLEM = re.compile(r"(\S+?:\d+):(?:\d+:)? (?:fatal )?(?:error|warning): (.*)")
INSTANTIATION = re.compile(r"(\S+?:\d+):\d+: note: in instantiation")
NODE = re.compile(
    r"[ |`\-]*(\w+) 0x[0-9a-f]+ (?:parent 0x\w+ )?(?:prev 0x\w+ )?<([^>]*)> ?(\S*)"
)
WITH_A_TYPE = {"ParmVarDecl", "VarDecl", "FieldDecl"}
SPECIAL_MEMBERS = {"CXXConstructorDecl", "CXXMethodDecl", "CXXDestructorDecl"}


def _diagnostics(text):
    """The compiler's errors and warnings, which are errors here. What is wrong in our
    headers is told of the line in the kernel that asked for it."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        problem = PROBLEM.match(line)
        if not problem or HARMLESS.search(line):
            continue
        place = problem[1]
        for note in lines[at + 1 :]:
            asked = INSTANTIATION.match(note)
            if not place.startswith(str(FRONTEND)) or PROBLEM.match(note):
                break
            place = asked[1] if asked else place
        yield f"{place}: error: {problem[2]}"


class _Location:
    """Follows the places in a syntax tree, which are told only where they change."""

    def __init__(self):
        self.file, self.line = "?", 0

    def update(self, text):
        for name, line in re.findall(r"([^\s:,<>]+):(\d+):\d+", text):
            self.line = int(line)
            if name != "line":
                self.file = name


def _is_generic_method(line, kind):
    # Of a template's method, more stands between its type and that word.
    if " static" in line.rsplit("'", 1)[-1] or ")" not in kind:
        return False
    # The method's own space comes last; its parameters are told apart.
    return "__generic" in kind.rsplit(")", 1)[1]


def _finding(node, line):
    """What is wrong with one node of the syntax tree, if anything."""
    types = re.findall(r"'([^']*)'", line)
    if node == "CXXMethodDecl":
        if types and _is_generic_method(line, types[0]):
            return f"method without an address space: '{types[0]}'"
    elif node in WITH_A_TYPE and types and "__generic" in types[0]:
        return f"pointer or reference without an address space: '{types[0]}'"
    # The type, and what it is short for, come right before the kind of cast.
    to_bfloat = re.search(r"'(?:__\w+ )?__bf16' <(?:Floating|IntegralTo)", line)
    if node == "ImplicitCastExpr" and to_bfloat and "part_of_explicit" not in line:
        return "implicit conversion to bfloat"
    return None


def tree_errors(tree):
    """What clang's syntax tree shows and clang lets pass: pointers, references and
    methods without an address space, which it calls __generic and Metal does not have;
    and conversions to bfloat that nobody asked for."""
    place, skipped = _Location(), None
    for line in tree.splitlines():
        match = NODE.match(line)
        if not match:
            continue
        node, depth = match[1], match.start(1)
        place.update(f"{match[2]} {match[3]}")
        if skipped is not None and depth > skipped:
            continue
        skipped = depth if node in SPECIAL_MEMBERS and " implicit " in line else None
        if skipped is not None or place.file.startswith(str(FRONTEND)):
            continue
        finding = _finding(node, line)
        if finding:
            yield f"{place.file}:{place.line}: error: {finding}"


def recursive_functions(assembly):
    """Names (mangled) of functions that can come to call themselves."""
    calls, current = {}, None
    for line in assembly.splitlines():
        match = re.match(r'define .*?@"?([\w.$]+)"?\(', line)
        if match:
            current = calls.setdefault(match[1], set())
        elif line.startswith("}"):
            current = None
        elif current is not None:
            current.update(re.findall(r'call [^@\n]*@"?([\w.$]+)"?\(', line))
    for name in calls:
        reached, queue = set(), list(calls[name])
        while queue:
            callee = queue.pop()
            if callee in calls and callee not in reached:
                reached.add(callee)
                queue += calls[callee]
        if name in reached:
            yield name


def _readable(mangled):
    done = subprocess.run(["c++filt", mangled], capture_output=True, text=True)
    return done.stdout.strip() or mangled


def _clang(*arguments):
    command = [*CLANG, *LANGUAGE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def _compile_errors(path, text):
    with tempfile.TemporaryDirectory(prefix="metal-check-") as folder:
        source, assembly = Path(folder, "source.cl"), Path(folder, "source.ll")
        source.write_text(f'#include "functions.h"\n{text}')
        done = _clang(*WARNINGS, "-O0", "-S", "-emit-llvm", "-o", assembly, source)
        errors = list(_diagnostics(done.stderr))
        if done.returncode:
            return errors or [done.stderr]
        for name in recursive_functions(assembly.read_text()):
            errors.append(f"{path}: error: recursion through {_readable(name)}")
        done = _clang("-w", "-fsyntax-only", "-Xclang", "-ast-dump", source)
        return errors + list(tree_errors(done.stdout))


def check(path, include_dirs=(), defines=()):
    """What Metal would refuse in a source file, as far as this can tell: a list of
    errors that name files and lines, empty if there are none."""
    try:
        translation = prepass.translate(path, "opencl", include_dirs, defines)
    except SourceError as error:
        return [str(error)]
    errors = translation.errors + _compile_errors(path, translation.text)
    return list(dict.fromkeys(errors))


def main():
    parser = argparse.ArgumentParser(prog="python -m metal.emulator.check")
    parser.add_argument("files", nargs="+")
    parser.add_argument("-I", action="append", default=[], help="include directory")
    parser.add_argument("-D", action="append", default=[], help="define")
    options = parser.parse_args()
    count = 0
    for file in options.files:
        errors = check(file, options.I, options.D)
        count += len(errors)
        print("".join(f"{error}\n" for error in errors), end="")
    print(f"{len(options.files)} file(s), {count} error(s)")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
