"""The Metal emulator: correct kernels run without errors, and a planted mistake of each
kind is reported by name."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from emulator_plants import KERNELS, RUN_TIME

from metal import emulator
from metal.emulator.artifacts import CACHE, HERE

ROWS, ROW_SIZE = 3, 100


# Each of these functions launches a kernel of tests/emulator, checks its results and
# returns the counts. prefix: what the kernel's name begins with. how: passed to launch.


def run_row_sum(library, prefix="", dtype=np.float32, kernel="row_sum_float", **how):
    values = np.arange(ROWS * ROW_SIZE).reshape(ROWS, ROW_SIZE) % 4
    values = values.astype(dtype)
    out = np.full((ROWS, 2), -1, dtype)
    shape = np.array([(ROW_SIZE, ROWS, ROW_SIZE)], "u4, u4, u8")
    buffers = {0: values, 1: out, 2: shape}
    how = {"outputs": {1}, "uninitialised": {1}, **how}
    counts = library.launch(prefix + kernel, buffers, ROWS, 64, **how)
    expected = np.stack([values.sum(1), (values * values).sum(1)], 1)
    np.testing.assert_array_equal(out, expected)
    return counts


def run_histogram(library, prefix="", **how):
    values = (np.arange(1500) ** 2 % 251).astype(np.uint8)
    out, greatest = np.zeros(256, np.uint32), np.zeros(2, np.uint32)
    size = np.array([values.size], np.uint32)
    buffers = {0: values, 1: out, 2: size, 3: greatest}
    how = {"outputs": {1, 3}, "uninitialised": {3}, **how}
    how = {"threadgroup_memory": {0: 1024}, **how}
    counts = library.launch(prefix + "histogram", buffers, 2, 256, **how)
    np.testing.assert_array_equal(out, np.bincount(values, minlength=256))
    threadgroup_of = np.arange(values.size) // 256 % 2
    for group in range(2):
        assert greatest[group] == np.bincount(values[threadgroup_of == group]).max()
    return counts


def run_compact(library, prefix="", **how):
    rows = 6
    values = np.arange(100, 100 + rows * 32, dtype=np.uint32).reshape(rows, 32)
    flags = values * 7 % 5 < 3
    out, sizes = np.zeros((rows, 32), np.uint32), np.zeros(rows, np.uint32)
    buffers = {0: values, 1: flags, 2: out, 3: sizes, 4: np.array([rows], np.uint32)}
    how = {"outputs": {2, 3}, "uninitialised": {2, 3}, **how}
    counts = library.launch(prefix + "compact", buffers, 2, 128, **how)
    for row in range(rows):
        chosen = values[row][flags[row]][::-1]
        assert sizes[row] == len(chosen)
        np.testing.assert_array_equal(out[row, : len(chosen)], chosen)
    return counts


RUN = {"row_sum": run_row_sum, "histogram": run_histogram, "compact": run_compact}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tracked"])
def tracked(request):
    return request.param


def build(kernel, tracked=True):
    """The library of a correct kernel."""
    return emulator.build(KERNELS / f"{kernel}.metal", tracked)


def build_planted(tracked):
    """One library with all mistakes, each in a namespace and under a prefix of its own.

    One library builds faster than one for each mistake.
    """
    texts = []
    for number, mistake in enumerate(RUN_TIME):
        texts.append(
            f'#undef PREFIX\n#define PREFIX "p{number}_"\nnamespace p{number} {{\n'
            f'#line 1 "{mistake.kernel}.{number}.metal"\n{mistake.source}\n}}\n'
        )
    path = CACHE / "planted.metal"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(texts))
    return emulator.build(path, tracked)


@pytest.fixture(scope="module")
def planted():
    return build_planted(tracked=True)


@pytest.fixture(scope="module")
def planted_untracked():
    return build_planted(tracked=False)


# ---- correct kernels -----------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("kernel", RUN)
def test_correct_kernels_run_without_errors_in_any_order(kernel, seed, tracked):
    RUN[kernel](build(kernel, tracked), seed=seed)


@pytest.mark.parametrize("name, dtype", [("half", np.float16), ("int", np.int32)])
def test_each_instantiation_is_a_kernel(name, dtype, tracked):
    library = build("row_sum", tracked)
    assert library.kernels == ["row_sum_float", "row_sum_half", "row_sum_int"]
    run_row_sum(library, dtype=dtype, kernel=f"row_sum_{name}")


# ---- kernels with mistakes -----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(RUN_TIME)), ids=[m.name for m in RUN_TIME])
def test_a_planted_mistake_is_reported(planted, number):
    mistake = RUN_TIME[number]
    with pytest.raises(emulator.KernelError) as caught:
        RUN[mistake.kernel](planted, f"p{number}_")
    assert re.search(mistake.message, str(caught.value)), caught.value


# Plain builds, too, report a barrier or a simdgroup function that some threads do not
# reach. Only tracked builds report threads that reach it through different calls.
DIVERGENT = [
    n
    for n, mistake in enumerate(RUN_TIME)
    if "divergent" in mistake.message and "call path" not in mistake.message
]


@pytest.mark.slow
@pytest.mark.parametrize("number", DIVERGENT, ids=[RUN_TIME[n].name for n in DIVERGENT])
def test_plain_builds_report_divergence(planted_untracked, number):
    mistake = RUN_TIME[number]
    with pytest.raises(emulator.KernelError, match=mistake.message):
        RUN[mistake.kernel](planted_untracked, f"p{number}_")


@pytest.mark.slow
def test_an_error_names_its_seed_which_replays_it(planted):
    """Which thread of a race is reported depends on the seed only."""

    def report(seed):
        with pytest.raises(emulator.KernelError) as caught:
            RUN["row_sum"](planted, "p0_", seed=seed)
        return str(caught.value)

    assert report(None).startswith("kernel p0_row_sum_float, in order")
    reports = [report(seed) for seed in range(1, 9)]
    assert all(f", seed {n}\n" in text for n, text in enumerate(reports, 1))
    assert reports == [report(seed) for seed in range(1, 9)]
    assert len({text.split("\n", 1)[1] for text in reports}) > 1


def test_random_orders_make_races_change_results():
    """A plain build does not report races, but some seeds give wrong results."""
    (mistake,) = (m for m in RUN_TIME if m.name == "no barrier before writing again")
    path = CACHE / "race.metal"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(mistake.source)
    library = emulator.build(path)
    wrong = 0
    for seed in range(1, 30):
        try:
            run_row_sum(library, seed=seed)
        except AssertionError:
            wrong += 1
    assert wrong > 0


# ---- invalid launches ----------------------------------------------------------------


def test_invalid_launches_are_refused(tracked):
    library = build("histogram", tracked)
    words = np.zeros(256, np.uint32)
    buffers = {0: words, 1: words.copy(), 2: np.zeros(1, np.uint32), 3: words.copy()}

    def refused(message, name="histogram", buffers=buffers, threads=256, **how):
        how = {"outputs": {1, 3}, "threadgroup_memory": {0: 1024}, **how}
        with pytest.raises(emulator.KernelError, match=message):
            library.launch(name, buffers, 1, threads, **how)

    refused(
        "no kernel is called histogran; expected one of histogram$", name="histogran"
    )
    refused("0 threads per threadgroup; expected 1 to 1024", threads=0)
    refused("1056 threads per threadgroup; expected 1 to 1024", threads=(33, 32))
    three = {i: buffers[i] for i in (0, 1, 2)}
    refused(r"takes buffer\(3\), which the launch does not bind", buffers=three)
    message = r"takes threadgroup\(0\), for which the launch gives no length"
    refused(message, threadgroup_memory={})
    message = r"over 32 KiB: 'most' takes 4 bytes, after 32768 in use; expected at most"
    refused(message, threadgroup_memory={0: 32768})
    message = r"buffer\(0\): the offset 2048 is past the end at 1024 bytes"
    refused(message, buffers={**buffers, 0: (words, 2048)})
    message = r"buffer\(31\): the index is out of range 0 to 30"
    refused(message, buffers={**buffers, 31: words})
    library = build("row_sum", tracked)
    message = "512 threads per threadgroup; expected 1 to 256"
    refused(message, name="row_sum_int", threads=512)
    message = r"buffer\(1\) is an output: its memory must be writeable"
    with pytest.raises(ValueError, match=message):
        library.launch("row_sum_int", {1: b"1234"}, 1, 64, outputs={1})


def test_the_plain_build_survives_bad_addresses():
    path = CACHE / "wild.metal"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "[[kernel]] void wild(device uint* x [[buffer(0)]],"
        "constant const long& stride [[buffer(1)]],"
        "uint i [[thread_position_in_grid]]) { x[stride * i] = 1; }"
    )
    library = emulator.build(path)
    addresses = {
        -(1 << 40): "nothing is mapped at 0x[0-9a-f]+",
        1 << 44: "not a canonical address, no memory can have it",
    }
    for stride, message in addresses.items():
        buffers = {0: np.zeros(1, np.uint32), 1: np.array([stride])}
        message = f"out of bounds: {message}, by thread 1 of"
        with pytest.raises(emulator.KernelError, match=message):
            library.launch("wild", buffers, 1, 32, outputs={0})


# ---- counts --------------------------------------------------------------------------


def test_counts_of_row_sum():
    counts = run_row_sum(build("row_sum"))
    assert counts.device_bytes_read == ROWS * ROW_SIZE * 4
    assert counts.device_bytes_written == ROWS * 2 * 4
    # There are two sums per row. For each, 2 simdgroups write a part and 64 threads
    # read both parts.
    assert counts.threadgroup_bytes_written == ROWS * 2 * 2 * 4
    assert counts.threadgroup_bytes_read == ROWS * 2 * 64 * 2 * 4
    assert counts.barriers == ROWS * 2 * 2
    assert counts.collectives == ROWS * 2 * 2
    assert (counts.simdgroup_barriers, counts.atomics) == (0, 0)
    assert (counts.threadgroups, counts.launches) == (ROWS, 1)
    assert counts.buffer_bytes_read[0] == counts.device_bytes_read
    assert counts.buffer_bytes_written == {0: 0, 1: ROWS * 2 * 4, 2: 0}
    # Constant buffers have a count of their own and are not in the total.
    assert counts.buffer_bytes_read[2] > 0


def test_counts_of_histogram():
    counts = run_histogram(build("histogram"))
    # An atomic update both reads and writes its word.
    assert counts.buffer_bytes_read == {0: 1500, 1: 2048, 2: 6000 + 2048, 3: 0}
    assert counts.device_bytes_read == 1500 + 2048
    assert counts.device_bytes_written == 2048 + 2 * 4
    assert counts.barriers == 2 * 3
    # Per threadgroup: 257 stores of zero, 256 loads of bins, 256 updates each of the
    # grid's bins and of the maximum, and 1 load of the maximum.
    assert counts.atomics == 1500 + 2 * (257 + 3 * 256 + 1)
    assert counts.threadgroup_bytes_written == (1500 + 2 * (257 + 256)) * 4
    assert counts.threadgroup_bytes_read == (1500 + 2 * (256 + 256 + 1)) * 4


@pytest.mark.parametrize("seed", [None, 4])
def test_counts_of_compact(seed, tracked):
    counts = run_compact(build("compact", tracked), seed=seed)
    assert counts.simdgroup_barriers == 6  # one per row; two simdgroups have no row
    assert counts.collectives == 6 * 3
    assert (counts.barriers, counts.atomics) == (0, 0)
    assert counts.threadgroups == 2
    read = counts.buffer_bytes_read
    assert read[1] == (6 * 32 if tracked else 0)
    assert counts.buffer_bytes_written[3] == (6 * 4 if tracked else 0)


# ---- builds --------------------------------------------------------------------------


def test_errors_name_lines_of_the_source_and_its_headers(tmp_path):
    header, source = tmp_path / "inner.h", tmp_path / "outer.metal"
    header.write_text(
        "\n\ninline uint read(const device uint* x, uint i) {\n  return x[i];\n}\n"
    )
    source.write_text(
        '#include <metal_stdlib>\n#include "inner.h"\n'
        "[[kernel]] void f(\n    const device uint* x [[buffer(0)]],\n"
        "    device uint* y [[buffer(1)]],\n"
        "    uint i [[thread_position_in_grid]]) {\n  y[i + AT] = read(x, i);\n}\n"
    )
    x, y = np.zeros(3, np.uint32), np.zeros(4, np.uint32)
    library = emulator.build(source, True, [tmp_path], ["AT=1"])
    with pytest.raises(emulator.KernelError) as caught:
        library.launch("f", {0: x, 1: y}, 1, 4, outputs={1})
    assert re.search(r"read of buffer\(0\), .* at \S+/inner.h:4", str(caught.value))
    assert re.search(
        r"write of buffer\(1\), .* at \S+/outer.metal:7", str(caught.value)
    )


def test_source_with_errors_is_not_built(tmp_path):
    source = tmp_path / "wrong.metal"
    source.write_text("[[kernel]] void f(device uint* x [[bufer(0)]]) {}")
    with pytest.raises(emulator.SourceError, match=r"wrong.metal:1: .*\[\[bufer\]\]"):
        emulator.build(source)
    source.write_text("[[kernel]] void f(device uint* x [[buffer(0)]]) { x = y; }")
    with pytest.raises(
        emulator.BuildError, match=r"wrong.metal:1:.* error: .y. was not"
    ):
        emulator.build(source)


def test_the_command_prints_the_path_of_the_library(tmp_path):
    command = [sys.executable, "-m", "metal.emulator", "build"]
    root = KERNELS.parent.parent
    file = str(KERNELS / "compact.metal")
    done = subprocess.run([*command, file], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == str(build("compact", False).path)
    wrong = tmp_path / "wrong.metal"
    wrong.write_text("[[kernel]] int f() {}")
    done = subprocess.run([*command, str(wrong)], capture_output=True, cwd=root)
    assert done.returncode == 1


def test_the_interface_is_plain_c():
    header = HERE / "abi.h"
    command = ["gcc", "-std=c99", "-Wall", "-Werror", "-pedantic", "-fsyntax-only"]
    subprocess.run([*command, "-x", "c", str(header)], check=True)


HEADERS = sorted([*(HERE / "runtime").glob("*.h"), *(HERE / "shim").glob("*.h")])
# mem_flags.h does not compile alone: the header that includes it defines METAL_FUNC.
HEADERS.remove(HERE / "shim" / "mem_flags.h")


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header.name)
def test_each_header_compiles_alone(header):
    command = ["g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    subprocess.run([*command, "-x", "c++", "-include", header, os.devnull], check=True)
