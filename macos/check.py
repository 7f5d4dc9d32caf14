"""Checks the macOS wheel for what a Mac's loader would refuse. Runs on Linux.

    python -m macos.check WHEEL MLX PYTHON

MLX is the folder mlx/ of MLX's own macOS wheels, unpacked. PYTHON is a Python
interpreter on this machine, of the version that the wheel is for. Prints a line for
each complaint. The exit status is 1 if there are any.

No Mac has loaded the wheel: what this script does not check is untested.
"""

import base64
import csv
import hashlib
import importlib.util
import pathlib
import posixpath
import re
import subprocess
import sys
import tempfile
import zipfile

from macos import cross, macho

LIBRARY = "mlx/lib/libmlx_topk.dylib"
# For each binary, the folders in which the loader looks for libraries "@rpath/...".
RPATHS = {LIBRARY: ["@loader_path"], "module": ["@loader_path/lib"]}
SYSTEM = (macho.LIBCXX, macho.LIBOBJC, macho.LIBSYSTEM)
MINIMUM_OS = (14, 0, 0)

# Prints those of the names in its input that the running Python does not export.
_MISSING_SCRIPT = """
import ctypes, sys
names = sys.stdin.read().split()
print(*(n for n in names if not hasattr(ctypes.pythonapi, n)))
"""


def module(wheel):
    """Returns the path in the wheel of this project's extension module."""
    tag = wheel.stem.split("-")[2]
    return f"mlx/_selection.cpython-{tag.removeprefix('cp')}-darwin.so"


def binaries(wheel, mlx, python):
    """Returns complaints about the two binaries that this project adds to the wheel."""
    expected = [LIBRARY, module(wheel)]
    complaints = []
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        names = set(archive.namelist())
        found = {}
        for name in expected:
            if name not in names:
                complaints.append(f"{name} is missing")
            else:
                path = pathlib.Path(archive.extract(name, folder))
                found[name] = macho.read(path)
    exports = exported(found, mlx)
    for name, binary in found.items():
        for complaint in [
            *load_commands(name, binary),
            *libraries(name, binary, names, mlx),
            *symbols(binary, exports, python),
        ]:
            complaints.append(f"{name}: {complaint}")
    return complaints


def load_commands(name, binary):
    """Returns complaints about the signature, layout, target, name and rpaths."""
    complaints = list(binary.signature_faults)
    if binary.layout_fault:
        complaints.append(binary.layout_fault)
    if not binary.is_arm64:
        complaints.append("not for arm64")
    if binary.minimum_os != MINIMUM_OS:
        complaints.append(f"for macOS {binary.minimum_os}, not {MINIMUM_OS}")
    install_name = f"@rpath/{posixpath.basename(name)}"
    if binary.install_name != install_name:
        complaints.append(f"is called {binary.install_name}, not {install_name}")
    rpaths = RPATHS.get(name, RPATHS["module"])
    if binary.rpaths != rpaths:
        complaints.append(f"has the rpaths {binary.rpaths}, not {rpaths}")
    return complaints


def libraries(name, binary, names, mlx):
    """Returns complaints about libraries that the loader would not find.

    name: the path of the binary in the wheel. names: all paths in the wheel.
    """
    complaints = []
    for library in binary.libraries:
        if library in SYSTEM:
            continue
        places = [
            posixpath.normpath(
                library.replace("@rpath", rpath).replace(
                    "@loader_path", posixpath.dirname(name)
                )
            )
            for rpath in binary.rpaths
        ]
        if not any(p in names or (mlx.parent / p).exists() for p in places):
            complaints.append(f"{library} is not in any of {places}")
    return complaints


def exported(ours, mlx):
    """Returns {install name: exported symbols} of all libraries that may be loaded.

    ours: {path in the wheel: macho.Binary}, the binaries of this project.
    """
    exports = {name: set(names) for name, names in cross.system_symbols(mlx).items()}
    zig = pathlib.Path(importlib.util.find_spec("ziglang").origin).parent
    stub = (zig / "lib/libc/darwin/libSystem.tbd").read_text()
    exports[macho.LIBSYSTEM] = set(re.findall(r"[\w$.]+", stub))
    for binary in [*ours.values(), macho.read(mlx / "lib" / "libmlx.dylib")]:
        exports[binary.install_name] = binary.exports
    return exports


def symbols(binary, exports, python):
    """Returns complaints about imported symbols that their library does not export."""
    complaints = []
    # Only a C++ runtime imports this function. The process has the system's C++
    # runtime already. "zig c++" would link a second runtime into the binary.
    if "__Unwind_RaiseException" in binary.imports:
        complaints.append("a C++ runtime of its own, beside the system's")
    from_python = []
    for symbol, library in sorted(binary.imports.items()):
        if library == macho.ANYWHERE:
            from_python.append(symbol)
        elif library == macho.COALESCED:
            complaints.append(f"{symbol} may have no definition in any library")
        elif symbol not in exports.get(library, ()):
            complaints.append(f"{symbol} is not in {library}")
    return complaints + [
        f"{s} is not in Python" for s in missing_from_python(from_python, python)
    ]


def missing_from_python(symbols, python):
    """Returns the symbols that Python does not export, on Linux or on macOS."""
    nanobind = importlib.util.find_spec("nanobind").submodule_search_locations[0]
    listed = pathlib.Path(nanobind, "cmake", "darwin-ld-cpython.sym").read_text()
    on_macos = set(listed.split())
    # In Mach-O files, names of C begin with an additional underscore.
    names = [symbol.removeprefix("_") for symbol in symbols]
    done = subprocess.run(
        [python, "-c", _MISSING_SCRIPT],
        input="\n".join(names),
        capture_output=True,
        text=True,
        check=True,
    )
    missing = {f"_{name}" for name in done.stdout.split()}
    return [s for s in symbols if s in missing or s not in on_macos]


def files(wheel, expected):
    """Returns complaints about the files in mlx/. expected: the set of their paths."""
    with zipfile.ZipFile(wheel) as archive:
        found = {n for n in archive.namelist() if n.startswith("mlx/")}
    return [f"{name} is missing" for name in sorted(expected - found)] + [
        f"{name} should not be in the wheel" for name in sorted(found - expected)
    ]


def record(wheel):
    """Returns complaints about files that differ from their entry in RECORD."""
    complaints = []
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/RECORD"))
        rows = {
            row[0]: row[1:]
            for row in csv.reader(archive.read(name).decode().splitlines())
        }
        for missing in sorted(rows.keys() - set(archive.namelist())):
            complaints.append(f"{missing} is in RECORD and not in the wheel")
        for file in archive.namelist():
            if file not in rows:
                complaints.append(f"{file} is not in RECORD")
            elif file != name:
                data = archive.read(file)
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
                expected = [f"sha256={digest.decode().rstrip('=')}", str(len(data))]
                if rows[file] != expected:
                    complaints.append(f"{file} is not what RECORD says")
    return complaints


def main():
    wheel, mlx, python = sys.argv[1:]
    complaints = binaries(pathlib.Path(wheel), pathlib.Path(mlx), python)
    print(*complaints, sep="\n", end="\n" if complaints else "")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
