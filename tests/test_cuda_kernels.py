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

import metal_kernels

pytestmark = pytest.mark.slow
linux = pytest.mark.skipif(
    sys.platform != "linux", reason="we support CUDA on Linux only"
)

# For each version of CUDA, the PyPI package that has its NVRTC.
COMPILERS = {"12": "nvidia-cuda-nvrtc-cu12", "13": "nvidia-cuda-nvrtc"}
ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]


def library_of(cuda):
    """The path of the NVRTC of a version of CUDA."""
    try:
        distribution = importlib.metadata.distribution(COMPILERS[cuda])
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{COMPILERS[cuda]} is not installed: make test-all installs it")
    name = f"libnvrtc.so.{cuda}"
    (file,) = (f for f in distribution.files if pathlib.PurePath(f).name == name)
    return str(distribution.locate_file(file))


def kernels_by_template():
    """Returns lists of the names of kernels, by their template and key order.

    The key order of float32 is called order_float32.
    """
    kernels = {}
    for name in metal_kernels.library().kernels:
        template, order, *_ = metal_kernels.instantiation(name).split(", ")
        kernels.setdefault((template, order), []).append(name)
    return kernels


def one_of_each(*orders):
    """Returns one kernel for each template and each of the key orders.

    Without ``orders``, all key orders are used.
    """
    kernels = kernels_by_template()
    return [kernels[key][0] for key in kernels if not orders or key[1] in orders]


def compile_all(library, cuda, architecture, names, answers):
    """Compiles kernels, and puts how many, and a list of errors, into ``answers``.

    Needs a process of its own, because a process can load only one NVRTC.
    """
    ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    import hooks

    wrong = []
    if hooks.cuda_compiler_version().split(".")[0] != cuda:
        wrong.append(f"the compiler is {hooks.cuda_compiler_version()}")
    compiled = 0
    for name in names:
        instantiation = metal_kernels.instantiation(name)
        try:
            code, warnings = hooks.compile_for_cuda(name, instantiation, architecture)
        except Exception as error:
            wrong.append(f"{name}: {error}")
            continue
        compiled += 1
        if warnings:
            wrong.append(f"{name}: {warnings}")
        if not code.startswith(b"\x7fELF") or name.encode() not in code:
            wrong.append(f"{name}: no machine code of that name")
    answers.put((compiled, wrong))


def check_all(cuda, architecture, names):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    arguments = (library_of(cuda), cuda, architecture, names, answers)
    process = context.Process(target=compile_all, args=arguments)
    process.start()
    compiled, wrong = answers.get(timeout=280)
    process.join()
    assert wrong == []
    assert compiled == len(names) > 0


@linux
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("cuda", COMPILERS)
def test_each_template_compiles_without_warnings(cuda, architecture):
    """Compiles one kernel with 32-bit keys and one with 64-bit keys per template."""
    check_all(cuda, architecture, one_of_each("order_float32", "order_int64"))


@linux
@pytest.mark.parametrize("part", range(3))
def test_each_type_compiles_without_warnings(part):
    check_all("13", "sm_90", one_of_each()[part::3])


@linux
@pytest.mark.parametrize("part", range(2))
def test_each_shape_compiles_without_warnings(part):
    kernels = kernels_by_template()
    names = [n for key in kernels if key[1] == "order_float32" for n in kernels[key]]
    check_all("13", "sm_90", names[part::2])


def compile_wrongly(library, answers):
    ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    import hooks

    try:
        hooks.compile_for_cuda("wrong", "topk_rest, order_of_nothing", "sm_90")
    except RuntimeError as error:
        answers.put(str(error))


@linux
def test_a_kernel_that_does_not_compile_says_why():
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=compile_wrongly, args=(library_of("13"), answers))
    process.start()
    assert "order_of_nothing" in answers.get(timeout=60)
    process.join()
