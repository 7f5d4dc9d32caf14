"""The configuration with which setup.py builds the macOS wheel on Linux.

The compiler is Zig, from the PyPI package ziglang. Headers and libmlx come from MLX's
own macOS wheels.

Apple's SDK is not used. The linker needs a list of the symbols in each system library;
it is made here from the symbols that MLX's own binaries import, because these exist on
the oldest macOS that MLX supports.
"""

import importlib.util
import pathlib

from macos import macho
from tools.target import CrossTarget

HERE = pathlib.Path(__file__).parent

# Symbols of the system's libc++ that this project's code imports and MLX's does not.
# Each is in LLVM's list of the symbols that libc++ exports on arm64 macOS
# (libcxx/lib/abi at commit 00360d89). If a change of the code makes the linker report
# an undefined symbol, look it up there and add it here.
_MORE_LIBCXX = {
    "__ZNSt3__120__libcpp_atomic_waitEPVKNS_17__cxx_atomic_implIxNS_22"
    "__cxx_atomic_base_implIxEEEEx",
    "__ZNSt3__123__cxx_atomic_notify_allEPVKNS_17__cxx_atomic_implIxNS_22"
    "__cxx_atomic_base_implIxEEEE",
    "__ZNSt3__16__sortIRNS_6__lessIjjEEPjEEvT0_S5_T_",
    "__ZNSt3__16__sortIRNS_6__lessIyyEEPyEEvT0_S5_T_",
    "__ZNSt3__19to_stringEx",
    "__ZTINSt3__112system_errorE",
}

# A text stub (.tbd) tells the linker the symbols of a library that is not here.
_STUB = """--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos ]
install-name: '{name}'
exports:
  - targets: [ arm64-macos ]
    symbols: [ {symbols} ]
...
"""


class Target(CrossTarget):
    # Stripping would invalidate the linker's signature.
    strip = False

    def cmake_options(self, build):
        zig = pathlib.Path(importlib.util.find_spec("ziglang").origin).with_name("zig")
        return super().cmake_options(build) | {
            "CMAKE_TOOLCHAIN_FILE": HERE / "toolchain.cmake",
            "ZIG": zig,
            "MACOS_STUBS": write_stubs(self.mlx, build / "stubs"),
        }


def mlx_binaries(mlx):
    """Returns what macho.read says of the binaries in MLX's macOS wheels."""
    return [
        macho.read(path) for path in sorted([*mlx.rglob("*.dylib"), *mlx.glob("*.so")])
    ]


def imported_from(library, binaries):
    """Returns the symbols that ``binaries`` import from ``library``."""
    return {
        symbol
        for binary in binaries
        for symbol, source in binary.imports.items()
        if source == library
    }


def system_symbols(mlx):
    """Returns {system library: symbols that may be imported from it}."""
    binaries = mlx_binaries(mlx)
    return {
        macho.LIBCXX: imported_from(macho.LIBCXX, binaries) | _MORE_LIBCXX,
        macho.LIBOBJC: imported_from(macho.LIBOBJC, binaries),
    }


def write_stubs(mlx, folder):
    """Writes text stubs of the system libraries that Zig lacks. Returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for library, names in system_symbols(mlx).items():
        symbols = ", ".join(f"'{name}'" for name in sorted(names))
        stub = pathlib.Path(library).name.split(".")[0] + ".tbd"
        (folder / stub).write_text(_STUB.format(name=library, symbols=symbols))
    return folder
