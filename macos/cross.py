"""What setup.py needs to build the macOS wheel on another system.

The compiler is Zig, from the PyPI package ziglang; headers and libmlx come from MLX's
own macOS wheels. Apple's SDK is not used: what a linker must know of it is written
here from what Apple's linker has bound in MLX's binaries, so that every name is
one that the oldest macOS that MLX runs on has.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys

import nanobind

import macho

HERE = pathlib.Path(__file__).parent

_ASK = """
import json, sys, sysconfig
print(json.dumps({
    "executable": sys.executable,
    "cache_tag": sys.implementation.cache_tag,
    "include": sysconfig.get_paths()["include"],
}))
"""

# What our own code takes from the system's libc++ beside what MLX does. Each is in
# LLVM's list of what libc++ exports on arm64 macOS (libcxx/lib/abi, as it was at
# commit 00360d89); look up there what else a change makes the linker miss.
_MORE_LIBCXX = {
    "__ZNSt3__120__libcpp_atomic_waitEPVKNS_17__cxx_atomic_implIxNS_22"
    "__cxx_atomic_base_implIxEEEEx",
    "__ZNSt3__123__cxx_atomic_notify_allEPVKNS_17__cxx_atomic_implIxNS_22"
    "__cxx_atomic_base_implIxEEEE",
    "__ZNSt3__16__sortIRNS_6__lessIjjEEPjEEvT0_S5_T_",
    "__ZNSt3__16__sortIRNS_6__lessIyyEEPyEEvT0_S5_T_",
    "__ZTINSt3__112system_errorE",
}

_STUB = """--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos ]
install-name: '{name}'
exports:
  - targets: [ arm64-macos ]
    symbols: [ {symbols} ]
...
"""


class Target:
    """A version of CPython on macOS; ``python`` is the same version here."""

    def __init__(self, python):
        asked = subprocess.run(
            [python, "-c", _ASK], check=True, capture_output=True, text=True
        )
        self.python = json.loads(asked.stdout)
        name, digits = self.python["cache_tag"].split("-")
        if name != "cpython":
            sys.exit(f"{python} is not a CPython.")
        self.tag = f"cp{digits}"
        self.soabi = f"cpython-{digits}-darwin"

    def cmake_options(self, mlx, build):
        """Options for CMakeLists.txt; ``mlx`` is MLX's folder for macOS."""
        if not (mlx / f"core.{self.soabi}.so").exists():
            sys.exit(f"{mlx} is not MLX for macOS and {self.tag}.")
        zig = pathlib.Path(importlib.util.find_spec("ziglang").origin).with_name("zig")
        return {
            "CMAKE_TOOLCHAIN_FILE": HERE / "toolchain.cmake",
            "ZIG": zig,
            "MACOS_STUBS": write_stubs(mlx, build / "stubs"),
            "Python_EXECUTABLE": self.python["executable"],
            "Python_INCLUDE_DIR": self.python["include"],
            # That interpreter need not have it.
            "nanobind_DIR": nanobind.cmake_dir(),
            "SKBUILD_SOABI": self.soabi,
        }


def mlx_binaries(mlx):
    """MLX's own, as Apple's linker left them."""
    return [
        macho.read(path) for path in sorted([*mlx.rglob("*.dylib"), *mlx.glob("*.so")])
    ]


def bound(binaries, library):
    """The names of ``library`` that ``binaries`` use."""
    return {
        symbol
        for binary in binaries
        for symbol, source in binary.imports.items()
        if source == library
    }


def system_symbols(mlx):
    """By library: what may be asked of the system's."""
    binaries = mlx_binaries(mlx)
    return {
        macho.LIBCXX: bound(binaries, macho.LIBCXX) | _MORE_LIBCXX,
        macho.LIBOBJC: bound(binaries, macho.LIBOBJC),
    }


def write_stubs(mlx, folder):
    """Text stubs of the system's libraries that Zig has none of, for a linker."""
    folder.mkdir(parents=True, exist_ok=True)
    for library, names in system_symbols(mlx).items():
        symbols = ", ".join(f"'{name}'" for name in sorted(names))
        stub = pathlib.Path(library).name.split(".")[0] + ".tbd"
        (folder / stub).write_text(_STUB.format(name=library, symbols=symbols))
    return folder
