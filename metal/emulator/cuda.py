"""Translates Metal source to CUDA and compiles it with nvcc:

    python -m metal.emulator.cuda FILE OUT [-I DIRECTORY] [-D NAME=VALUE] [--arch ARCH]

nvcc is a second compiler that checks the source, and its output runs on NVIDIA GPUs.
cuda/metal.cuh declares the part of Metal's library that the kernels may use.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import prepass
from .builder import BuildError

HEADER = Path(__file__).resolve().parent / "cuda" / "metal.cuh"


def source(path, include_dirs=(), defines=()):
    """Returns CUDA source with one __global__ function per host name of a kernel."""
    translation = prepass.translate(path, "cuda", include_dirs, defines)
    prepass.require_clean(translation)
    return f'#include "{HEADER}"\n{translation.text}'


def compile_kernels(path, out, include_dirs=(), defines=(), architecture="sm_80"):
    """Writes a cubin to `out`. Raises BuildError if nvcc reports an error or a warning.

    Raises FileNotFoundError if nvcc is not installed.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise FileNotFoundError("nvcc is not on the PATH; CUDA's toolkit has it")
    with tempfile.TemporaryDirectory(prefix="metal-cuda-") as folder:
        file = Path(folder, "kernels.cu")
        file.write_text(source(path, include_dirs, defines))
        command = [nvcc, "-cubin", f"-arch={architecture}", "-std=c++17"]
        command += ["-Werror", "all-warnings", "-o", str(out), str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(done.stderr or done.stdout)


def main():
    parser = argparse.ArgumentParser(prog="python -m metal.emulator.cuda")
    parser.add_argument("file")
    parser.add_argument("out", help="the cubin to write")
    parser.add_argument("-I", action="append", default=[], help="include directory")
    parser.add_argument("-D", action="append", default=[], help="macro definition")
    parser.add_argument("--arch", default="sm_80", help="nvcc's -arch")
    options = parser.parse_args()
    compile_kernels(options.file, options.out, options.I, options.D, options.arch)


if __name__ == "__main__":
    main()
