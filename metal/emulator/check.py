"""Checks Metal source without a Metal compiler:

    python -m metal.emulator.check FILE... [-I DIRECTORY] [-D NAME=VALUE]

The clang of the package ziglang compiles the source as C++ for OpenCL, a language with
Metal's address spaces and most of Metal's restrictions. The result is never run.

Some mistakes are errors in Metal and not in OpenCL. They are found in clang's output:
pointers without an address space and conversions to bfloat in the syntax tree,
recursion in the LLVM assembly.
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
    # clang's driver would drop this option without -Xclang.
    *["-Xclang", "-cl-ext=-all,+cl_khr_fp16,+__opencl_c_generic_address_space"],
    *["-ferror-limit=0", "-fno-caret-diagnostics", "-fno-color-diagnostics"],
    f"-I{FRONTEND}",
]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow"]
WARNINGS += ["-Wno-unused-parameter", "-Wno-unused-function"]
# Diagnostics to ignore. OpenCL reads 1.0 as a double and warns, in Metal it is a float.
# And clang warns of options that have no effect on a run.
HARMLESS = re.compile(r"double precision constant requires|unused-command-line")
PROBLEM = re.compile(r"(\S+?:\d+):(?:\d+:)? (?:fatal )?(?:error|warning): (.*)")
INSTANTIATION = re.compile(r"(\S+?:\d+):\d+: note: in instantiation")
# One line of clang's syntax tree: indentation, kind, address, source range, position.
NODE = re.compile(
    r"[ |`\-]*(\w+) 0x[0-9a-f]+ (?:parent 0x\w+ )?(?:prev 0x\w+ )?<([^>]*)> ?(\S*)"
)
WITH_A_TYPE = {"ParmVarDecl", "VarDecl", "FieldDecl"}
SPECIAL_MEMBERS = {"CXXConstructorDecl", "CXXMethodDecl", "CXXDestructorDecl"}


def _diagnostics(text):
    """Yields clang's errors and warnings, each as an error "FILE:LINE: error: TEXT".

    An error inside a template of frontend/ gets the line of the kernel that
    instantiated the template.
    """
    lines = text.splitlines()
    for at, line in enumerate(lines):
        problem = PROBLEM.match(line)
        if not problem or HARMLESS.search(line):
            continue
        place = problem[1]
        for note in lines[at + 1 :]:
            caller = INSTANTIATION.match(note)
            if not place.startswith(str(FRONTEND)) or PROBLEM.match(note):
                break
            place = caller[1] if caller else place
        yield f"{place}: error: {problem[2]}"


class _Location:
    """The file and line of the current node of a syntax tree.

    clang prints a file or a line only where it differs from the node before.
    """

    def __init__(self):
        self.file, self.line = "?", 0

    def update(self, text):
        for name, line in re.findall(r"([^\s:,<>]+):(\d+):\d+", text):
            self.line = int(line)
            if name != "line":
                self.file = name


def _is_generic_method(line, method_type):
    """Whether a method's object has no address space. `line` declares the method."""
    # A static method has no object. clang prints the word static behind the last
    # quoted type.
    if " static" in line.rsplit("'", 1)[-1] or ")" not in method_type:
        return False
    # The object's space stands after the last ")". What stands before it belongs to
    # the parameters, which are checked on their own.
    return "__generic" in method_type.rsplit(")", 1)[1]


def _finding(node, line):
    """Returns what is wrong with one node of the syntax tree, or None."""
    types = re.findall(r"'([^']*)'", line)
    spaces = "expected device, constant, threadgroup or thread"
    if node == "CXXMethodDecl":
        if types and _is_generic_method(line, types[0]):
            return f"method without an address space: '{types[0]}'; {spaces} after ')'"
    elif node in WITH_A_TYPE and types and "__generic" in types[0]:
        return f"pointer or reference without an address space: '{types[0]}'; {spaces}"
    # clang prints the resulting type just before the kind of cast: '__bf16', or an
    # alias and then '__bf16'.
    to_bfloat = re.search(r"'(?:__\w+ )?__bf16' <(?:Floating|IntegralTo)", line)
    if node == "ImplicitCastExpr" and to_bfloat and "part_of_explicit" not in line:
        return "implicit conversion to bfloat; expected bfloat(...)"
    return None


def tree_errors(tree):
    """Yields an error for each construct that clang accepts and Metal does not.

    These are pointers, references and methods without an address space (clang gives
    them the space __generic, which Metal lacks) and implicit conversions to bfloat.
    """
    place = _Location()
    skipped = None  # the depth of an implicit member function, while inside of it
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
    """Yields the mangled names of functions that call themselves.

    The call may be direct or go through other functions.
    """
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
    """Returns the errors of translated source.

    path: the original file, which an error about recursion names.
    """
    with tempfile.TemporaryDirectory(prefix="metal-check-") as folder:
        source, assembly = Path(folder, "source.cl"), Path(folder, "source.ll")
        source.write_text(f'#include "functions.h"\n{text}')
        done = _clang(*WARNINGS, "-O0", "-S", "-emit-llvm", "-o", assembly, source)
        errors = list(_diagnostics(done.stderr))
        if done.returncode:
            return errors or [done.stderr]
        for name in recursive_functions(assembly.read_text()):
            message = f"recursion through {_readable(name)}, which Metal forbids"
            errors.append(f"{path}: error: {message}")
        done = _clang("-w", "-fsyntax-only", "-Xclang", "-ast-dump", source)
        return errors + list(tree_errors(done.stdout))


def check(path, include_dirs=(), defines=()):
    """Returns a list of the errors found in a Metal source file, each with its place.

    include_dirs, defines: like the Metal compiler's -I and -D.
    """
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
    parser.add_argument("-D", action="append", default=[], help="macro definition")
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
