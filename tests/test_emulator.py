"""The Metal emulator: kernels that are right run clean, and of each kind of mistake a
planted one is told by its name."""

import re
import subprocess
import sys

import numpy as np
import pytest
from emulator_plants import KERNELS, RUN_TIME

from metal import emulator
from metal.emulator.artifacts import CACHE, HERE

BASES = ["row_sum", "histogram", "compact"]
ROWS, ROW_SIZE = 3, 100


def run_row_sum(library, prefix="", dtype=np.float32, kernel="row_sum_float", **how):
    values = np.arange(ROWS * ROW_SIZE).reshape(ROWS, ROW_SIZE) % 4
    values = values.astype(dtype)
    out = np.full((ROWS, 2), -1, dtype)
    shape = np.array([(ROW_SIZE, ROWS, ROW_SIZE)], "u4, u4, u8")
    buffers = {0: values, 1: out, 2: shape}
    how = {"outputs": {1}, "uninitialised": {1}, **how}
    counts = library.launch(prefix + kernel, buffers, ROWS, 64, **how)
    wanted = np.stack([values.sum(1), (values * values).sum(1)], 1)
    np.testing.assert_array_equal(out, wanted)
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
    mine = np.arange(values.size) // 256 % 2
    for group in range(2):
        assert greatest[group] == np.bincount(values[mine == group]).max()
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


def base(kernel, tracked=True):
    return emulator.build(KERNELS / f"{kernel}.metal", tracked)


def all_planted(tracked):
    """All plants in one library: each in its own namespace, under its own names."""
    texts = []
    for number, plant in enumerate(RUN_TIME):
        texts.append(
            f'#undef PREFIX\n#define PREFIX "p{number}_"\nnamespace p{number} {{\n'
            f'#line 1 "{plant.kernel}.{number}.metal"\n{plant.source}\n}}\n'
        )
    path = CACHE / "planted.metal"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(texts))
    return emulator.build(path, tracked)


@pytest.fixture(scope="module")
def planted():
    return all_planted(tracked=True)


@pytest.fixture(scope="module")
def planted_untracked():
    return all_planted(tracked=False)


# ---- kernels that are right ------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("kernel", BASES)
def test_right_kernels_run_clean_in_any_order(kernel, seed, tracked):
    RUN[kernel](base(kernel, tracked), seed=seed)


@pytest.mark.parametrize("name, dtype", [("half", np.float16), ("int", np.int32)])
def test_instantiations_are_kernels_of_their_own(name, dtype, tracked):
    library = base("row_sum", tracked)
    assert library.kernels == ["row_sum_float", "row_sum_half", "row_sum_int"]
    run_row_sum(library, dtype=dtype, kernel=f"row_sum_{name}")


# ---- kernels that are wrong ------------------------------------------------------


@pytest.mark.parametrize("number", range(len(RUN_TIME)), ids=[p.name for p in RUN_TIME])
def test_a_planted_mistake_is_named(planted, number):
    plant = RUN_TIME[number]
    with pytest.raises(emulator.KernelError) as caught:
        RUN[plant.kernel](planted, f"p{number}_")
    assert re.search(plant.message, str(caught.value)), caught.value


# What needs no tracker: who waits where. Callers of one helper do.
DIVERGENT = [
    n
    for n, plant in enumerate(RUN_TIME)
    if "divergent" in plant.message and "one way" not in plant.message
]


@pytest.mark.parametrize("number", DIVERGENT, ids=[RUN_TIME[n].name for n in DIVERGENT])
def test_divergence_is_named_without_the_tracker(planted_untracked, number):
    plant = RUN_TIME[number]
    with pytest.raises(emulator.KernelError, match=plant.message):
        RUN[plant.kernel](planted_untracked, f"p{number}_")


def test_a_seed_is_told_and_replays_the_finding(planted):
    """Which thread is caught depends on the schedule, and on nothing else."""

    def report(seed):
        with pytest.raises(emulator.KernelError) as caught:
            RUN["row_sum"](planted, "p0_", seed=seed)
        return str(caught.value)

    assert report(None).startswith("kernel p0_row_sum_float, in order")
    reports = [report(seed) for seed in range(1, 9)]
    assert all(f", seed {n}\n" in text for n, text in enumerate(reports, 1))
    assert reports == [report(seed) for seed in range(1, 9)]
    assert len({text.split("\n", 1)[1] for text in reports}) > 1


def test_random_schedules_show_races_in_results_too():
    """Without the tracker, a race is what makes results differ between seeds."""
    number = next(i for i, p in enumerate(RUN_TIME) if "writing again" in p.name)
    path = CACHE / "race.metal"
    path.write_text(RUN_TIME[number].source)
    library = emulator.build(path)
    wrong = 0
    for seed in range(1, 30):
        try:
            run_row_sum(library, seed=seed)
        except AssertionError:
            wrong += 1
    assert wrong > 0


# ---- launches that cannot be ---------------------------------------------------------


