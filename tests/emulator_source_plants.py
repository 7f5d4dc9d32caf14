"""Mistakes planted in the source of kernels: memory, attributes and atomics.

SOURCE lists those that the front-end check must refuse. Those of types and of the
language are in emulator_language_plants.py.
"""

from emulator_plants import BIGGEST, PlantedMistake, insert_before, instead_of, replace

# Text in the kernels of tests/emulator, for mistakes to replace.
TOTAL = "T total = threadgroup_sum"
PART = "T part = simd_sum(value);"
SCRATCH = "threadgroup T scratch[threads / 32];"
ADD = "atomic_fetch_add_explicit(&bins[in[i]], 1u, memory_order_relaxed);"
BEFORE_STRUCT = "template <typename T>\nstruct Sum {"
INSIDE_COMPACT = "uint at = row * 32 + lane;"

ADDRESS_SPACES = [
    (
        "threadgroup memory passed as device memory",
        *replace("row_sum", "(sum.value, scratch, lane", "(sum.value, out, lane"),
        "no matching function for call to 'threadgroup_sum'",
    ),
    (
        "a device pointer to threadgroup memory",
        *insert_before("row_sum", TOTAL, "device T* bad = scratch; bad[0] = 0;"),
        "cannot initialize a variable of type",
    ),
    (
        "a thread pointer to threadgroup memory",
        *insert_before("row_sum", TOTAL, "thread T* bad = scratch; bad[0] = 0;"),
        "cannot initialize a variable of type",
    ),
    (
        "a write to constant memory",
        *insert_before("row_sum", TOTAL, "shape.rows = 3;"),
        "cannot assign to variable 'shape'|read-only",
    ),
    (
        "a write to a const device pointer",
        *insert_before("row_sum", TOTAL, "in[row] = T(0);"),
        "read-only",
    ),
    (
        "a pointer parameter without an address space",
        *replace("row_sum", "T value, threadgroup T* scratch", "T value, T* scratch"),
        "pointer or reference without an address space: '.*'; expected device, ",
    ),
    (
        "a reference parameter without an address space",
        *insert_before(
            "compact", "[[host_name", "inline uint f(uint& x) { return x; }"
        ),
        "pointer or reference without an address space: '.*'; expected device, ",
    ),
    (
        "a local pointer without an address space",
        *replace(
            "compact", INSIDE_COMPACT, f"{INSIDE_COMPACT} uint* p = &at; *p += 0u;"
        ),
        "pointer or reference without an address space: '.*'; expected device, ",
    ),
    (
        "a member pointer without an address space",
        *replace("row_sum", "  ulong stride;", "  ulong stride;\n  float* where;"),
        "pointer or reference without an address space: '.*'; expected device, ",
    ),
    (
        "a method without an address space",
        *replace("row_sum", "void add(T other) thread {", "void add(T other) {"),
        r"method without an address space: '.*'; expected device, .* after '\)'",
    ),
    (
        "a kernel's pointer without an address space",
        *replace(
            "compact", "device uint* out [[buffer(2)]]", "uint* out [[buffer(2)]]"
        ),
        r"\[\[buffer\]\] parameter 'uint \* out' needs address space constant or",
    ),
    (
        "a global variable that is not constant",
        *insert_before("row_sum", BEFORE_STRUCT, "uint counter = 0;"),
        "must reside in constant address space",
    ),
    (
        "a static local variable",
        *insert_before("row_sum", TOTAL, "static uint calls = 0; calls++;"),
        "must reside in constant address space",
    ),
    (
        "a lambda, whose call has no address space",
        *instead_of("compact", BIGGEST),
        "auto f = [&](uint x) { return x; }; uint biggest = simd_max(f(size));",
        r"method without an address space: '.*'; expected device, .* after '\)'",
    ),
]

