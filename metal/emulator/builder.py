"""Builds a shared library from Metal source.

The pre-pass (prepass.py) translates the source to C++, g++ compiles it, and the result
is linked with the executor (runtime/). artifacts.py keeps what was built.
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
# No fused multiply-add, and each operation on halves rounds to half.
NUMBERS = ["-ffp-contract=off", "-fexcess-precision=16"]
# -O1 halves the time to compile many instantiations, and kernels run fast enough.
KERNEL = ["-std=gnu++17", "-O1", *NUMBERS, *COMMON]
PLAIN_KERNEL = ["-fwrapv"]
# With these flags g++ inserts a call at each memory access and before each operation
# that may be undefined. The sanitizers' own libraries are not linked: the functions
# called are those of runtime/callbacks.cpp and runtime/call_path.cpp.
TRACKED_KERNEL = [
    "-fsanitize=thread",
    "-fsanitize=shift,signed-integer-overflow,integer-divide-by-zero",
    "-fsanitize=bounds,bool,alignment",
    "-fno-tree-loop-distribute-patterns",
]
RUNTIME = ["-std=c++20", "-O2", *COMMON]
SHARED = [
    "divergence.cpp",
    "fiber.cpp",
    "launch.cpp",
    "memory.cpp",
    "report.cpp",
    "scheduler.cpp",
]
PLAIN = ["in_place.cpp"]
TRACKED = ["call_path.cpp", "callbacks.cpp", "placed.cpp", "tracker.cpp"]


class BuildError(Exception):
    """A compiler refused the C++ or CUDA that Metal source was translated to."""


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
    """Returns the paths of the executor's object files, compiled if needed."""
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
    """Returns the path of the library for one Metal source file."""
    path = Path(path).resolve()
    translation = prepass.translate(path, "cpu", include_dirs, defines)
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