def test_launches_that_cannot_be_are_refused(tracked):
    library = base("histogram", tracked)
    words = np.zeros(256, np.uint32)
    buffers = {0: words, 1: words.copy(), 2: np.zeros(1, np.uint32), 3: words.copy()}

    def refused(message, name="histogram", buffers=buffers, threads=256, **how):
        how = {"outputs": {1, 3}, "threadgroup_memory": {0: 1024}, **how}
        with pytest.raises(emulator.KernelError, match=message):
            library.launch(name, buffers, 1, threads, **how)

    refused("no kernel is called histogran", name="histogran")
    refused("0 threads per threadgroup", threads=0)
    refused("1056 threads per threadgroup; there can be 1 to 1024", threads=(33, 32))
    short = {i: buffers[i] for i in (0, 1, 2)}
    refused(r"takes buffer\(3\), which is not bound", buffers=short)
    refused(r"takes threadgroup\(0\), which has no length", threadgroup_memory={})
    refused("threadgroup memory over 32 KiB", threadgroup_memory={0: 32768})
    refused("the offset is past the end", buffers={**buffers, 0: (words, 2048)})
    refused("no such index", buffers={**buffers, 31: words})
    library = base("row_sum", tracked)
    refused("there can be 1 to 256", name="row_sum_int", threads=512)
    with pytest.raises(ValueError, match="writeable"):
        library.launch("row_sum_int", {1: b"1234"}, 1, 64, outputs={1})


def test_the_plain_build_survives_bad_addresses():
    path = CACHE / "wild.metal"
    path.write_text(
        "[[kernel]] void wild(device uint* x [[buffer(0)]],"
        "uint i [[thread_position_in_grid]]) { x[ulong(i) << 44] = 1; }"
    )
    library = emulator.build(path)
    with pytest.raises(emulator.KernelError, match="nobody's memory, by thread 1 of"):
        library.launch("wild", {0: np.zeros(1, np.uint32)}, 1, 32, outputs={0})


# ---- counts --------------------------------------------------------------------------


def test_counts_of_row_sum():
    counts = run_row_sum(base("row_sum"))
    assert counts.device_bytes_read == ROWS * ROW_SIZE * 4
    assert counts.device_bytes_written == ROWS * 2 * 4
    # Two sums a row: 2 simdgroups write a part each, and 64 threads read both.
    assert counts.threadgroup_bytes_written == ROWS * 2 * 2 * 4
    assert counts.threadgroup_bytes_read == ROWS * 2 * 64 * 2 * 4
    assert counts.barriers == ROWS * 2 * 2
    assert counts.collectives == ROWS * 2 * 2
    assert (counts.simdgroup_barriers, counts.atomics) == (0, 0)
    assert (counts.threadgroups, counts.launches) == (ROWS, 1)
    assert counts.buffer_bytes_read[0] == counts.device_bytes_read
    assert counts.buffer_bytes_written == {0: 0, 1: ROWS * 2 * 4, 2: 0}
    # Constant memory has a count, and it is not in the total.
    assert counts.buffer_bytes_read[2] > 0


def test_counts_of_histogram():
    counts = run_histogram(base("histogram"))
    # Reads of bytes; an atomic update both reads and writes its word.
    assert counts.buffer_bytes_read == {0: 1500, 1: 2048, 2: 6000 + 2048, 3: 0}
    assert counts.device_bytes_read == 1500 + 2048
    assert counts.device_bytes_written == 2048 + 2 * 4
    assert counts.barriers == 2 * 3
    # Per threadgroup: zero 257, add 256 to the grid's, read 256, compare 256, read 1.
    assert counts.atomics == 1500 + 2 * (257 + 3 * 256 + 1)
    assert counts.threadgroup_bytes_written == (1500 + 2 * (257 + 256)) * 4
    assert counts.threadgroup_bytes_read == (1500 + 2 * (256 + 256 + 1)) * 4


@pytest.mark.parametrize("seed", [None, 4])
def test_counts_of_compact(seed, tracked):
    counts = run_compact(base("compact", tracked), seed=seed)
    assert counts.simdgroup_barriers == 6  # rows; two simdgroups have none
    assert counts.collectives == 6 * 3
    assert (counts.barriers, counts.atomics) == (0, 0)
    assert counts.threadgroups == 2
    read = counts.buffer_bytes_read
    assert read[1] == (6 * 32 if tracked else 0)
    assert counts.buffer_bytes_written[3] == (6 * 4 if tracked else 0)


# ---- builds --------------------------------------------------------------------------


def test_lines_are_those_of_the_source_and_its_headers(tmp_path):
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


def test_source_that_is_wrong_is_not_built(tmp_path):
    source = tmp_path / "wrong.metal"
    source.write_text("[[kernel]] void f(device uint* x [[bufer(0)]]) {}")
    with pytest.raises(emulator.SourceError, match=r"wrong.metal:1: .*\[\[bufer\]\]"):
        emulator.build(source)
    source.write_text("[[kernel]] void f(device uint* x [[buffer(0)]]) { x = y; }")
    with pytest.raises(
        emulator.BuildError, match=r"wrong.metal:1:.* error: .y. was not"
    ):
        emulator.build(source)


def test_the_command_prints_where_the_library_is(tmp_path):
    command = [sys.executable, "-m", "metal.emulator", "build"]
    root = KERNELS.parent.parent
    file = str(KERNELS / "compact.metal")
    done = subprocess.run([*command, file], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == str(base("compact", False).path)
    wrong = tmp_path / "wrong.metal"
    wrong.write_text("[[kernel]] int f() {}")
    done = subprocess.run([*command, str(wrong)], capture_output=True, cwd=root)
    assert done.returncode == 1


def test_the_interface_is_plain_c():
    header = HERE / "abi.h"
    command = ["gcc", "-std=c99", "-Wall", "-Werror", "-pedantic", "-fsyntax-only"]
    subprocess.run([*command, "-x", "c", str(header)], check=True)
