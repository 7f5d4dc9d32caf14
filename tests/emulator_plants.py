"""Mistakes planted in the kernels of tests/emulator, each with the error expected.

RUN_TIME lists those that a run of the kernel must report.
"""

from dataclasses import dataclass
from pathlib import Path

KERNELS = Path(__file__).parent / "emulator"
BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"
WRITTEN = BARRIER + " // parts are written"
READ = BARRIER + " // parts are read"
COUNTED = BARRIER + " // all are counted"
ZEROED = BARRIER + " // bins are zero"
LINE = "simdgroup_barrier(mem_flags::mem_threadgroup); // the line is written"
BIGGEST = "uint biggest = simd_max(size);"
HELPER_CALL = "  T total = threadgroup_sum<T, threads>(sum.value, scratch, lane"


@dataclass(frozen=True)
class PlantedMistake:
    name: str
    kernel: str  # a file of tests/emulator without its suffix
    old: str  # text in that file
    new: str  # what replaces its first occurrence
    message: str  # a regular expression that the errors must match

    @property
    def source(self):
        """The kernel's source with the mistake."""
        text = (KERNELS / f"{self.kernel}.metal").read_text()
        assert text.count(self.old) >= 1, f"{self.name}: nothing to replace"
        return text.replace(self.old, self.new, 1)


# The functions below return fields of PlantedMistake: kernel, old and new.
# instead_of returns kernel and old only. There the new text follows the call.


def replace(kernel, old, new):
    return kernel, old, new


def instead_of(kernel, old):
    return kernel, old


def insert_before(kernel, place, text):
    return kernel, place, f"{text}\n{place}"


def insert_after(kernel, place, text):
    return kernel, place, f"{place}\n{text}"


