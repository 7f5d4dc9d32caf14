"""Debian's cross compiler and QEMU, and MLX for aarch64, without installing them.

    python -m aarch64.toolchain

downloads the packages and unpacks them into ``build/aarch64``. It needs Debian 12 or a
later one, for x86-64, but no rights of an administrator.
"""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
BUILD = ROOT / "build/aarch64"
SYSTEM = BUILD / "root"
# What aarch64 programs find as / : Debian's cross compiler has it in this folder.
TARGET = SYSTEM / "usr/aarch64-linux-gnu"
MLX = BUILD / "mlx"
# Scripts that run programs of SYSTEM with the libraries that they need.
PROGRAMS = BUILD / "programs"
PACKAGES = ["g++-aarch64-linux-gnu", "qemu-user"]
LIBRARIES = SYSTEM / "usr/lib/x86_64-linux-gnu"


def run(*command, **options):
    """Runs a program of the unpacked packages, with their shared libraries."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(LIBRARIES)}
    return subprocess.run(command, env=environment, text=True, **options)


def compiler():
    """Returns the command that compiles and links C++ for aarch64."""
    return [SYSTEM / "usr/bin/aarch64-linux-gnu-g++", f"--sysroot={SYSTEM}"]


def emulator(*options):
    """Returns the command that runs an aarch64 program, whose path comes next."""
    return [SYSTEM / "usr/bin/qemu-aarch64", "-L", TARGET, *options]


def packages():
    """Returns the packages to download: ``PACKAGES`` and what they need.

    Those that are installed on this machine are left out.
    """
    command = ["apt-get", "--simulate", "--no-install-recommends", "install"]
    done = subprocess.run([*command, *PACKAGES], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr}Try apt-get update first.")
    lines = done.stdout.splitlines()
    return [line.split()[1] for line in lines if line.startswith("Inst ")]


def write_programs():
    """Writes a script for each program of the cross compiler. Returns their folder.

    CMake and others can call the scripts as if the packages were installed.
    """
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    for program in (SYSTEM / "usr/bin").glob("aarch64-linux-gnu-*"):
        compiles = program.name.endswith(("-g++", "-gcc"))
        sysroot = f" '--sysroot={SYSTEM}'" if compiles else ""
        write_script(
            PROGRAMS / program.name,
            f"export LD_LIBRARY_PATH='{LIBRARIES}'\nexec '{program}'{sysroot} \"$@\"\n",
        )
    return PROGRAMS


def write_script(path, text):
    """Writes a shell script, unless it is there already: ccache minds its time."""
    text = f"#!/bin/sh\n{text}"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        path.chmod(0o755)


def unpack_compiler():
    """Unpacks ``PACKAGES`` into ``SYSTEM``, unless that has been done."""
    if (SYSTEM / ".unpacked").exists():
        return
    if not shutil.which("apt-get"):
        sys.exit("Only on Debian: this needs apt-get.")
    archives = BUILD / "packages"
    for folder in (archives, SYSTEM):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    subprocess.run(["apt-get", "-q", "download", *packages()], cwd=archives, check=True)
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", archive, SYSTEM], check=True)
    (SYSTEM / ".unpacked").touch()


def unpack_mlx(version):
    """Puts stock MLX for aarch64, a wheel of PyPI, into ``MLX``."""
    if (MLX / f"mlx-{version}.dist-info").exists():
        return
    shutil.rmtree(MLX, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    target = ["--target", MLX, "--only-binary=:all:", "--python-version", "3.11"]
    platform = ["--platform", "manylinux_2_35_aarch64"]
    wheels = [f"mlx=={version}", f"mlx-cpu=={version}"]
    subprocess.run([*pip, *target, *platform, *wheels], check=True)


def prepare(version):
    """Makes the compiler, the emulator and stock MLX ``version`` available."""
    unpack_compiler()
    unpack_mlx(version)


if __name__ == "__main__":
    unpack_compiler()
