"""The platform and the Python that setup.py builds a wheel for.

They are those of the wheel of stock MLX that is built from: its extension module
``mlx.core`` and its tags say which.
"""

import importlib
import json
import os
import pathlib
import platform
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
    """The platform of this machine.

    stock: the installed distribution mlx. python: an interpreter of the version of
    Python that ``stock`` is for.
    """

    # On macOS stripping would invalidate the linker's signature.
    strip = sys.platform != "darwin"

    def __init__(self, stock, python):
        self.tags = tags(stock)
        (core,) = (f for f in stock.files if f.match("mlx/core.*.so"))
        self.soabi = core.name.split(".")[1]
        self.mlx = pathlib.Path(stock.locate_file("mlx"))
        done = subprocess.run(
            [python, "-c", _QUERY_SCRIPT], check=True, capture_output=True, text=True
        )
        self.query = json.loads(done.stdout)
        self.python = self.query["executable"]
        version = self.query["cache_tag"]
        if not self.soabi.startswith(f"{version}-"):
            sys.exit(f"{self.python} is {version}, and {core} is for another Python.")

    @property
    def wheel_tags(self):
        """The tags for Python, the ABI and the platform in the name of our wheel.

        For Linux auditwheel replaces the platform by one that names the oldest glibc
        that the wheel runs with.
        """
        python, abi, tag = self.tags
        if not tag.startswith("macosx"):
            tag = f"linux_{architecture(tag)}"
        return python, abi, tag

    def cmake_options(self, build):
        """Returns CMake's options. build: CMake's folder."""
        options = {
            "Python_EXECUTABLE": self.python,
            # CMakeLists.txt would ask that interpreter, which may not have nanobind.
            "nanobind_DIR": nanobind.cmake_dir(),
            "SKBUILD_SOABI": self.soabi,
        }
        if sys.platform == "darwin":
            major, minor = self.tags[2].split("_")[1:3]
            options["CMAKE_OSX_ARCHITECTURES"] = architecture(self.tags[2])
            options["CMAKE_OSX_DEPLOYMENT_TARGET"] = f"{major}.{minor}"
        return options


class CrossTarget(Target):
    """Another platform than that of this machine, which is Linux for x86-64."""

    def cmake_options(self, build):
        headers = self.copy_headers(build / self.query["cache_tag"])
        return super().cmake_options(build) | {"Python_INCLUDE_DIR": headers}

    def copy_headers(self, folder):
        """Copies Python's headers to ``folder``, with pyconfig.h itself among them."""
        headers = pathlib.Path(self.query["include"])
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(headers, folder)
        # Where Debian has pyconfig.h. The file of that name in ``headers`` includes it
        # on x86-64, and includes another file or stops on other platforms.
        debian = headers.parent.joinpath(self.query["multiarch"], headers.name)
        if debian.is_dir():
            shutil.copytree(debian, folder, dirs_exist_ok=True)
        return folder


def tags(stock):
    """Returns the tags of an installed wheel: Python, ABI and platform."""
    lines = stock.read_text("WHEEL").splitlines()
    (tag,) = (x.removeprefix("Tag: ") for x in lines if x.startswith("Tag: "))
    return tag.split("-")


def architecture(tag):
    """Returns x86_64, aarch64 or arm64 for a platform's tag."""
    return "x86_64" if tag.endswith("x86_64") else tag.rsplit("_", 1)[1]


def choose(stock):
    """Returns the Target for the wheel of stock MLX."""
    tag = tags(stock)[2]
    folder = "macos" if tag.startswith("macosx") else "aarch64"
    kind = Target
    # macOS and Linux have different names for the same processors.
    if architecture(tag) != platform.machine():
        kind = importlib.import_module(f"{folder}.cross").Target
    return kind(stock, os.environ.get("MLX_TOPK_PYTHON", sys.executable))
