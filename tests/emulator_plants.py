"""Mistakes planted in the kernels of tests/emulator, and what must be said of each."""

from dataclasses import dataclass
from pathlib import Path

KERNELS = Path(__file__).parent / "emulator"
BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"
WRITTEN = BARRIER + " // parts are written"
READ = BARRIER + " // parts are read"
COUNTED = BARRIER + " // all are counted"
ZEROED = BARRIER + " // bins are zero"
LINE = "simdgroup_barrier(mem_flags::mem_threadgroup); // the line is written"


@dataclass(frozen=True)
class Plant:
    name: str
    kernel: str
    old: str
    new: str
    message: str  # a regular expression that the report must match

    @property
    def source(self):
        text = (KERNELS / f"{self.kernel}.metal").read_text()
        assert text.count(self.old) >= 1, f"{self.name}: nothing to replace"
        return text.replace(self.old, self.new, 1)


def after(old, new):
    return old, f"{old}\n{new}"


RACE = r"race: (read|write) of threadgroup memory '\S+', byte \d+ of \d+ at \S+:\d+"
RUN_TIME = [
    # ---- barriers that are missing, of the wrong sort, or in the wrong place
    ("no barrier before reading", "row_sum", WRITTEN, "", RACE),
    ("no barrier before writing again", "row_sum", READ, "", RACE),
    ("no barrier after zeroing", "histogram", ZEROED, "", RACE),
    ("no barrier before atomic reads", "histogram", COUNTED, "", RACE),
    ("no simdgroup barrier", "compact", LINE, "", RACE),
    (
        "a barrier for the wrong memory",
        *("row_sum", WRITTEN, "threadgroup_barrier(mem_flags::mem_device);"),
        r"race: .*(\n.*)*threadgroup_barrier at \S+:\d+ does not name mem_threadgroup",
    ),
    (
        "a barrier for no memory",
        *("row_sum", WRITTEN, "threadgroup_barrier(mem_flags::mem_none);"),
        r"race: .*(\n.*)*does not name mem_threadgroup",
    ),
    (
        "a simdgroup barrier with no memory",
        *("compact", LINE, "simdgroup_barrier(mem_flags::mem_none);"),
        r"race: .*(\n.*)*simdgroup_barrier at \S+:\d+ does not name mem_threadgroup",
    ),
    (
        "a simdgroup barrier for a threadgroup's data",
        *("row_sum", WRITTEN, "simdgroup_barrier(mem_flags::mem_threadgroup);"),
        RACE,
    ),
    (
        "device memory shared across a threadgroup barrier",
        *("row_sum", "  T total = threadgroup_sum"),
        f"  if (index == 5) {{ out[2 * row] = 1; }} {BARRIER}\n"
        "  if (index == 40) { out[2 * row] += 1; }\n"
        f"  {BARRIER}  T total = threadgroup_sum",
        r"race: .*buffer\(1\).*(\n.*)*does not name mem_device",
    ),
    # ---- races that show in one direction only
    (
        "a write after others' reads",
        *("row_sum", "  if (index == 0) {\n    out"),
        "  T last = scratch[0];\n  total += last == T(-1) ? 1 : 0;\n"
        "  if (index == 63) { scratch[0] = last + 1; }\n  if (index == 0) {\n    out",
        r"race: write of .*\n *not ordered after the read by thread",
    ),
    (
        "a write after its own thread's read and others'",
        *("row_sum", "  if (index == 0) {\n    out"),
        "  T last = simd_sum(scratch[0]);\n"
        "  if (index == 0) { scratch[0] = last; }\n  if (index == 0) {\n    out",
        r"race: write of .*\n *not ordered after the read by thread",
    ),
    (
        "a write that only its own simdgroup knows to be due",
        *("row_sum", "  if (index == 0) {\n    out"),
        "  T last = scratch[0];\n  total += last == T(-1) ? 1 : 0;\n"
        "  threadgroup_barrier(mem_flags::mem_none);\n"
        "  simdgroup_barrier(mem_flags::mem_threadgroup);\n"
        "  if (index == 0) { scratch[0] = 1; }\n  if (index == 0) {\n    out",
        r"race: write of .*\n *not ordered after the read by thread (3[2-9]|[456]\d) ",
    ),
    (
        "a read after the wrong simdgroup's barrier",
        *("row_sum", "  T total = threadgroup_sum"),
        "  if (index == 0) { scratch[0] = 1; }\n  if (simdgroup == 1) {\n"
        "    simdgroup_barrier(mem_flags::mem_threadgroup);\n"
        "    sum.add(scratch[0] == T(77) ? 1 : 0);\n  }\n"
        f"  {BARRIER}\n  T total = threadgroup_sum",
        r"race: read of .*\n *not ordered after the write by thread 0 ",
    ),
    (
        "a plain write just before an atomic one",
        *("histogram", ZEROED),
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
        *("histogram", COUNTED),
        f"if (index == 0) {{ *(threadgroup uint*)&bins[1] = 3u; }} {COUNTED}",
        r"race: .*threadgroup\(0\)",
    ),
    (
        "a row that all threadgroups write, the same value",
        *("histogram", *after("    greatest[group] =", "greatest[0] =")),
        r"race between threadgroups: (read|write) of buffer\(3\)",
    ),
    (
        "a value read that another threadgroup writes",
        *("histogram", "uint count ="),
        "uint count = group && greatest[0] == 9999u ? 0u :",
        r"race between threadgroups: read of buffer\(3\)",
    ),
    (
        "waiting for a threadgroup that comes later",
        *("histogram", ZEROED),
        f"{ZEROED}\n  while (group == 0 && index == 0 &&"
        " atomic_load_explicit(&out[255], memory_order_relaxed) != 77u) {}",
        "no progress",
    ),
    # ---- divergence
    (
        "a barrier that some threads pass by",
        *("row_sum", WRITTEN, f"if (lane < 16 || simdgroup == 0) {{ {BARRIER} }}"),
        r"divergent (threadgroup barrier|simdgroup operation)",
    ),
    (
        "a barrier after some threads returned",
        *("row_sum", *after("  squares.value = 0;", "  if (index > 50) { return; }")),
        "divergent",
    ),
    (
        "a barrier after a simdgroup returned",
        *("row_sum", *after("  squares.value = 0;", "  if (index > 31) { return; }")),
        r"divergent threadgroup barrier(.*\n.*)* returned: 32",
    ),
    (
        "two barriers that meet",
        *("row_sum", WRITTEN),
        f"if (lane < 16) {{\n{BARRIER}\n}} else {{\n{BARRIER}\n}}",
        r"divergent threadgroup barrier(.*\n.*)*threadgroup_barrier at \S+:\d+",
    ),
    (
        "a helper's barrier, for two callers",
        *(
            "row_sum",
            "  T total = threadgroup_sum<T, threads>(sum.value, scratch, lane",
        ),
        "  T total;\n  if (simdgroup == 0) {\n    total = threadgroup_sum<T, threads>"
        "(sum.value, scratch, lane, simdgroup);\n  } else {\n"
        "    total = threadgroup_sum<T, threads>(sum.value, scratch, lane, simdgroup);"
        "\n  }\n  total += 0 * (lane",
        r"divergent threadgroup barrier(.*\n.*)*one way: (.*\n.*)*another: ",
    ),
    (
        "a helper's simdgroup function, for two callers",
        *("compact", "uint biggest = simd_max(size);"),
        "struct Helper { static uint most(uint x) { return simd_max(x); } };\n"
        "  uint biggest;\n  if (flag) {\n    biggest = Helper::most(size);\n"
        "  } else {\n    biggest = Helper::most(size + 1);\n  }",
        r"divergent simdgroup operation(.*\n.*)*one way: (.*\n.*)*another: ",
    ),
    (
        "a simdgroup function that some lanes pass by",
        *("compact", "uint biggest = simd_max(size);"),
        "uint biggest = size;\n  if (flag) { biggest = simd_max(size); }",
        r"divergent simdgroup operation(.*\n.*)*simd_max at \S+:\d+",
    ),
    (
        "a simdgroup function after some lanes left the loop",
        *("compact", "uint biggest = simd_max(size);"),
        "uint biggest = 0;\n  for (uint i = 0; i < 32; ++i) {\n"
        "    if (i > lane) { break; }\n    biggest = simd_max(size);\n  }",
        r"divergent simdgroup operation(.*\n.*)*returned",
    ),
    (
        "lanes that return before a simdgroup function",
        *("compact", "if (row >= rows) {", "if (row >= rows || lane > 20) {"),
        r"divergent simdgroup operation(.*\n.*)*1 thread\(s\) returned: 21",
    ),
    (
        "two simdgroup functions that meet",
        *("compact", "uint biggest = simd_max(size);"),
        "uint biggest;\n  if (flag) {\n    biggest = simd_max(size);\n  } else {\n"
        "    biggest = simd_min(size);\n  }",
        r"divergent simdgroup operation(.*\n.*)*simd_min",
    ),
    (
        "a lane that is not there",
        *("compact", "simd_max(size);", "simd_shuffle(size, ushort(32 + lane));"),
        r"simd_shuffle at \S+ asks for lane \d\d, which is not there",
    ),
    # ---- bounds
    (
        "a read past the end",
        *("row_sum", "i < shape.row_size;", "i <= shape.row_size;"),
        r"out of bounds: read of buffer\(0\), byte \d+ of \d+ at \S+row_sum\S*:\d+",
    ),
    (
        "a read before the start",
        *("row_sum", "T value = source[i];", "T value = source[int(i) - 1];"),
        r"out of bounds: read of buffer\(0\), byte -",
    ),
    (
        "a write past the end",
        *("row_sum", "out[2 * row + 1] =", "out[2 * row + 6] ="),
        r"out of bounds: write of buffer\(1\)",
    ),
    (
        "rows without a guard",
        *("compact", "if (row >= rows) {", "if (row > rows + 99) {"),
        r"out of bounds: read of buffer\(1\)",
    ),
    (
        "a stride that is not the row's",
        *("row_sum", "ulong(row) * shape.stride", "ulong(row) * 1234567ul"),
        r"out of bounds: read of buffer\(0\)",
    ),
    (
        "a threadgroup variable too short",
        *("row_sum", "scratch[threads / 32];", "scratch[threads / 32 - 1];"),
        r"out of bounds: write of threadgroup memory 'scratch'",
    ),
    (
        "a threadgroup argument overrun",
        *("histogram", "&bins[index], 0u", "&bins[index + 1], 0u"),
        r"out of bounds: write of threadgroup memory 'threadgroup\(0\)'",
    ),
    (
        "a private array overrun",
        *("compact", "uint biggest = simd_max(size);"),
        "uint own[31];\n  for (uint i = 0; i < 31; ++i) { own[i] = size; }\n"
        "  uint biggest = simd_max(own[lane]);",
        r"out of bounds: index of an array at \S+:\d+, by thread 31",
    ),
    (
        "an address that is nobody's",
        *("row_sum", "T value = source[i];", "T value = source[ulong(i) << 50];"),
        r"out of bounds: read .*(\n.*)*given up: the access is far outside",
    ),
    (
        "a write to an input",
        *("row_sum", "T value = source[i];"),
        "T value = source[i]; ((device T*)source)[i] = value + 1;",
        r"write to what is no output: write of buffer\(0\)",
    ),
    # ---- what was never written
    (
        "threadgroup memory read before it is written",
        *("row_sum", "T part = simd_sum(value);"),
        "T part = simd_sum(value) + (scratch[simdgroup] == T(77) ? 1 : 0);",
        r"uninitialised read of threadgroup memory 'scratch'",
    ),
    (
        "bins that are not zeroed",
        *("histogram", "&bins[index], 0u,", "&bins[index / 2], 0u,"),
        r"uninitialised read of threadgroup memory 'threadgroup\(0\)'",
    ),
    (
        "an output read before it is written",
        *("row_sum", "out[2 * row] = total;", "out[2 * row] += total;"),
        r"uninitialised read of buffer\(1\)",
    ),
    # ---- arithmetic that C++ leaves open
    (
        "a shift by the width",
        *("compact", "uint place = ", "uint place = (1u << (lane + 1)) * 0u + "),
        r"shift by the width or more at \S+:\d+, by thread 31",
    ),
    (
        "signed overflow",
        *("compact", "uint biggest ="),
        "int big = int(size) + 2147483647;\n  uint biggest = uint(big) +",
        r"signed overflow at \S+:\d+",
    ),
    (
        "division by zero",
        *("compact", "popcount(", "32 / (lane - lane) + popcount("),
        "division by zero",
    ),
    (
        "a misaligned vector",
        *("row_sum", "T total = threadgroup_sum"),
        "const device uint* words = (const device uint*)in;\n"
        "  uint2 pair = *(const device uint2*)(words + 1);\n"
        "  sum.add(T(pair.x == 77u ? 1 : 0));\n  T total = threadgroup_sum",
        r"misaligned access at \S+:\d+",
    ),
    (
        "a bool that is neither",
        *("compact", "bool flag = flags[at];"),
        "bool flag = ((const device bool*)in)[row * 32 * 4 + lane * 4];",
        r"a bool that is neither 0 nor 1 at \S+:\d+",
    ),
    # ---- what only the executor can see
    (
        "more private memory than there is",
        *("compact", "uint biggest = simd_max(size);"),
        "uint own[99999];\n  for (uint i = 0; i < 99999; ++i) { own[i] = size + i; }\n"
        "  uint biggest = simd_max(own[size]);",
        "private memory over 256 KiB",
    ),
    (
        "more threadgroup memory than there is, with the host's",
        *("histogram", "threadgroup atomic_uint most;"),
        "threadgroup uint filler[8000];\n  filler[index] = 0;\n"
        "  threadgroup atomic_uint most;",
        r"threadgroup memory over 32 KiB: \d+ bytes",
    ),
]
RUN_TIME = [Plant(*fields) for fields in RUN_TIME]
