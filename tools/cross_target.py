"""What the two cross builds have in common: a version of CPython to build for.

macos/cross.py and aarch64/cross.py each define a class ``Target``, which setup.py
uses. Both run on Linux for x86-64.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import nanobind

# Prints what Target needs to know about a Python.
_QUERY_SCRIPT = """
import json, sys, sysconfig
print(json.dumps({
    "executable": sys.executable,
    "cache_tag": sys.implementation.cache_tag,
    "include": sysconfig.get_paths()["include"],
    "multiarch": sysconfig.get_config_var("MULTIARCH") or "",
}))
"""


class Target:
    """CPython on another platform, of the same version as the interpreter ``python``.

    A subclass sets ``platform``, the platform's tag in the names of wheels,
    ``soabi_suffix``, the platform's part of the names of extension modules, and
    ``strip``, which says whether CMake can strip the libraries.
    """

    def __init__(self, python):
        done = subprocess.run(
            [python, "-c", _QUERY_SCRIPT], check=True, capture_output=True, text=True
        )
        query = json.loads(done.stdout)
        name, digits = query["cache_tag"].split("-")
        if name != "cpython":
            sys.exit(f"{python} is {name}; expected CPython.")
        self.python = query["executable"]
        self.headers = pathlib.Path(query["include"])
        # Where Debian has pyconfig.h. The file of that name in ``headers`` includes it
        # on x86-64, and includes another file or stops on other platforms.
        self.debian_headers = self.headers.parent.joinpath(
            query["multiarch"], self.headers.name
        )
        self.tag = f"cp{digits}"
        self.soabi = f"cpython-{digits}-{self.soabi_suffix}"

    def cmake_options(self, mlx, build):
        """Returns CMake's options.

        mlx: the folder mlx/ of MLX's wheels for the platform. build: CMake's folder.
        """
        core = mlx / f"core.{self.soabi}.so"
        if not core.exists():
            sys.exit(f"{core} is missing: {mlx} is MLX for another platform or Python.")
        return {
            "Python_EXECUTABLE": self.python,
            "Python_INCLUDE_DIR": self.copy_headers(build / "python"),
            # CMakeLists.txt would ask that interpreter, which may not have nanobind.
            "nanobind_DIR": nanobind.cmake_dir(),
            "SKBUILD_SOABI": self.soabi,
        }

    def copy_headers(self, folder):
        """Copies Python's headers to ``folder``, with pyconfig.h itself among them."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.headers, folder)
        if self.debian_headers.is_dir():
            shutil.copytree(self.debian_headers, folder, dirs_exist_ok=True)
        return folder
