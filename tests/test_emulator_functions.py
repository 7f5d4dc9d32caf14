"""The results of Metal's functions in the emulator, compared with NumPy's."""

import mmap

import ml_dtypes
import numpy as np
import pytest
from emulator_plants import KERNELS

from metal import emulator
from metal.emulator import builder
from metal.emulator.check import check

SOURCE = KERNELS / "functions.metal"


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tracked"])
def library(request):
    return emulator.build(SOURCE, tracked=request.param)


def is_tracked(library):
    return library is emulator.build(SOURCE, tracked=True)


@pytest.mark.parametrize("name", ["functions", "surface"])
def test_the_front_end_accepts_these_kernels(name):
    assert check(KERNELS / f"{name}.metal") == []


def test_votes(library):
    values = np.random.default_rng(2).random(96) < 0.5
    values[64:] = True
    out = np.zeros((6, 96), np.uint32)
    library.launch("votes", {0: values, 1: out}, 1, 96, outputs={1})
    rows = values.reshape(3, 32)
    ballot = (rows * (1 << np.arange(32, dtype=np.uint64))).sum(1)
    shifted = np.where(rows.any(1), 1 << np.arange(3), 0)
    expected = [ballot, rows.any(1), rows.all(1), shifted]
    expected += [np.where(rows.all(1), 7, 3), rows.sum(1) % 2 * 5]
    np.testing.assert_array_equal(out, np.repeat(np.stack(expected), 32, 1))


def bit_results(value, other, width):
    """Returns what the kernel named bits writes for a value of `width` bits.

    other: the value that follows in the input.
    """
    mask = (1 << width) - 1
    text = format(value & mask, f"0{width}b")
    signed = value < 0 or other < 0
    part = (value >> 3) & 15
    # Bits extracted from a signed type are a signed number.
    part = part - 16 if signed and part > 7 else part
    return [
        len(text) - len(text.lstrip("0")),
        len(text) - len(text.rstrip("0")),
        text.count("1"),
        min(value, other),
        max(value, other),
        other if value < other else value,
        part,
        int(text[::-1], 2),
        min(max(value, 3), 100),
    ]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64])