SIMD_CALLS = [
    *("simd_shuffle(size, 3)", "simd_shuffle_xor(size, 3)", "simd_shuffle_up(size, 3)"),
    *("simd_shuffle_down(size, 3)", "simd_broadcast(size, 3)"),
    *("simd_broadcast_first(size)", "simd_prefix_inclusive_sum(size)"),
    *("simd_prefix_exclusive_sum(size)", "simd_min(size)", "simd_sum(size)"),
    *("simd_product(size)", "simd_or(size)", "simd_and(size)", "simd_xor(size)"),
    *("simd_any(true)", "simd_all(true)"),
]
RACE = r"race: (read|write) of threadgroup memory '\S+', byte \d+ of \d+ at \S+:\d+"
RUN_TIME = [
    # ---- barriers that are missing, of the wrong kind, or in the wrong place
    ("no barrier before reading", "row_sum", WRITTEN, "", RACE),
    ("no barrier before writing again", "row_sum", READ, "", RACE),
    ("no barrier after zeroing", "histogram", ZEROED, "", RACE),
    ("no barrier before atomic reads", "histogram", COUNTED, "", RACE),
    ("no simdgroup barrier", "compact", LINE, "", RACE),
    (
        "a barrier for the wrong memory",
        *replace("row_sum", WRITTEN, "threadgroup_barrier(mem_flags::mem_device);"),
        r"race: [\s\S]*threadgroup_barrier at \S+:\d+ does not name mem_threadgroup",
    ),
    (
        "a barrier for no memory",
        *replace("row_sum", WRITTEN, "threadgroup_barrier(mem_flags::mem_none);"),
        r"race: [\s\S]*does not name mem_threadgroup",
    ),
    (
        "a simdgroup barrier with no memory",
        *replace("compact", LINE, "simdgroup_barrier(mem_flags::mem_none);"),
        r"race: [\s\S]*simdgroup_barrier at \S+:\d+ does not name mem_threadgroup",
    ),
    (
        "a simdgroup barrier for a threadgroup's data",
        *replace("row_sum", WRITTEN, "simdgroup_barrier(mem_flags::mem_threadgroup);"),
        RACE,
    ),
    (
        "device memory shared across a threadgroup barrier",
        *instead_of("row_sum", "  T total = threadgroup_sum"),
        f"  if (index == 5) {{ out[2 * row] = 1; }} {BARRIER}\n"
        "  if (index == 40) { out[2 * row] += 1; }\n"
        f"  {BARRIER}  T total = threadgroup_sum",
        r"race: .*buffer\(1\)[\s\S]*does not name mem_device",
    ),
    # ---- more races: writes after reads, barriers for a part of the threads, and
    # plain accesses beside atomic ones
    (
        "a write after others' reads",
        *instead_of("row_sum", "  if (index == 0) {\n    out"),
        "  T last = scratch[0];\n  total += last == T(-1) ? 1 : 0;\n"
        "  if (index == 63) { scratch[0] = last + 1; }\n  if (index == 0) {\n    out",
        r"race: write of .*\n *not ordered after the read by thread",
    ),
    (
        "a write after reads by its own thread and by others",
        *instead_of("row_sum", "  if (index == 0) {\n    out"),
        "  T last = simd_sum(scratch[0]);\n"
        "  if (index == 0) { scratch[0] = last; }\n  if (index == 0) {\n    out",
        r"race: write of .*\n *not ordered after the read by thread",
    ),
    (
        "a write that a simdgroup barrier orders after its own simdgroup's reads only",
        *instead_of("row_sum", "  if (index == 0) {\n    out"),
        "  T last = scratch[0];\n  total += last == T(-1) ? 1 : 0;\n"
        "  threadgroup_barrier(mem_flags::mem_none);\n"
        "  simdgroup_barrier(mem_flags::mem_threadgroup);\n"
        "  if (index == 0) { scratch[0] = 1; }\n  if (index == 0) {\n    out",
        r"race: write of .*\n *not ordered after the read by thread (3[2-9]|[456]\d) ",
    ),
    (
        "a read after a simdgroup barrier that the writer's simdgroup does not reach",
        *instead_of("row_sum", "  T total = threadgroup_sum"),
        "  if (index == 0) { scratch[0] = 1; }\n  if (simdgroup == 1) {\n"
        "    simdgroup_barrier(mem_flags::mem_threadgroup);\n"
        "    sum.add(scratch[0] == T(77) ? 1 : 0);\n  }\n"
        f"  {BARRIER}\n  T total = threadgroup_sum",
        r"race: read of .*\n *not ordered after the write by thread 0 ",
    ),
    (
        "a plain write just before an atomic one",
        *instead_of("histogram", ZEROED),
        f"{ZEROED}\n  if (index == 0) {{ *(threadgroup uint*)&bins[1] = 0u;\n"
        "    atomic_fetch_add_explicit(&bins[1], 0u, memory_order_relaxed); }",
        r"race: .*\n *not ordered after the write by thread 0 ",
    ),
    # ---- atomics
    (
        "an update that is not atomic",
        "histogram",
        "atomic_fetch_add_explicit(&bins[in[i]], 1u, memory_order_relaxed);",
        "{ threadgroup uint* bin = (threadgroup uint*)&bins[in[i]]; *bin += 1u; }",
        r"race: .*threadgroup\(0\)",
    ),
    (
        "a device update that is not atomic",
        "histogram",
        "atomic_fetch_add_explicit(&out[index], count, memory_order_relaxed);",
        "{ device uint* sum = (device uint*)&out[index]; *sum = *sum + count; }",
        r"race between threadgroups: .*buffer\(1\)",
    ),
    (
        "plain and atomic updates mixed",
        *instead_of("histogram", COUNTED),
        f"if (index == 0) {{ *(threadgroup uint*)&bins[1] = 3u; }} {COUNTED}",
        r"race: .*threadgroup\(0\)",
    ),
    (
        "a word that all threadgroups write",
        *insert_after("histogram", "    greatest[group] =", "greatest[0] ="),
        r"race between threadgroups: (read|write) of buffer\(3\)",
    ),
    (
        "a value read that another threadgroup writes",
        *instead_of("histogram", "uint count ="),
        "uint count = group && greatest[0] == 9999u ? 0u :",
        r"race between threadgroups: read of buffer\(3\)",
    ),
    (
        "waiting for a threadgroup that comes later",
        *instead_of("histogram", ZEROED),
        f"{ZEROED}\n  while (group == 0 && index == 0 &&"
        " atomic_load_explicit(&out[255], memory_order_relaxed) != 77u) {}",
        r"no progress: more than 16777216 atomic operations .* by thread 0 of "
        r"threadgroup \(0, 0, 0\)",
    ),
    # ---- divergence
    (
        "a barrier that some threads skip",
        *replace(
            "row_sum", WRITTEN, f"if (lane < 16 || simdgroup == 0) {{ {BARRIER} }}"
        ),
        r"divergent (threadgroup barrier|simdgroup operation)",
    ),
    (
        "a barrier after some threads returned",
        *insert_after(
            "row_sum", "  squares.value = 0;", "  if (index > 50) { return; }"
        ),
        "divergent",
    ),
    (
        "a barrier after a simdgroup returned",
        *insert_after(
            "row_sum", "  squares.value = 0;", "  if (index > 31) { return; }"
        ),
        r"divergent threadgroup barrier in threadgroup \(0, 0, 0\); expected all its "
        r"threads at the same barrier:[\s\S]*\n.* returned: 32",
    ),
    (
        "a barrier in each branch of a condition",
        *instead_of("row_sum", WRITTEN),
        f"if (lane < 16) {{\n{BARRIER}\n}} else {{\n{BARRIER}\n}}",
        r"divergent threadgroup barrier[\s\S]*\n.*threadgroup_barrier at \S+:\d+",
    ),
    (
        "a barrier in a function with two callers",
        *instead_of("row_sum", HELPER_CALL),
        "  T total;\n  if (simdgroup == 0) {\n    total = threadgroup_sum<T, threads>"
        "(sum.value, scratch, lane, simdgroup);\n  } else {\n"
        "    total = threadgroup_sum<T, threads>(sum.value, scratch, lane, simdgroup);"
        "\n  }\n  total += 0 * (lane",
        r"divergent threadgroup barrier[\s\S]*\n.*call path of the first thread: "
        r"(\S+:\d+ > )+\S+:\d+\n *call path of this thread: (\S+:\d+ > )+\S+:\d+$",
    ),
    (
        "a simdgroup function in a function with two callers",
        *instead_of("compact", BIGGEST),
        "struct Helper { static uint most(uint x) { return simd_max(x); } };\n"
        "  uint biggest;\n  if (flag) {\n    biggest = Helper::most(size);\n"
        "  } else {\n    biggest = Helper::most(size + 1);\n  }",
        r"divergent simdgroup operation[\s\S]*\n.*call path of the first thread: "
        r"(\S+:\d+ > )+\S+:\d+\n *call path of this thread: (\S+:\d+ > )+\S+:\d+$",
    ),
    (
        "a simdgroup function that some lanes skip",
        *instead_of("compact", BIGGEST),
        "uint biggest = size;\n  if (flag) { biggest = simd_max(size); }",
        r"divergent simdgroup operation in simdgroup \d of threadgroup \(0, 0, 0\); "
        r"expected all its threads in the same call:[\s\S]*\n.*simd_max at \S+:\d+",
    ),
    (
        "a simdgroup function after some lanes left the loop",
        *instead_of("compact", BIGGEST),
        "uint biggest = 0;\n  for (uint i = 0; i < 32; ++i) {\n"
        "    if (i > lane) { break; }\n    biggest = simd_max(size);\n  }",
        r"divergent simdgroup operation[\s\S]*\n.*returned",
    ),
    (
        "lanes that return before a simdgroup function",
        *replace("compact", "if (row >= rows) {", "if (row >= rows || lane > 20) {"),
        r"divergent simdgroup operation[\s\S]*\n.*1 thread\(s\) returned: 21",
    ),
    (
        "another simdgroup function in each branch of a condition",
        *instead_of("compact", BIGGEST),
        "uint biggest;\n  if (flag) {\n    biggest = simd_max(size);\n  } else {\n"
        "    biggest = simd_min(size);\n  }",
        r"divergent simdgroup operation[\s\S]*\n.*simd_min",
    ),
    (
        "a shuffle from a lane that does not exist",
        *replace(
            "compact", "simd_max(size);", "simd_shuffle(size, ushort(32 + lane));"
        ),
        r"simd_shuffle at \S+ reads the value of lane \d\d; expected 0 to 31, by",
    ),
    *[
        (
            f"{call.split('(')[0]} that some lanes skip",
            *instead_of("compact", BIGGEST),
            f"uint biggest = size;\n  if (flag) {{ biggest += {call}; }}",
            r"divergent simdgroup operation[\s\S]*\n.*"
            + call.split("(")[0]
            + r" at \S+:\d",
        )
        for call in SIMD_CALLS
    ],
    (
        "simd_shuffle_xor with a lane that does not exist",
        *replace("compact", BIGGEST, "uint biggest = simd_shuffle_xor(size, 32);"),
        r"simd_shuffle_xor at \S+ reads the value of lane \d\d; expected 0 to 31, by",
    ),
    # ---- bounds
    (
        "a read past the end",
        *replace("row_sum", "i < shape.row_size;", "i <= shape.row_size;"),
        r"out of bounds: read of buffer\(0\), byte \d+ of \d+ at \S+row_sum\S*:\d+",
    ),
    (
        "a read before the start",
        *replace("row_sum", "T value = source[i];", "T value = source[int(i) - 1];"),
        r"out of bounds: read of buffer\(0\), byte -",
    ),
    (
        "a write past the end",
        *replace("row_sum", "out[2 * row + 1] =", "out[2 * row + 6] ="),
        r"out of bounds: write of buffer\(1\)",
    ),
    (
        "rows without a guard",
        *replace("compact", "if (row >= rows) {", "if (row > rows + 99) {"),
        r"out of bounds: read of buffer\(1\)",
    ),
    (
        "a wrong stride",
        *replace("row_sum", "ulong(row) * shape.stride", "ulong(row) * 1234567ul"),
        r"out of bounds: read of buffer\(0\)",
    ),
    (
        "a threadgroup variable too short",
        *replace("row_sum", "scratch[threads / 32];", "scratch[threads / 32 - 1];"),
        r"out of bounds: write of threadgroup memory 'scratch'",
    ),
    (
        "a threadgroup argument overrun",
        *replace("histogram", "&bins[index], 0u", "&bins[index + 1], 0u"),
        r"out of bounds: write of threadgroup memory 'threadgroup\(0\)'",
    ),
    (
        "a private array overrun",
        *instead_of("compact", BIGGEST),
        "uint own[31];\n  for (uint i = 0; i < 31; ++i) { own[i] = size; }\n"
        "  uint biggest = simd_max(own[lane]);",
        r"out of bounds: array index at \S+:\d+, by thread 31",
    ),
    (
        "an address far from all memory",
        *replace(
            "row_sum", "T value = source[i];", "T value = source[ulong(i) << 50];"
        ),
        r"out of bounds: read [\s\S]*launch stopped: the access is far outside of all "
        "buffers and threadgroup memory, by",
    ),
    (
        "a write to an input",
        *instead_of("row_sum", "T value = source[i];"),
        "T value = source[i]; ((device T*)source)[i] = value + 1;",
        r"write to a buffer that is not an output: write of buffer\(0\), byte \d+ of",
    ),
    # ---- reads of memory that nothing has written
    (
        "threadgroup memory read before it is written",
        *instead_of("row_sum", "T part = simd_sum(value);"),
        "T part = simd_sum(value) + (scratch[simdgroup] == T(77) ? 1 : 0);",
        r"uninitialised read of threadgroup memory 'scratch'",
    ),
    (
        "bins that are not zeroed",
        *replace("histogram", "&bins[index], 0u,", "&bins[index / 2], 0u,"),
        r"uninitialised read of threadgroup memory 'threadgroup\(0\)'",
    ),
    (
        "an output read before it is written",
        *replace("row_sum", "out[2 * row] = total;", "out[2 * row] += total;"),
        r"uninitialised read of buffer\(1\)",
    ),
    # ---- operations that are undefined
    (
        "a shift by the width",
        *replace("compact", "uint place = ", "uint place = (1u << (lane + 1)) * 0u + "),
        r"shift by the width or more at \S+:\d+, by thread 31",
    ),
    (
        "signed overflow",
        *instead_of("compact", "uint biggest ="),
        "int big = int(size) + 2147483647;\n  uint biggest = uint(big) +",
        r"signed overflow in a sum at \S+:\d+",
    ),
    (
        "division by zero",
        *replace("compact", "popcount(", "32 / (lane - lane) + popcount("),
        "division by zero",
    ),
    (
        "a misaligned vector",
        *instead_of("row_sum", "T total = threadgroup_sum"),
        "const device uint* words = (const device uint*)in;\n"
        "  uint2 pair = *(const device uint2*)(words + 1);\n"
        "  sum.add(T(pair.x == 77u ? 1 : 0));\n  T total = threadgroup_sum",
        r"misaligned access at \S+:\d+",
    ),
    (
        "a bool that is neither 0 nor 1",
        *instead_of("compact", "bool flag = flags[at];"),
        "bool flag = ((const device bool*)in)[row * 32 * 4 + lane * 4];",
        r"a bool that is neither 0 nor 1 at \S+:\d+",
    ),
    # ---- limits that only a run can exceed
    (
        "more than 256 KiB of private memory",
        *instead_of("compact", BIGGEST),
        "uint own[99999];\n  for (uint i = 0; i < 99999; ++i) { own[i] = size + i; }\n"
        "  uint biggest = simd_max(own[size]);",
        "private memory over 256 KiB: the thread's stack overflowed, by thread",
    ),
    (
        "variables and arguments over 32 KiB of threadgroup memory",
        *instead_of("histogram", "threadgroup atomic_uint most;"),
        "threadgroup uint filler[8000];\n  filler[index] = 0;\n"
        "  threadgroup atomic_uint most;",
        r"threadgroup memory over 32 KiB: '.*' takes \d+ bytes, after \d+ in use; "
        "expected at most 32768 in total",
    ),
]
RUN_TIME = [PlantedMistake(*fields) for fields in RUN_TIME]
