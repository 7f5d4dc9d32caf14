"""Times the batched top-k of CUB, NVIDIA's library of GPU algorithms.

Needs CUDA's compiler with CUB 3.3: on PATH, or from PyPI by
``pip install nvidia-cuda-nvcc==13.5.37 nvidia-cuda-cccl==13.3.5.0.6``.
"""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import tempfile

from machine_code import package_file

SOURCE = pathlib.Path(__file__).with_name("cub_topk.cu")
ELEMENTS = {"float32": "float", "bfloat16": "__nv_bfloat16"}
# How CUB's error begins if the rows are longer than one block of threads can hold.
TOO_LONG = "DeviceBatchedTopK currently supports only segments small enough"


def find_compiler():
    """Returns the path of nvcc."""
    return shutil.which("nvcc") or package_file("nvidia-cuda-nvcc", "nvcc")


def compile_shape(compiler, shape, program, arch="native"):
    """Compiles the benchmark. Returns whether CUB can do such rows."""
    rows, size, k, dtype = shape
    defined = {"ROWS": rows, "SIZE": size, "K": k, "ELEMENT": ELEMENTS[dtype]}
    macros = [f"-DTOPK_{name}={value}" for name, value in defined.items()]
    command = [compiler, "-std=c++17", "-O3", f"-arch={arch}", *macros, str(SOURCE)]
    done = subprocess.run([*command, "-o", program], capture_output=True, text=True)
    if done.returncode and TOO_LONG not in done.stdout + done.stderr:
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode == 0


def times_of(shapes):
    """Returns microseconds per call for those of ``shapes`` that CUB can do."""
    compiler = find_compiler()
    with tempfile.TemporaryDirectory() as folder:
        programs = [os.path.join(folder, str(i)) for i in range(len(shapes))]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            compiled = list(
                pool.map(
                    lambda shape, program: compile_shape(compiler, shape, program),
                    shapes,
                    programs,
                )
            )
        times = {}
        for shape, program, is_compiled in zip(shapes, programs, compiled, strict=True):
            if is_compiled:
                done = subprocess.run(
                    [program], capture_output=True, text=True, check=True
                )
                times[shape] = float(done.stdout)
        return times