def test_bits(library, dtype):
    info = np.iinfo(dtype)
    values = np.array([0, 1, 2, 96, info.max, info.min, 13, info.max // 3], dtype)
    if info.min < 0:
        values = np.append(values, np.array([-1, -96], dtype))
    out = np.zeros((9, values.size), dtype)
    kernel = f"bits_{np.dtype(dtype).name}"
    library.launch(kernel, {0: values, 1: out}, 1, values.size, outputs={1})
    for at, value in enumerate(map(int, values)):
        other = int(values[(at + 1) % values.size])
        expected = bit_results(value, other, info.bits)
        if info.min < 0 and (value >> 3) & 8:
            expected[6] = ((value >> 3) & 15) - 16
        elif info.min < 0:
            expected[6] = (value >> 3) & 15
        expected = [w & ((1 << info.bits) - 1) for w in expected]
        got = [int(x) & ((1 << info.bits) - 1) for x in out[:, at]]
        assert got == expected, value


def test_small_floats(library):
    values = np.random.default_rng(3).standard_normal(251).astype(np.float32) * 100
    special = [0, -0.0, np.inf, -np.inf, 65504.0]
    values = np.append(values, np.array(special, np.float32))
    size = values.size
    bfloats, halves = np.zeros(size, np.uint16), np.zeros(size, np.uint16)
    back = np.zeros((4, size), np.float32)
    buffers = {0: values, 1: bfloats, 2: halves, 3: back}
    library.launch("small_floats", buffers, 1, size, outputs={1, 2, 3})
    with np.errstate(invalid="ignore", over="ignore"):
        b, h = values.astype(ml_dtypes.bfloat16), values.astype(np.float16)
        rounded = (h * h + np.float16(1.5) - h).astype(np.float32)
        squares = (b * b).astype(np.float32)
    np.testing.assert_array_equal(bfloats, b.view(np.uint16))
    np.testing.assert_array_equal(halves, h.view(np.uint16))
    np.testing.assert_array_equal(back[0], b.astype(np.float32))
    np.testing.assert_array_equal(back[1], h.astype(np.float32))
    np.testing.assert_array_equal(back[2], rounded)
    np.testing.assert_array_equal(back[3], squares)


@pytest.mark.parametrize("seed", [None, 9])
def test_positions(library, seed):
    groups, threads = (3, 2, 2), (5, 3, 4)
    grid = tuple(g * t for g, t in zip(groups, threads, strict=True))
    out = np.zeros(grid[::-1], np.uint32)
    library.launch("positions", {0: out}, groups, threads, outputs={0}, seed=seed)
    z, y, x = np.indices(grid[::-1])
    expected = ((z % 4) * 3 + y % 3) * 5 + x % 5
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("kernel", ["surface_up", "surface_down"])
@pytest.mark.parametrize("tracked", [False, True])
def test_constructs_of_metal(kernel, tracked):
    size = 64
    index = np.arange(size)
    pairs = np.stack([index * 3, index], 1).astype(np.uint32)
    flags = index % 3 == 0
    out, total = np.zeros(size, np.uint32), np.zeros(1, np.uint32)
    buffers = {0: pairs, 1: out, 2: np.array([1], np.int64), 4: flags, 5: total}
    buffers[3] = np.array([10], np.uint32)
    library = emulator.build(KERNELS / "surface.metal", tracked)
    how = {"outputs": {1, 5}, "threadgroup_memory": {0: 4 * size}}
    library.launch(kernel, buffers, 1, size, **how)
    expected = (index < 32) + 2 * 0 + 3 * 2 + 5 * 4 + 7 * 6
    expected = expected + (2 * (index * 4) if kernel == "surface_up" else -1)
    expected = expected + np.array([1000, 0, 1, 0])[index % 4]
    expected = expected + 1 + (flags * index * 3)[::-1] + 10
    np.testing.assert_array_equal(out, expected.astype(np.uint32))
    assert total[0] == size


# ---- memory ----------------------------------------------------------------------


def test_buffers_begin_at_offsets_and_have_negative_strides(library):
    values, out = np.arange(10, dtype=np.int32), np.zeros(10, np.int32)
    strides = np.array([1, -1], np.int64)
    buffers = {0: (values, 9 * 4), 1: out, 2: strides}
    library.launch("shift_back", buffers, 1, 10, outputs={1})
    np.testing.assert_array_equal(out, values[::-1] + 1)
    buffers[0] = (values, 8 * 4)
    if is_tracked(library):
        with pytest.raises(emulator.KernelError, match=r"read of buffer\(0\), byte -4"):
            library.launch("shift_back", buffers, 1, 10, outputs={1})


def test_two_indices_may_name_the_same_buffer(library):
    values = np.arange(10, dtype=np.int32)
    buffers = {0: values, 1: values, 2: np.array([1, 1], np.int64)}
    library.launch("shift_back", buffers, 1, 10, outputs={1})
    np.testing.assert_array_equal(values, np.arange(10) + 1)
    if is_tracked(library):
        buffers[1] = (values, 4)
        message = r"race: .* of buffer\(0\) overlapping buffer\(1\), byte \d+ of 40"
        with pytest.raises(emulator.KernelError, match=message):
            library.launch("shift_back", {**buffers, 0: values[:9]}, 1, 9, outputs={1})


def sparse(size):
    """An array of zeros that takes memory only where it is accessed."""
    no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    return np.frombuffer(mmap.mmap(-1, size, flags=flags), np.int32)


def test_huge_sparse_buffers_are_used_in_place():
    """An index computed in 32 bits would overflow and address 16 GiB too low."""
    values = sparse(24 << 30)
    rows, stride = 5, 1 << 30
    values[::stride] = np.arange(6)
    out = np.zeros(rows, np.int32)
    library = emulator.build(SOURCE)
    buffers = {0: values, 1: out, 2: np.array([1, stride], np.int64)}
    library.launch("shift_back", buffers, 1, rows, outputs={1})
    np.testing.assert_array_equal(out, np.arange(rows) + 1)


def test_tracked_builds_take_huge_buffers_too():
    values, out = sparse(5 << 30), np.zeros(3, np.int32)
    buffers = {0: values, 1: out, 2: np.array([1, 1 << 30], np.int64)}
    library = emulator.build(SOURCE, tracked=True)
    counts = library.launch("shift_back", buffers, 1, 2, outputs={1})
    assert counts.buffer_bytes_read[0] == 2 * 4
    message = r"out of bounds: read of buffer\(0\).*\n.*launch stopped: the access is"
    with pytest.raises(emulator.KernelError, match=message):
        library.launch("shift_back", buffers, 1, 3, outputs={1})


# ---- the order of threads --------------------------------------------------------


def tickets(library, seed, groups=3, threads=64):
    """The order of the threads: for each, how many ran before it."""
    order = np.zeros(groups * threads, np.uint32)
    buffers = {0: np.zeros(1, np.uint32), 1: order}
    library.launch("tickets", buffers, groups, threads, outputs={0, 1}, seed=seed)
    assert sorted(order) == list(range(order.size))
    return order.tolist()


def test_a_seed_replays_its_order(library):
    in_order = tickets(library, None)
    assert in_order == list(range(len(in_order)))
    orders = [tickets(library, seed) for seed in range(1, 6)]
    assert orders == [tickets(library, seed) for seed in range(1, 6)]
    assert len({tuple(order) for order in [in_order, *orders]}) == 6
    # Lanes, simdgroups and threadgroups are all reordered.
    assert all(sorted(order[:32]) != order[:32] for order in orders)
    assert all(min(order[32:64]) < max(order[:32]) for order in orders)
    assert any(min(order[64:]) < min(order[:64]) for order in orders)


def test_fibers_work_with_ucontext(monkeypatch):
    """Processors other than x86-64 switch fibers with ucontext."""
    monkeypatch.setattr(builder, "RUNTIME", [*builder.RUNTIME, "-DEMULATOR_UCONTEXT"])
    builder._runtime.cache_clear()
    try:
        library = emulator.build(SOURCE)
    finally:
        builder._runtime.cache_clear()
    monkeypatch.undo()
    assert library is not emulator.build(SOURCE)
    test_votes(library)
    test_a_seed_replays_its_order(library)
