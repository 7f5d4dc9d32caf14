"""Builds the wheel ``mlx``: MLX's front end as PyPI has it, and what we add to it.

MLX's files come from the installed build requirement ``mlx``, of exactly the
version in python/mlx/_version.py. None of them is in this repository.
"""

import ast
import importlib.metadata
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).parent.resolve()
PYTHON = ROOT / "python" / "mlx"
STUBS = "mlx/core/__init__.pyi"
# As MLX's own, whatever macOS the interpreter that builds it is for.
MACOS_PLATFORM = "macosx_14_0_arm64"

version = runpy.run_path(str(PYTHON / "_version.py"))

# An interpreter of the version for which to build the macOS wheel, on Linux.
macos = os.environ.get("MLX_TOPK_MACOS_PYTHON")
if macos:
    sys.path.append(str(ROOT / "macos"))
    import cross

    macos = cross.Target(macos)


def upstream_distribution():
    wanted = version["UPSTREAM"]
    # Not here, where an earlier build has left the metadata of ours.
    path = [p for p in sys.path if pathlib.Path(p).resolve() != ROOT]
    found = next(iter(importlib.metadata.distributions(name="mlx", path=path)), None)
    if found is None:
        sys.exit(f"Building this needs the PyPI package mlx=={wanted}.")
    if found.version != wanted:
        sys.exit(f"Building this needs mlx=={wanted}, and mlx {found.version} is here.")
    return found


def front_end(distribution):
    """MLX's files that belong into the wheel, with the paths they have there."""
    return [f for f in distribution.files if f.parts[0] == "mlx" and f.suffix != ".pyc"]


def requirements(distribution):
    """What MLX requires, and what it requires for each of its extras."""
    required = []
    extras = {name: [] for name in distribution.metadata.get_all("Provides-Extra")}
    for requirement in distribution.requires or []:
        extra = re.search(r"(?:and )?extra == ['\"]([\w-]+)['\"]", requirement)
        if extra is None:
            required.append(requirement)
        else:
            plain = requirement.replace(extra.group(), "").strip().rstrip(";").strip()
            extras[extra.group(1)].append(plain)
    return required, extras


def licences(*distributions):
    """Our licence, and those of ``distributions`` where setuptools accepts them."""
    names = ["LICENSE"]
    for distribution in distributions:
        for file in distribution.files:
            if "licenses" in file.parts:
                copy = pathlib.Path("build", "licences", distribution.name, file.name)
                (ROOT / copy).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), ROOT / copy)
                names.append(copy.as_posix())
    return names


def spliced_stubs(upstream, additions):
    """``upstream`` without the definitions that ``additions`` has, and with those."""
    names = {
        node.name
        for node in ast.parse(additions).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    lines = upstream.splitlines(keepends=True)
    for node in reversed(ast.parse(upstream).body):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            del lines[first - 1 : node.end_lineno]
    return "".join(lines) + "\n" + additions


class Build(build_ext):
    def run(self):
        target = pathlib.Path(self.build_lib, "mlx").resolve()
        shutil.rmtree(target, ignore_errors=True)
        self.copy_python(target.parent)
        self.run_cmake(target)

    def copy_python(self, target):
        for file in front_end(upstream):
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file.locate(), target / file)
        additions = (PYTHON / "core" / "additions.pyi").read_text()
        stubs = target / STUBS
        stubs.write_text(spliced_stubs(stubs.read_text(), additions))
        for file in PYTHON.rglob("*.py"):
            destination = target / "mlx" / file.relative_to(PYTHON)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, destination)

    def run_cmake(self, target):
        sanitize = os.environ.get("MLX_TOPK_SANITIZE", "OFF")
        kind = "sanitize" if sanitize == "ON" else "wheel"
        tag = macos.soabi if macos else sys.implementation.cache_tag
        build = ROOT / "build" / f"cmake-{kind}-{tag}"
        sdk = upstream.locate_file("mlx/share/cmake/MLX")
        if not sdk.exists():
            sys.exit(f"Building this needs a back end of MLX, and {sdk} is not here.")
        cache = build / "CMakeCache.txt"
        if cache.exists() and str(sdk) not in cache.read_text():
            # From another environment, of which pip makes a new one each time.
            shutil.rmtree(build)
        cmake = ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(build)]
        options = {"MLX_DIR": sdk, "MLX_TOPK_SANITIZE": sanitize}
        options |= self.cmake_options(build)
        cmake += [f"-D{name}={value}" for name, value in options.items()]
        subprocess.run(cmake, check=True)
        subprocess.run(["cmake", "--build", str(build)], check=True)
        install = ["cmake", "--install", str(build), "--component", "wheel"]
        if not macos and sys.platform != "darwin":
            # On macOS that would invalidate the signature that the linker made.
            install.append("--strip")
        subprocess.run([*install, "--prefix", str(target)], check=True)

    def cmake_options(self, build):
        options = {
            "CMAKE_BUILD_TYPE": "Release",
            "MLX_TOPK_UPSTREAM": version["UPSTREAM"],
            "MLX_TOPK_WERROR": os.environ.get("MLX_TOPK_WERROR", "OFF"),
            "Python_EXECUTABLE": sys.executable,
        }
        if sys.platform == "darwin":
            options["CMAKE_OSX_ARCHITECTURES"] = "arm64"
            options["CMAKE_OSX_DEPLOYMENT_TARGET"] = "14.0"
        if macos:
            options |= macos.cmake_options(upstream.locate_file("mlx"), build)
        return options


class Wheel(bdist_wheel):
    def get_tag(self):
        python, abi, platform = super().get_tag()
        if macos:
            python = abi = macos.tag
        if macos or sys.platform == "darwin":
            platform = MACOS_PLATFORM
        return python, abi, platform


upstream = upstream_distribution()
required, extras = requirements(upstream)
entry_points = {}
for point in upstream.entry_points:
    entry_points.setdefault(point.group, []).append(f"{point.name} = {point.value}")

setup(
    name="mlx",
    version=version["VERSION"],
    description="MLX with differentiable, exact top-k selection.",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=licences(upstream, importlib.metadata.distribution("nanobind")),
    python_requires=upstream.metadata["Requires-Python"],
    install_requires=required,
    extras_require=extras,
    entry_points=entry_points,
    packages=[],
    ext_modules=[Extension("mlx._selection", sources=[])],
    cmdclass={"build_ext": Build, "bdist_wheel": Wheel},
)
