"""The Metal kernels' text compiles for every NVIDIA GPU that MLX ships for.

Needs no GPU: NVRTC, CUDA's run-time compiler, comes from PyPI in two versions. They are
installed by ``make test-all``; without them the tests are skipped.
"""

import ctypes
import importlib.metadata
import multiprocessing
import pathlib
import sys

import pytest

pytestmark = pytest.mark.slow

# The packages, and the version of CUDA that each is of.
COMPILERS = {"12": "nvidia-cuda-nvrtc-cu12", "13": "nvidia-cuda-nvrtc"}
DTYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
DTYPES += ["float16", "bfloat16", "float32"]
ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
# On the other architectures: a type with 32-bit keys and one with 64-bit keys.
EVERYWHERE = ["float32", "int64"]


def library_of(cuda):
    """The path of the NVRTC of a version of CUDA."""
    try:
        distribution = importlib.metadata.distribution(COMPILERS[cuda])
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{COMPILERS[cuda]} is not installed: make test-all installs it")
    name = f"libnvrtc.so.{cuda}"
    (file,) = (f for f in distribution.files if pathlib.PurePath(f).name == name)
    return str(distribution.locate_file(file))


def kernels(dtype):
    """The names of all kernels of a dtype, and what makes each of its template."""
    for elements in (1, 2, 4, 8, 16, 32):
        name = f"topk_register_{dtype}_{elements}"
        yield name, f"topk_register, order_{dtype}, {elements}"
    for family in ("resident", "split", "merge", "rest"):
        yield f"topk_{family}_{dtype}", f"topk_{family}, order_{dtype}"


def compile_all(library, cuda, architecture, dtypes, answers):
    """Runs in a process of its own, since a process uses one NVRTC only."""
    ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    import hooks

    wrong = []
    if hooks.cuda_compiler_version().split(".")[0] != cuda:
        wrong.append(f"the compiler is {hooks.cuda_compiler_version()}")
    compiled = 0
    for dtype in dtypes:
        for name, instantiation in kernels(dtype):
            try:
                code, warnings = hooks.compile_for_cuda(
                    name, instantiation, architecture
                )
            except Exception as error:
                wrong.append(f"{name}: {error}")
                continue
            compiled += 1
            if warnings:
                wrong.append(f"{name}: {warnings}")
            if not code.startswith(b"\x7fELF") or name.encode() not in code:
                wrong.append(f"{name}: no machine code of that name")
    answers.put((compiled, wrong))


@pytest.mark.skipif(sys.platform != "linux", reason="NVRTC is for Linux here")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("cuda", COMPILERS)
def test_every_kernel_compiles_without_warnings(cuda, architecture):
    every_type = architecture in ("sm_75", "sm_90") and cuda == "13"
    dtypes = DTYPES if every_type else EVERYWHERE
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    arguments = (library_of(cuda), cuda, architecture, dtypes, answers)
    process = context.Process(target=compile_all, args=arguments)
    process.start()
    compiled, wrong = answers.get(timeout=280)
    process.join()
    assert wrong == []
    assert compiled == 10 * len(dtypes)


def compile_wrongly(library, answers):
    ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    import hooks

    try:
        hooks.compile_for_cuda("wrong", "topk_rest, order_of_nothing", "sm_90")
    except RuntimeError as error:
        answers.put(str(error))


@pytest.mark.skipif(sys.platform != "linux", reason="NVRTC is for Linux here")
def test_a_kernel_that_does_not_compile_says_why():
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=compile_wrongly, args=(library_of("13"), answers))
    process.start()
    assert "order_of_nothing" in answers.get(timeout=60)
    process.join()