ATTRIBUTES = [
    (
        "a kernel's scalar by value",
        *replace("compact", "constant uint& rows", "constant uint rows"),
        "must be a pointer or reference",
    ),
    (
        "a misspelt attribute",
        *instead_of("compact", "[[threadgroup_position_in_grid]]"),
        "[[threadgroup_position_in_gird]]",
        r"unknown parameter attribute \[\[threadgroup_position_in_gird\]\]; expected "
        r"one of .* threadgroup_position_in_grid",
    ),
    (
        "a parameter without an attribute",
        *replace("compact", "uint lane [[thread_index_in_simdgroup]]", "uint lane"),
        r"kernel parameter 'uint lane' has no attribute; expected one such as "
        r"\[\[buffer\(0\)\]\]",
    ),
    (
        "a buffer index used twice",
        *replace("compact", "out [[buffer(2)]]", "out [[buffer(1)]]"),
        r"\[\[buffer\(1\)\]\] used twice; an index names one parameter",
    ),
    (
        "a buffer index out of range",
        *replace("compact", "rows [[buffer(4)]]", "rows [[buffer(31)]]"),
        r"\[\[buffer\(31\)\]\] out of range 0 to 30",
    ),
    (
        "an index that is not a literal",
        *replace("compact", "rows [[buffer(4)]]", "rows [[buffer(2 + 2)]]"),
        r"\[\[buffer\]\] needs a literal index, as in \[\[buffer\(0\)\]\]",
    ),
    (
        "two attributes that exclude each other",
        *instead_of("compact", "[[thread_index_in_simdgroup]]"),
        "[[thread_index_in_simdgroup]] [[simdgroups_per_threadgroup]]",
        r"conflicting attributes on 'uint lane': \[\[thread_index_in_simdgroup\]\] and "
        r"\[\[simdgroups_per_threadgroup\]\]; expected one",
    ),
    (
        "a position that is a float",
        *replace("compact", "uint lane [[", "float lane [["),
        "cannot have type 'float'; expected uint, uint16_t, uint32_t, ushort",
    ),
    (
        "positions of different dimensions",
        *replace(
            "row_sum", "uint index [[thread_position", "uint3 index [[thread_position"
        ),
        "position attributes mix dimensions: .*; expected one",
    ),
    (
        "an unknown function attribute",
        *replace("compact", "[[kernel]] void", "[[kernel, fast]] void"),
        r"unknown attribute \[\[fast\]\]; expected one of host_name, kernel, ",
    ),
    (
        "a kernel that returns a value",
        *replace("compact", "[[kernel]] void", "[[kernel]] uint"),
        "a kernel must be 'void name",
    ),
    (
        "a host name used twice",
        *replace("row_sum", '"row_sum_half", half', '"row_sum_float", half'),
        'host name "row_sum_float" used twice; expected a unique name',
    ),
    (
        "an instantiation without a host name",
        *instead_of(
            "row_sum",
            "template [[host_name(PREFIX                 \\\n      name)]] [[",
        ),
        "template [[",
        "a kernel's instantiation needs a host_name",
    ),
    (
        "an instantiation of a function that is not a kernel",
        *replace(
            "row_sum", "[[kernel, max_total_threads_per_threadgroup(256)]] void", "void"
        ),
        "instantiation of 'row_sum'; no kernel above has this name",
    ),
    (
        "an instantiation with wrong arguments",
        *replace(
            "row_sum", '"row_sum_half", half, 64)', '"row_sum_half", half, float)'
        ),
        "error:",
    ),
]

THREADGROUP_MEMORY = [
    (
        "a threadgroup variable in a function",
        *insert_before("row_sum", PART, "threadgroup T other[2];"),
        "threadgroup variable 'other' outside a kernel's body",
    ),
    (
        "a threadgroup variable in a struct",
        *replace(
            "row_sum", "  ulong stride;", "  ulong stride;\n  threadgroup uint x;"
        ),
        "threadgroup variable 'x' outside a kernel's body",
    ),
    (
        "a threadgroup variable with an initialiser",
        *replace("histogram", "atomic_uint most;", "uint most = 0;"),
        "a threadgroup variable cannot have an initialiser",
    ),
    (
        "two threadgroup variables in a declaration",
        *replace("histogram", "atomic_uint most;", "atomic_uint most, least;"),
        "expected one threadgroup variable per declaration",
    ),
    (
        "a threadgroup variable over 32 KiB",
        *replace("row_sum", SCRATCH, "threadgroup T scratch[9000];"),
        "threadgroup memory over 32 KiB",
    ),
    (
        "threadgroup variables over 32 KiB together",
        *replace("row_sum", SCRATCH, f"{SCRATCH} threadgroup uint more[8191];"),
        "threadgroup memory over 32 KiB",
    ),
]

ATOMICS = [
    (
        "a plain store to an atomic",
        "histogram",
        ADD,
        "bins[in[i]] = 1u;",
        "overloaded '='",
    ),
    (
        "an atomic update of a plain number",
        *replace(
            "histogram", "threadgroup atomic_uint* bins", "threadgroup uint* bins"
        ),
        "no matching function for call to 'atomic_",
    ),
    (
        "a stronger memory order",
        *replace("histogram", ADD, ADD.replace("relaxed", "seq_cst")),
        "memory_order_seq_cst",
    ),
    (
        "an atomic's method",
        *replace("histogram", ADD, "bins[in[i]].fetch_add(1u);"),
        "no member named 'fetch_add'",
    ),
    (
        "a 64-bit atomic",
        *replace("histogram", "device atomic_uint* out", "device atomic<ulong>* out"),
        "no matching function for call to 'atomic_fetch_add_explicit'",
    ),
    (
        "an atomic maximum of floats",
        *replace(
            "histogram", "threadgroup atomic_uint most", "threadgroup atomic_float most"
        ),
        "no matching function for call to 'atomic_",
    ),
]

GROUPS = [ADDRESS_SPACES, ATTRIBUTES, THREADGROUP_MEMORY, ATOMICS]
SOURCE = [PlantedMistake(*fields) for group in GROUPS for fields in group]
