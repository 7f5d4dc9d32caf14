"""Finds the versions of CPython on this machine that wheels can be built for."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess

# The versions of CPython for which PyPI has wheels of MLX.
OF_MLX = [(3, minor) for minor in range(10, 16)]

# Prints what Python needs to know about an interpreter.
_QUERY_SCRIPT = """
import json, pathlib, sys, sysconfig
print(json.dumps({
    "executable": sys.executable,
    "implementation": sys.implementation.name,
    "version": sys.version_info[:2],
    "headers": pathlib.Path(sysconfig.get_paths()["include"], "Python.h").exists(),
    "special": bool(
        sysconfig.get_config_var("Py_GIL_DISABLED")
        or sysconfig.get_config_var("Py_DEBUG")
    ),
}))
"""


@dataclasses.dataclass(frozen=True)
class Python:
    """An interpreter, and why no wheel can be built for it ("" if one can)."""

    executable: str
    version: tuple[int, int]
    fault: str

    @property
    def name(self):
        return "{}.{}".format(*self.version)


def query(executable):
    """Returns the Python at a path, or None if it does not run."""
    try:
        done = subprocess.run(
            [executable, "-c", _QUERY_SCRIPT], capture_output=True, text=True
        )
    except OSError:
        return None
    if done.returncode:
        return None
    found = json.loads(done.stdout)
    fault = ""
    if found["implementation"] != "cpython":
        fault = f"{executable} is {found['implementation']}"
    elif found["special"]:
        fault = f"{executable} is a debug or free-threaded build"
    elif not found["headers"]:
        fault = f"{executable} has no headers (Python.h)"
    return Python(found["executable"], tuple(found["version"]), fault)


def candidates():
    """Returns the paths of interpreters on PATH and in pyenv's folder."""
    paths = []
    for folder in os.environ["PATH"].split(os.pathsep):
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        paths += [
            os.path.join(folder, name)
            for name in names
            if re.fullmatch(r"python3\.\d+", name)
        ]
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    return paths + [str(path) for path in sorted(pyenv.glob("versions/*/bin/python3"))]


def choose(paths):
    """Returns the interpreters to build for, and a line for each version left out.

    paths: interpreters in order of preference. Those that do not run are ignored, and
    so are those that are older than any that MLX has wheels for.
    """
    found = {}
    for python in filter(None, map(query, paths)):
        if python.version >= OF_MLX[0]:
            kept = found.get(python.version)
            if kept is None or (kept.fault and not python.fault):
                found[python.version] = python
    missing = [
        f"CPython {major}.{minor}: no interpreter found"
        for major, minor in OF_MLX
        if (major, minor) not in found
    ]
    missing += [f"CPython {p.name}: {p.fault}" for p in found.values() if p.fault]
    usable = [p for p in found.values() if not p.fault]
    return sorted(usable, key=lambda p: p.version), sorted(missing)
