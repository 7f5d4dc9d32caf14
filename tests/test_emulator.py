"""The Metal emulator: kernels that are right run clean, and of each kind of mistake a
planted one is told by its name."""

import re

import numpy as np
import pytest
from emulator_plants import KERNELS, RUN_TIME

from metal import emulator
from metal.emulator import builder

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


@pytest.fixture(scope="module")
def planted():
    """All plants in one library: each in its own namespace, under its own names."""
    texts = []
    for number, plant in enumerate(RUN_TIME):
        texts.append(
            f'#undef PREFIX\n#define PREFIX "p{number}_"\nnamespace p{number} {{\n'
            f'#line 1 "{plant.kernel}.{number}.metal"\n{plant.source}\n}}\n'
        )
    path = builder.CACHE / "planted.metal"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(texts))
    return emulator.build(path, tracked=True)


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
