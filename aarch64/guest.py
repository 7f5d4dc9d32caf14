"""Debian's Python for aarch64, which runs in QEMU, without installing it.

    python -m aarch64.guest PYTHON

downloads Debian's packages for arm64 and unpacks them into ``build/aarch64/guest``.
It needs what toolchain.py needs. Where the packages cannot be had, it says so, and the
exit status is 3.

Prints the interpreter to build the tested wheel for: PYTHON, an interpreter of this
machine, if its version is that of Debian's Python, or else Debian's Python itself.
"""

import subprocess
import sys

from aarch64 import toolchain

# What aarch64 programs find as /, before they look in this machine's own folders.
GUEST = toolchain.BUILD / "guest"
# Scripts that aarch64 programs find before this machine's: the Python, and the compiler
# g++, which MLX calls for compiled functions.
PROGRAMS = toolchain.BUILD / "guest-programs"
PYTHON = PROGRAMS / "python3"
# A script that runs the aarch64 program whose path comes next.
RUN = PROGRAMS / "run"
# A file with the reason, where Debian's packages cannot be had.
UNAVAILABLE = toolchain.BUILD / "unavailable"
PACKAGES = ["python3", "libpython3-dev", "libstdc++6"]
# Has only the instructions of Armv8.0, as the oldest processors that a wheel for Linux
# on aarch64 has to run on.
PROCESSOR = "cortex-a72"


def unpack_debian():
    """Unpacks ``PACKAGES`` and what they need into ``GUEST``, unless that is done."""
    if (GUEST / ".unpacked").exists():
        return
    nothing = toolchain.BUILD / "nothing-installed"
    nothing.touch()
    toolchain.unpack(PACKAGES, GUEST, "arm64", nothing)
    if not (GUEST / "lib").exists():
        # Debian 13 and later ones have all libraries in /usr/lib.
        (GUEST / "lib").symlink_to("usr/lib")
    (GUEST / ".unpacked").touch()


def write_programs():
    """Writes the scripts of ``PROGRAMS``."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    temporary = toolchain.BUILD / "tmp"
    temporary.mkdir(exist_ok=True)
    compiler = toolchain.write_programs() / "aarch64-linux-gnu-g++"
    toolchain.write_script(PROGRAMS / "g++", f"exec '{compiler}' \"$@\"\n")
    settings = {
        # Otherwise Python looks for its files in /usr, which may have those of a Python
        # for x86-64.
        "PYTHONHOME": GUEST / "usr",
        "PYTHONNOUSERSITE": 1,
        # MLX keeps functions that it compiled there. Programs for x86-64 must not find
        # these.
        "TMPDIR": temporary,
        "PATH": f"{PROGRAMS}:$PATH",
        "LD_LIBRARY_PATH": toolchain.LIBRARIES,
    }
    exports = "".join(f'export {name}="{value}"\n' for name, value in settings.items())
    qemu = toolchain.SYSTEM / "usr/bin/qemu-aarch64"
    # -U: only QEMU itself needs the libraries.
    emulate = f"exec '{qemu}' -L '{GUEST}' -cpu {PROCESSOR} -U LD_LIBRARY_PATH"
    toolchain.write_script(RUN, f'{exports}{emulate} "$@"\n')
    # -0: the Python takes the script for its own path, and starts others with it.
    python = f"-0 \"$0\" '{GUEST}/usr/bin/python3'"
    toolchain.write_script(PYTHON, f'{exports}{emulate} {python} "$@"\n')


def prepare():
    """Makes the compiler, the emulator and the Python available."""
    toolchain.unpack_compiler()
    unpack_debian()
    write_programs()


def version():
    """Returns the version of Debian's Python, such as 3.11."""
    return (GUEST / "usr/bin/python3").readlink().name.removeprefix("python")


def interpreter(python):
    """Returns ``python`` if it has the version of Debian's, or else Debian's."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True)
    return python if done.stdout.strip() == version() else PYTHON


def main():
    toolchain.BUILD.mkdir(parents=True, exist_ok=True)
    UNAVAILABLE.unlink(missing_ok=True)
    try:
        prepare()
    except toolchain.Unavailable as reason:
        UNAVAILABLE.write_text(f"{reason}\n")
        print(f"Nothing is tested for aarch64: {reason}", file=sys.stderr)
        sys.exit(3)
    print(interpreter(sys.argv[1]))


if __name__ == "__main__":
    main()
