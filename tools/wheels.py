"""Builds the wheels for several Pythons and platforms, on one machine.

    python -m tools.wheels --out FOLDER [--platforms ...] [--pythons ...]

Builds for each version of CPython that it finds, if --pythons does not name
interpreters. The library is compiled once for each platform, and the bindings once for
each Python. Versions and platforms that are left out are named.
"""

import argparse
import dataclasses
import os
import pathlib
import platform
import runpy
import shutil
import subprocess
import sys
import time

from tools import pythons, wheel_index

ROOT = pathlib.Path(__file__).parents[1]
BUILD = ROOT / "build" / "wheels"
STOCK_VERSION = runpy.run_path(str(ROOT / "python/mlx/_version.py"))["STOCK_VERSION"]


@dataclasses.dataclass(frozen=True)
class Platform:
    name: str
    tag: str  # of MLX's wheel that is built from
    back_end: str  # the package with libmlx and MLX's headers
    builders: tuple[str, ...]  # the machines that can build for it

    @property
    def folder(self):
        return BUILD / self.name

    def stock(self, python):
        """Returns the folder of stock MLX for a version of Python."""
        return self.folder / f"stock-{python.name}"


LINUX_X86_64 = "Linux x86_64"
PLATFORMS = [
    Platform("linux-x86_64", "manylinux_2_35_x86_64", "mlx-cpu", (LINUX_X86_64,)),
    Platform(
        "linux-aarch64",
        "manylinux_2_35_aarch64",
        "mlx-cpu",
        (LINUX_X86_64, "Linux aarch64"),
    ),
    Platform(
        "macos-arm64",
        "macosx_14_0_arm64",
        "mlx-metal",
        (LINUX_X86_64, "Darwin arm64"),
    ),
]


def run(*command, **variables):
    """Runs a command in the root folder, or exits with its status."""
    programs = pathlib.Path(sys.executable).parent
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    environment = os.environ | {"PATH": path} | variables
    done = subprocess.run(command, cwd=ROOT, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed.")


def install_stock(target, python):
    """Puts MLX and its back end for a platform and a Python into a folder."""
    folder = target.stock(python)
    done = folder / f".{STOCK_VERSION}"
    if not done.exists():
        download_stock(target, python, folder)
        done.touch()
    # Tests of the wheel for macOS need the interpreter.
    (folder / "python").write_text(python.executable)


def download_stock(target, python, folder):
    shutil.rmtree(folder, ignore_errors=True)
    options = ["--target", folder, "--no-deps", "--only-binary=:all:"]
    options += ["--platform", target.tag, "--python-version", python.name]
    packages = [f"{name}=={STOCK_VERSION}" for name in ("mlx", target.back_end)]
    run(sys.executable, "-m", "pip", "install", "-q", *options, *packages)


def build(target, python, interpreters):
    """Returns the wheel for one platform and Python.

    interpreters: all that are built for, one after the other, in one folder of CMake.
    They share the headers and libmlx of the first. With a folder of its own for each
    Python the library would be compiled again.
    """
    headers = target.stock(interpreters[0])
    cmake = "-".join(["cmake", *(p.name for p in interpreters)])
    built = target.folder / "built"
    shutil.rmtree(built, ignore_errors=True)
    run(
        *(sys.executable, "-m", "pip", "wheel", "-q", ".", "-w", built),
        *("--no-build-isolation", "--no-deps"),
        PYTHONPATH=str(target.stock(python)),
        MLX_DIR=str(headers / "mlx/share/cmake/MLX"),
        MLX_TOPK_BUILD=str(target.folder / cmake),
        MLX_TOPK_PYTHON=python.executable,
    )
    (wheel,) = built.glob("mlx-*.whl")
    return wheel


def finish(target, python, wheel, out):
    """Checks a wheel, lets auditwheel choose the tag for Linux, and puts it in out."""
    if target.name.startswith("linux"):
        # libmlx is in the package of the back end, which the wheel requires.
        command = [sys.executable, "-m", "auditwheel", "repair"]
        run(*command, "--exclude", "libmlx.so", "-w", out, wheel)
    else:
        if sys.platform == "linux":
            stock = target.stock(python) / "mlx"
            check = [sys.executable, "-m", "macos.check"]
            run(*check, wheel, stock, python.executable)
        shutil.move(wheel, out / wheel.name)


def build_all(targets, interpreters, out):
    for target in targets:
        for python in interpreters:
            install_stock(target, python)
        for python in interpreters:
            start = time.monotonic()
            wheel = build(target, python, interpreters)
            finish(target, python, wheel, out)
            seconds = time.monotonic() - start
            print(f"{target.name}, CPython {python.name}: {seconds:.0f} s", flush=True)


def find_pythons(named):
    """Returns the interpreters to build for, and a line for each version left out.

    named: the interpreters to use, or an empty list for all that there are.
    """
    found, missing = pythons.choose(named or pythons.candidates())
    if named and len(found) < len(named):
        sys.exit(f"Cannot build for all of {', '.join(named)}.\n" + "\n".join(missing))
    if not found:
        sys.exit("\n".join(["No interpreter to build for.", *missing]))
    return found, [] if named else missing


def main():
    machine = f"{platform.system()} {platform.machine()}"
    names = [target.name for target in PLATFORMS if machine in target.builders]
    parser = argparse.ArgumentParser(prog="python -m tools.wheels")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--platforms", nargs="+", choices=names, default=names)
    parser.add_argument("--pythons", nargs="+", metavar="PYTHON", default=[])
    options = parser.parse_args()
    interpreters, missing = find_pythons(options.pythons)
    missing += [
        f"{target.name}: this is {machine}"
        for target in PLATFORMS
        if target.name not in names
    ]
    # The modes of files are in the archives.
    os.umask(0o022)
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    targets = [target for target in PLATFORMS if target.name in options.platforms]
    build_all(targets, interpreters, options.out.resolve())
    wheel_index.write(options.out)
    print(*(options.out / name for name in sorted(os.listdir(options.out))), sep="\n")
    if missing:
        print("Not built:", *missing, sep="\n  ")


if __name__ == "__main__":
    main()
