"""The CUDA kernels use no more registers and instructions than docs/cuda.md says.

The slow tests compile kernels. They need the packages of requirements-cuda.txt, which
``make test-all`` installs, but no GPU.
"""

import importlib.metadata
import sys

import numpy as np
import pytest

import metal_kernels

sys.path.append(str(metal_kernels.ROOT / "benchmarks"))

import cuda_counts
import hooks
import machine_code
from cuda_counts import DETAILED, TYPES, Counts

needs_compiler = pytest.mark.skipif(sys.platform != "linux", reason="CUDA is for Linux")
STORED = cuda_counts.load()
NAMES = cuda_counts.all_kernels()


@pytest.fixture
def compiler():
    """Skips where the compiler or the disassembler is not installed."""
    for package in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvdisasm"):
        try:
            importlib.metadata.distribution(package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{package} is not installed: make test-all installs it")


# ---- the machine code of today's kernels ---------------------------------------------


@needs_compiler
@pytest.mark.slow
def test_the_stored_counts_are_of_this_compiler(compiler):
    assert STORED["nvrtc"] == cuda_counts.compiler_version()


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("dtype", TYPES)
def test_no_kernel_got_worse(compiler, dtype):
    counts, parts = cuda_counts.measure(DETAILED, dtype)
    assert set(counts) < set(STORED["kernels"][DETAILED])
    stored = STORED["kernels"][DETAILED]
    worse = []
    for name, found in counts.items():
        worse += cuda_counts.worse_counts(name, DETAILED, stored[name], found)
    for name, found in parts.items():
        worse += cuda_counts.worse_parts(name, STORED["parts"][name], found)
    assert worse == [] and len(parts) == 3


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted({*STORED["kernels"]} - {DETAILED}))
def test_no_kernel_got_worse_for_another_gpu(compiler, architecture):
    counts, _ = cuda_counts.measure(architecture, "float32")
    stored = STORED["kernels"][architecture]
    worse = []
    for name, found in counts.items():
        worse += cuda_counts.worse_counts(name, architecture, stored[name], found)
    assert worse == [] and len(counts) == len(cuda_counts.kernels_of("float32"))


@needs_compiler
@pytest.mark.slow
def test_the_instructions_are_those_of_the_kernel_that_users_run(compiler):
    """Compares two compilations of one kernel.

    For users, libmlx_topk compiles each kernel alone and without line numbers. For the
    counts, several kernels are compiled together and with line numbers.
    """
    name = cuda_counts.LANES.format("float32")
    machine_code.Nvrtc()  # Loads the library that compile_for_cuda looks for.
    instantiation = metal_kernels.instantiation(name)
    code, _ = hooks.compile_for_cuda(name, instantiation, DETAILED)
    alone = machine_code.disassemble(code, machine_code.Source("", ""))[name]
    counts, kernel = cuda_counts.compiled([name], DETAILED)[name]
    texts = [i.text for i in alone.instructions]
    assert texts == [i.text for i in kernel.instructions]
    assert len(texts) == counts.instructions > 100
    assert machine_code.resources(code)[name].registers == counts.registers


@needs_compiler
@pytest.mark.slow
def test_a_kernel_whose_arrays_are_not_in_registers_is_worse(
    compiler, tmp_path, monkeypatch
):
    """Without unrolled loops the compiler has to put the keys into local memory."""
    name = cuda_counts.LANES.format("float32")
    text = cuda_counts.HEADER.read_text()
    assert '_Pragma("unroll")' in text
    header = tmp_path / "words.cuh"
    header.write_text(text.replace('_Pragma("unroll")', '_Pragma("unroll 1")'))
    monkeypatch.setattr(cuda_counts, "HEADER", header)
    found, _ = cuda_counts.compiled([name], DETAILED)[name]
    stored = STORED["kernels"][DETAILED][name]
    (line,) = cuda_counts.worse_counts(name, DETAILED, stored, found)
    assert "bytes spilled, was 0" in line


# ---- the comparison ------------------------------------------------------------------


@pytest.mark.parametrize(
    "found, is_worse",
    [
        (Counts(64, 0, 1000), False),
        (Counts(65, 0, 1000), True),  # room for 3 blocks of 256 threads, not 4
        (Counts(58, 8, 1000), True),
        (Counts(20, 0, 1050), False),
        (Counts(20, 0, 1051), True),
    ],
)
def test_what_is_worse(found, is_worse):
    lines = cuda_counts.worse_counts("f", "sm_90", Counts(58, 0, 1000), found)
    assert len(lines) == is_worse


@pytest.mark.parametrize(
    "registers, architecture, blocks",
    [
        (32, "sm_90", 8),
        (33, "sm_90", 6),
        (33, "sm_86", 6),
        (41, "sm_86", 5),
        (64, "sm_75", 4),
        (65, "sm_75", 3),
        (255, "sm_120", 1),
    ],
)
def test_registers_limit_the_blocks(registers, architecture, blocks):
    assert cuda_counts.blocks_per_processor(registers, architecture) == blocks


def test_a_part_may_grow_by_5_percent():
    stored = {"read": 100, "row": 50.0}
    assert cuda_counts.worse_parts("f", stored, {"read": 105, "row": 52.5}) == []
    found = cuda_counts.worse_parts("f", stored, {"read": 106, "row": 52.5})
    assert found == ["f: 106.0 instructions for 'read', was 100.0"]


# ---- what the page says --------------------------------------------------------------


def test_the_page_shows_the_stored_counts(tmp_path):
    page = tmp_path / "cuda.md"
    page.write_text(cuda_counts.PAGE.read_text())
    cuda_counts.update_page(STORED, page)
    assert page.read_text() == cuda_counts.PAGE.read_text()
    assert list(STORED["kernels"]) == cuda_counts.ARCHITECTURES
    assert all(list(of) == NAMES for of in STORED["kernels"].values())


def test_random_rows_have_as_many_candidates_as_the_page_says():
    """Counts the elements that are not below the bound of a row, for k = 8.

    The bound is the 8th greatest of the maxima of 16 lanes, each of 10 elements.
    """
    rows = np.random.default_rng(0).random((20000, 160))
    maxima = np.sort(rows.reshape(-1, 10, 16).max(axis=1), axis=1)
    counts = (rows >= maxima[:, -8, None]).sum(axis=1)
    many = 100 * (counts >= 16).mean()
    wanted = (
        f"{counts.mean():.1f} candidates on average, and {many:.1f}% have 16 or more"
    )
    assert wanted in cuda_counts.PAGE.read_text()
