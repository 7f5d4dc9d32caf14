"""Builds the wheel ``mlx``: MLX's front end as PyPI has it, and the fork's additions.

MLX's files come from the installed build requirement ``mlx``, of exactly the
version in python/mlx/_version.py. None of them is in this repository.

Environment variables that change the build:
    MLX_TOPK_BUILD_TYPE: CMake's build type, Release if it is not set.
    MLX_TOPK_FEW_TYPES: ON compiles the CPU's kernels for two types only. Such a wheel
        is for tests of building, not for use.
    MLX_TOPK_WERROR: ON makes the C++ compiler's warnings errors.
    MLX_TOPK_PYTHON: an interpreter of the version of Python to build for, which is
        that of the package ``mlx``. By default it is the one that runs setup.py.
    MLX_TOPK_BUILD: the folder in which CMake builds.
    MLX_DIR: the folder of MLX's CMake package, if it is not that of the package
        ``mlx``.
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
sys.path.insert(0, str(ROOT))

from tools import parts  # noqa: E402
from tools import target as targets  # noqa: E402

PYTHON = ROOT / "python" / "mlx"
STUBS = "mlx/core/__init__.pyi"
CLASSIFIERS = [
    "Development Status :: 4 - Beta",
    "Intended Audience :: Developers",
    "Intended Audience :: Science/Research",
    "Operating System :: MacOS",
    "Operating System :: POSIX :: Linux",
    "Programming Language :: C++",
    "Programming Language :: Python :: 3 :: Only",
    "Programming Language :: Python :: Implementation :: CPython",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
    "Typing :: Typed",
]

version = runpy.run_path(str(PYTHON / "_version.py"))


def stock_distribution():
    """Returns the installed package ``mlx``, or exits if there is none that fits."""
    wanted = version["STOCK_VERSION"]
    # The repository may hold the metadata of an earlier build of the fork.
    path = [p for p in sys.path if pathlib.Path(p).resolve() != ROOT]
    found = next(iter(importlib.metadata.distributions(name="mlx", path=path)), None)
    if found is None:
        sys.exit(f"Building this needs the PyPI package mlx=={wanted}.")
    if found.version != wanted:
        sys.exit(f"Building this needs mlx=={wanted}, but finds {found.version}.")
    return found


def front_end(distribution):
    """Returns the paths of MLX's files that are copied into the wheel."""
    return [f for f in distribution.files if f.parts[0] == "mlx" and f.suffix != ".pyc"]


def requirements(distribution):
    """Returns MLX's requirements, and a dictionary of each extra's requirements."""
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


def spliced_stubs(stock, additions):
    """Returns the stubs ``stock`` with ``additions`` appended.

    Definitions in ``stock`` that ``additions`` defines too are removed.
    """
    names = {
        node.name
        for node in ast.parse(additions).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    lines = stock.splitlines(keepends=True)
    for node in reversed(ast.parse(stock).body):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            del lines[first - 1 : node.end_lineno]
    return "".join(lines) + "\n" + additions


def cmake_folder():
    """Returns the folder in which CMake builds."""
    default = ROOT / "build" / f"cmake-wheel-{sys.implementation.cache_tag}"
    return pathlib.Path(os.environ.get("MLX_TOPK_BUILD", default))


class Build(build_ext):
    def run(self):
        folder = pathlib.Path(self.build_lib, "mlx").resolve()
        shutil.rmtree(folder, ignore_errors=True)
        self.copy_python(folder.parent)
        self.run_cmake(folder)

    def copy_python(self, folder):
        for file in front_end(stock):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file.locate(), folder / file)
        additions = (PYTHON / "core" / "additions.pyi").read_text()
        stubs = folder / STUBS
        stubs.write_text(spliced_stubs(stubs.read_text(), additions))
        for file in PYTHON.rglob("*.py"):
            destination = folder / "mlx" / file.relative_to(PYTHON)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, destination)

    def run_cmake(self, folder):
        build = cmake_folder()
        sdk = os.environ.get("MLX_DIR", target.mlx / "share/cmake/MLX")
        if not pathlib.Path(sdk).exists():
            sys.exit(f"Building this needs a back end of MLX, but {sdk} is missing.")
        cache = build / "CMakeCache.txt"
        if cache.exists() and str(sdk) not in cache.read_text():
            # The folder was configured in another temporary build environment of pip.
            shutil.rmtree(build)
        cmake = ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(build)]
        # Forgets the Python of the last build in this folder.
        cmake += ["-U", "*Python*"]
        options = {"MLX_DIR": sdk} | self.cmake_options(build)
        cmake += [f"-D{name}={value}" for name, value in options.items()]
        subprocess.run(cmake, check=True)
        subprocess.run(["cmake", "--build", str(build)], check=True)
        install = ["cmake", "--install", str(build), "--component", "wheel"]
        if target.strip:
            install.append("--strip")
        subprocess.run([*install, "--prefix", str(folder)], check=True)

    def cmake_options(self, build):
        return {
            "CMAKE_BUILD_TYPE": os.environ.get("MLX_TOPK_BUILD_TYPE", "Release"),
            # Given each time, because the Makefile sets it to ON in the same folder.
            "MLX_TOPK_TESTS": "OFF",
            "MLX_TOPK_FEW_TYPES": os.environ.get("MLX_TOPK_FEW_TYPES", "OFF"),
            "MLX_TOPK_STOCK_VERSION": version["STOCK_VERSION"],
            "MLX_TOPK_WERROR": os.environ.get("MLX_TOPK_WERROR", "OFF"),
        } | target.cmake_options(build)


class Wheel(bdist_wheel):
    def get_tag(self):
        return target.wheel_tags

    def write_wheelfile(self, folder, *arguments, **options):
        super().write_wheelfile(folder, *arguments, **options)
        path = pathlib.Path(folder, parts.SBOM)
        path.parent.mkdir()
        path.write_text(parts.sbom(version["VERSION"], contents))
        # The mode that a licence has in the checkout would be in the archive.
        for file in pathlib.Path(folder).rglob("*"):
            if file.is_file():
                file.chmod(0o644)


stock = stock_distribution()
target = targets.choose(stock)
required, extras = requirements(stock)
# The source distribution has no other project's work.
contents = []
if "sdist" not in sys.argv:
    contents = parts.parts(stock, importlib.metadata.distribution("nanobind"))
entry_points = {}
for point in stock.entry_points:
    entry_points.setdefault(point.group, []).append(f"{point.name} = {point.value}")

setup(
    name="mlx",
    version=version["VERSION"],
    description="MLX with differentiable, exact top-k selection.",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license_expression=parts.licence_expression(contents),
    license_files=["LICENSE", *parts.write_licences(contents, ROOT)],
    classifiers=CLASSIFIERS,
    project_urls={"MLX": "https://github.com/ml-explore/mlx"},
    keywords="mlx top-k topk argpartition argsort differentiable mixture-of-experts",
    python_requires=stock.metadata["Requires-Python"],
    install_requires=required,
    extras_require=extras,
    entry_points=entry_points,
    packages=[],
    # The files of the wheel are collected beside CMake's folder, so that builds with
    # other folders can run at the same time. The path is relative, because only then
    # is the folder left out of the source distribution.
    options={"build": {"build_base": os.path.relpath(cmake_folder().parent, ROOT)}},
    ext_modules=[Extension("mlx._selection", sources=[])],
    cmdclass={"build_ext": Build, "bdist_wheel": Wheel},
)
