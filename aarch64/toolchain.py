"""Debian's cross compiler and QEMU, and MLX for aarch64, without installing them.

``prepare()`` downloads the packages and unpacks them into ``build/aarch64``. It needs
Debian 12 or a later one, for x86-64, but no rights of an administrator.
"""

import os
import pathlib
import platform
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


class Unavailable(SystemExit):
    """Debian's packages cannot be had on this machine. The argument says why."""


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


def apt_get(*arguments, **options):
    """Runs apt-get and returns what it prints."""
    if platform.machine() != "x86_64" or not shutil.which("apt-get"):
        raise Unavailable("this needs Debian for x86-64")
    command = ["apt-get", "-q", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        errors = " ".join(done.stderr.split())
        raise Unavailable(f"{' '.join(command[-2:])} fails: {errors}")
    return done.stdout


def apt_options(architecture, status):
    """Returns options with which apt-get needs no rights of an administrator.

    It uses this machine's list of mirrors, but keeps in ``BUILD`` what it reads there.
    status: the file with the list of the packages that are installed already.
    """
    state = BUILD / f"apt-{architecture}"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Dir::State": state,
        "Dir::State::status": status,
        "Dir::Cache": state,
    }
    return [f"-o{name}={value}" for name, value in settings.items()]


def unpack(names, folder, architecture, status):
    """Unpacks Debian's packages, and those that they need, into the folder.

    Those that are installed are left out.
    """
    archives = folder.with_name(f"{folder.name}-packages")
    for new in (archives, folder):
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
    options = apt_options(architecture, status)
    apt_get(*options, "update")
    install = ["--simulate", "--no-install-recommends", "install"]
    lines = apt_get(*options, *install, *names).splitlines()
    needed = [line.split()[1] for line in lines if line.startswith("Inst ")]
    apt_get(*options, "download", *needed, cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", archive, folder], check=True)
    shutil.rmtree(archives)


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
    unpack(PACKAGES, SYSTEM, "amd64", "/var/lib/dpkg/status")
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
