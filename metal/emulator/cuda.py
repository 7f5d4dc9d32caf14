"""The same Metal source for nvcc: a second compiler, and a GPU if there is one.

cuda/metal.cuh declares only what the selection kernels use of Metal.
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
    """CUDA source: one __global__ function for each of the kernels' host names."""
    translation = prepass.translate(path, "cuda", include_dirs, defines)
    prepass.require_clean(translation)
    return f'#include "{HEADER}"\n{translation.text}'


def compile_kernels(path, out, include_dirs=(), defines=(), architecture="sm_80"):
    """Writes a cubin. Raises BuildError with what nvcc says, warnings included."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise FileNotFoundError("nvcc")
    with tempfile.TemporaryDirectory(prefix="metal-cuda-") as folder:
        file = Path(folder, "kernels.cu")
        file.write_text(source(path, include_dirs, defines))
        command = [nvcc, "-cubin", f"-arch={architecture}", "-std=c++17"]
        # The directives of the prepass are Metal's #line, not ours.
        command += ["-Werror", "all-warnings", "-o", str(out), str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(done.stderr or done.stdout)


def main():
    parser = argparse.ArgumentParser(prog="python -m metal.emulator.cuda")
    parser.add_argument("file")
    parser.add_argument("out", help="a cubin to write")
    parser.add_argument("-I", action="append", default=[], help="include directory")
    parser.add_argument("--arch", default="sm_80")
    options = parser.parse_args()
    compile_kernels(options.file, options.out, options.I, (), options.arch)


if __name__ == "__main__":
    main()
