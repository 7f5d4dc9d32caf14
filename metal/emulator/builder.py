"""Builds a shared library from Metal source: pre-pass, g++, and the executor.

Whatever was built before from the same source, flags and emulator is taken from
build/emulator/ in the repository.
"""

import subprocess
from functools import cache
from pathlib import Path

from . import prepass
from .artifacts import CACHE, HERE, digest, make

COMMON = [
    "-g1",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-gnu-unique",
    "-fno-strict-aliasing",
    "-fsigned-char",
    "-w",
]
# Level 1 halves the time that many instantiations take; kernels run fast enough.
# Each operation on halves rounds to a half.
NUMBERS = ["-ffp-contract=off", "-fexcess-precision=16"]
KERNEL = ["-std=gnu++17", "-O1", *NUMBERS, *COMMON]
PLAIN_KERNEL = ["-fwrapv"]
# GCC's calls at each access and each undefined operation, to functions of ours: its
# own libraries are not linked.
TRACKED_KERNEL = [
    "-fsanitize=thread",
    "-fsanitize=shift,signed-integer-overflow,integer-divide-by-zero",
    "-fsanitize=bounds,bool,alignment",
    "-fno-tree-loop-distribute-patterns",
]
RUNTIME = ["-std=c++20", "-O2", *COMMON]
SHARED = ["fiber.cpp", "launch.cpp", "memory.cpp", "report.cpp", "scheduler.cpp"]
PLAIN = ["in_place.cpp"]
TRACKED = ["call_path.cpp", "callbacks.cpp", "placed.cpp", "tracker.cpp"]


class BuildError(Exception):
    """Metal source that the executor's compiler refuses."""


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(done.stderr or done.stdout)


@cache
def _emulator_digest():
    compiler = subprocess.run(["g++", "--version"], capture_output=True, check=True)
    folders = [HERE / "runtime", HERE / "shim"]
    files = [HERE / "abi.h", *sorted(p for f in folders for p in f.iterdir())]
    return digest(compiler.stdout, *(p.read_bytes() for p in files))


@cache
def _runtime(tracked):
    """The executor's object files, one library's worth."""
    names = SHARED + (TRACKED if tracked else PLAIN)
    folder = CACHE / f"runtime-{digest(_emulator_digest(), tracked, RUNTIME)}"
    objects = []
    for name in names:
        source = HERE / "runtime" / name
        command = ["g++", *RUNTIME, "-c", str(source), "-o"]
        build = lambda out, command=command: _run([*command, str(out)])  # noqa: E731
        objects.append(make(folder / f"{source.stem}.o", build))
    return objects


def build_library(path, tracked=False, include_dirs=(), defines=()):
    """The path of the library for one Metal source file."""
    path = Path(path).resolve()
    return build_text(prepass.preprocess(path, include_dirs, defines), tracked)


def build_text(preprocessed, tracked=False):
    translation = prepass.translate_text(preprocessed, "cpu")
    prepass.require_clean(translation)
    flags = KERNEL + (TRACKED_KERNEL if tracked else PLAIN_KERNEL)
    name = digest(_emulator_digest(), translation.text, flags, RUNTIME)

    def build(out):
        source, kernel = out.with_suffix(".cpp"), out.with_suffix(".o")
        source.write_text(translation.text)
        shim = ["-include", str(HERE / "shim" / "metal.h")]
        _run(["g++", *flags, *shim, "-c", str(source), "-o", str(kernel)])
        objects = [str(kernel), *map(str, _runtime(tracked))]
        link = ["-shared", "-Wl,-Bsymbolic", "-Wl,--no-undefined"]
        _run(["g++", *link, *objects, "-o", str(out)])

    return make(CACHE / f"kernels-{name}.so", build)
