"""Mistakes planted in the kernels' source that the front-end check must refuse."""

from emulator_plants import COUNTED, READ, Plant

TOTAL = "T total = threadgroup_sum"
PART = "T part = simd_sum(value);"
SCRATCH = "threadgroup T scratch[threads / 32];"
BIGGEST = "uint biggest = simd_max(size);"
ADD = "atomic_fetch_add_explicit(&bins[in[i]], 1u, memory_order_relaxed);"
BEFORE_STRUCT = "template <typename T>\nstruct Sum {"
INSIDE_COMPACT = "uint at = row * 32 + lane;"


def before(kernel, place, text):
    return kernel, place, f"{text}\n{place}"


ADDRESS_SPACES = [
    (
        "threadgroup memory passed as device memory",
        *("row_sum", "(sum.value, scratch, lane", "(sum.value, out, lane"),
        "no matching function for call to 'threadgroup_sum'",
    ),
    (
        "a device pointer to threadgroup memory",
        *before("row_sum", TOTAL, "device T* bad = scratch; bad[0] = 0;"),
        "cannot initialize a variable of type",
    ),
    (
        "a thread pointer to threadgroup memory",
        *before("row_sum", TOTAL, "thread T* bad = scratch; bad[0] = 0;"),
        "cannot initialize a variable of type",
    ),
    (
        "a write to constant memory",
        *before("row_sum", TOTAL, "shape.rows = 3;"),
        "cannot assign to variable 'shape'|read-only",
    ),
    (
        "a write to a const device pointer",
        *before("row_sum", TOTAL, "in[row] = T(0);"),
        "read-only",
    ),
    (
        "a pointer parameter without an address space",
        *("row_sum", "T value, threadgroup T* scratch", "T value, T* scratch"),
        "pointer or reference without an address space",
    ),
    (
        "a reference parameter without an address space",
        *before("compact", "[[host_name", "inline uint f(uint& x) { return x; }"),
        "pointer or reference without an address space",
    ),
    (
        "a local pointer without an address space",
        *("compact", INSIDE_COMPACT, f"{INSIDE_COMPACT} uint* p = &at; *p += 0u;"),
        "pointer or reference without an address space",
    ),
    (
        "a member pointer without an address space",
        *("row_sum", "  ulong stride;", "  ulong stride;\n  float* where;"),
        "pointer or reference without an address space",
    ),
    (
        "a method without an address space",
        *("row_sum", "void add(T other) thread {", "void add(T other) {"),
        "method without an address space",
    ),
    (
        "a kernel's pointer without an address space",
        *("compact", "device uint* out [[buffer(2)]]", "uint* out [[buffer(2)]]"),
        r"\[\[buffer\]\] parameter 'uint \* out' needs address space",
    ),
    (
        "a global variable that is not constant",
        *before("row_sum", BEFORE_STRUCT, "uint counter = 0;"),
        "must reside in constant address space",
    ),
    (
        "a static local variable",
        *before("row_sum", TOTAL, "static uint calls = 0; calls++;"),
        "must reside in constant address space",
    ),
    (
        "a lambda, whose call has no address space",
        *("compact", BIGGEST),
        "auto f = [&](uint x) { return x; }; uint biggest = simd_max(f(size));",
        "method without an address space",
    ),
]

ATTRIBUTES = [
    (
        "a kernel's scalar by value",
        *("compact", "constant uint& rows", "constant uint rows"),
        "must be a pointer or reference",
    ),
    (
        "a misspelt attribute",
        *("compact", "[[threadgroup_position_in_grid]]"),
        "[[threadgroup_position_in_gird]]",
        r"unknown parameter attribute \[\[threadgroup_position_in_gird\]\]",
    ),
    (
        "a parameter without an attribute",
        *("compact", "uint lane [[thread_index_in_simdgroup]]", "uint lane"),
        "kernel parameter 'uint lane' has no attribute",
    ),
    (
        "a buffer index used twice",
        *("compact", "out [[buffer(2)]]", "out [[buffer(1)]]"),
        r"\[\[buffer\(1\)\]\] used twice",
    ),
    (
        "a buffer index out of range",
        *("compact", "rows [[buffer(4)]]", "rows [[buffer(31)]]"),
        r"\[\[buffer\(31\)\]\] out of range",
    ),
    (
        "an index that is no literal",
        *("compact", "rows [[buffer(4)]]", "rows [[buffer(2 + 2)]]"),
        "needs a literal index",
    ),
    (
        "two attributes that exclude each other",
        *("compact", "[[thread_index_in_simdgroup]]"),
        "[[thread_index_in_simdgroup]] [[simdgroups_per_threadgroup]]",
        "conflicting attributes",
    ),
    (
        "a position that is a float",
        *("compact", "uint lane [[", "float lane [["),
        "cannot have type 'float'",
    ),
    (
        "positions of different dimensions",
        *("row_sum", "uint index [[thread_position", "uint3 index [[thread_position"),
        "position attributes mix dimensions",
    ),
    (
        "an unknown function attribute",
        *("compact", "[[kernel]] void", "[[kernel, fast]] void"),
        r"unknown attribute \[\[fast\]\]",
    ),
    (
        "a kernel that returns a value",
        *("compact", "[[kernel]] void", "[[kernel]] uint"),
        "a kernel must be 'void name",
    ),
    (
        "a host name used twice",
        *("row_sum", '"row_sum_half", half', '"row_sum_float", half'),
        'host name "row_sum_float" used twice',
    ),
    (
        "an instantiation without a host name",
        *(
            "row_sum",
            "template [[host_name(PREFIX                 \\\n      name)]] [[",
        ),
        "template [[",
        "a kernel's instantiation needs a host_name",
    ),
    (
        "an instantiation of what is no kernel",
        *("row_sum", "[[kernel, max_total_threads_per_threadgroup(256)]] void", "void"),
        "instantiation of 'row_sum', which is no kernel",
    ),
    (
        "an instantiation with wrong arguments",
        *("row_sum", '"row_sum_half", half, 64)', '"row_sum_half", half, float)'),
        "error:",
    ),
]

THREADGROUP_MEMORY = [
    (
        "a threadgroup variable in a function",
        *before("row_sum", PART, "threadgroup T other[2];"),
        "threadgroup variable 'other' outside a kernel",
    ),
    (
        "a threadgroup variable in a struct",
        *("row_sum", "  ulong stride;", "  ulong stride;\n  threadgroup uint x;"),
        "threadgroup variable 'x' outside a kernel",
    ),
    (
        "a threadgroup variable with an initialiser",
        *("histogram", "atomic_uint most;", "uint most = 0;"),
        "a threadgroup variable has no initialiser",
    ),
    (
        "two threadgroup variables in a declaration",
        *("histogram", "atomic_uint most;", "atomic_uint most, least;"),
        "one threadgroup variable per declaration",
    ),
    (
        "a threadgroup variable over 32 KiB",
        *("row_sum", SCRATCH, "threadgroup T scratch[9000];"),
        "threadgroup memory over 32 KiB",
    ),
    (
        "threadgroup variables over 32 KiB together",
        *("row_sum", SCRATCH, f"{SCRATCH} threadgroup uint more[8191];"),
        "threadgroup memory over 32 KiB",
    ),
]

TYPES = [
    (
        "a simdgroup function of bool",
        *("compact", BIGGEST, "uint biggest = simd_max(size > 3u);"),
        "call to deleted function 'simd_max'",
    ),
    (
        "a simdgroup function of 64 bits",
        *("compact", BIGGEST, "uint biggest = uint(simd_max(ulong(size)));"),
        "call to deleted function 'simd_max'",
    ),
    (
        "a simdgroup function of bfloat",
        *before(
            "compact", BIGGEST, "bfloat b = simd_max(bfloat(1.0f)); size += b > 0;"
        ),
        "call to deleted function 'simd_max'",
    ),
    (
        "a ballot taken for a number",
        *("compact", BIGGEST, "uint biggest = simd_ballot(flag);"),
        "no viable conversion from .*simd_vote",
    ),
    (
        "a shuffle without a lane",
        *("compact", BIGGEST, "uint biggest = simd_shuffle(size);"),
        "no matching function for call to 'simd_shuffle'",
    ),
    (
        "a float into a bfloat",
        *before("row_sum", TOTAL, "bfloat b = float(lane); sum.add(T(float(b)));"),
        "implicit conversion to bfloat",
    ),
    (
        "a float constant into a bfloat",
        *before("row_sum", TOTAL, "bfloat b = 1.5f; sum.add(T(float(b)));"),
        "implicit conversion to bfloat",
    ),
    (
        "a half into a bfloat",
        *before("row_sum", TOTAL, "half h = 1.0h; bfloat b = h; sum.add(T(float(b)));"),
        "error: .*(bfloat|__bf16)",
    ),
    (
        "a double",
        *before("row_sum", TOTAL, "double d = 1.0; sum.add(T(d));"),
        "use of type 'double'",
    ),
    (
        "max of an int and a uint",
        *("compact", BIGGEST, "uint biggest = max(0, size);"),
        "call to 'max' is ambiguous",
    ),
    (
        "as_type to another size",
        *("compact", BIGGEST, "uint biggest = as_type<ushort>(size);"),
        r"compact\S*:\d+: error: .*as_type: sizes differ",
    ),
    (
        "an error in one instantiation only",
        *before("row_sum", TOTAL, "sum.add(T(as_type<uint>(sum.value) & 0u));"),
        "as_type: sizes differ",
    ),
    (
        "a vector where a number is due",
        *("compact", BIGGEST, "uint biggest = uint2(size, size);"),
        "cannot initialize|excess elements|incompatible",
    ),
    (
        "a component that a vector has not",
        *("compact", BIGGEST, "uint biggest = uint2(size, size).z;"),
        "vector component access exceeds type",
    ),
    (
        "an uninitialised local",
        *("row_sum", "T total = 0;", "T total;"),
        "uninitialized",
    ),
    (
        "a comparison of signed and unsigned",
        *("compact", BIGGEST, f"int s = -1; {BIGGEST} biggest += s < size ? 0u : 1u;"),
        "comparison of integers of different signs",
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
        *("histogram", "threadgroup atomic_uint* bins", "threadgroup uint* bins"),
        "no matching function for call to 'atomic_",
    ),
    (
        "a stronger memory order",
        *("histogram", ADD, ADD.replace("relaxed", "seq_cst")),
        "memory_order_seq_cst",
    ),
    (
        "an atomic's method",
        *("histogram", ADD, "bins[in[i]].fetch_add(1u);"),
        "no member named 'fetch_add'",
    ),
    (
        "a 64-bit atomic",
        *("histogram", "device atomic_uint* out", "device atomic<ulong>* out"),
        "no matching function for call to 'atomic_fetch_add_explicit'",
    ),
    (
        "a float maximum",
        *("histogram", "threadgroup atomic_uint most", "threadgroup atomic_float most"),
        "no matching function for call to 'atomic_",
    ),
]

LANGUAGE = [
    (
        "CUDA's shuffle",
        "compact",
        BIGGEST,
        "uint biggest = __shfl_sync(~0u, size, 0);",
        "use of undeclared identifier '__shfl_sync'",
    ),
    (
        "GLSL's barrier",
        "row_sum",
        READ,
        "barrier();",
        "undeclared identifier 'barrier'",
    ),
    (
        "a misspelt flag",
        *("row_sum", READ, "threadgroup_barrier(mem_flags::threadgroup);"),
        "error:",
    ),
    (
        "a barrier without a flag",
        *("histogram", COUNTED, "threadgroup_barrier();"),
        "no matching function for call to 'threadgroup_barrier'",
    ),
    (
        "recursion",
        *before(
            "compact",
            "[[host_name",
            "uint f(uint n) { return n < 2 ? n : f(n - 1) + 1; }",
        ),
        r"recursion through f\(unsigned int\)",
    ),
    (
        "recursion of two",
        *before(
            "compact",
            "[[host_name",
            "uint g(uint n); uint f(uint n) { return n ? g(n - 1) : 0; }\n"
            "uint g(uint n) { return n ? f(n - 1) : 1; }",
        ),
        r"recursion through f\(unsigned int\)",
    ),
    (
        "a virtual function",
        *before("row_sum", BEFORE_STRUCT, "struct V { virtual int f(); };"),
        "virtual functions are not supported",
    ),
    (
        "a pointer to a function",
        *before(
            "compact", BIGGEST, "uint (*p)(uint) = &metal::popcount; size = p(size);"
        ),
        "pointers to functions are not allowed",
    ),
    (
        "new",
        *before("compact", BIGGEST, "thread uint* p = new uint(3); size += *p;"),
        "'default new' is not supported",
    ),
    (
        "goto",
        *before("compact", BIGGEST, "if (size > 40) { goto end; } end:;"),
        "Metal has no goto",
    ),
    (
        "an exception",
        *before("compact", BIGGEST, "if (size > 40) { throw 1; }"),
        "cannot use 'throw'",
    ),
    (
        "the C++ library",
        *("compact", BIGGEST, "uint biggest = std::max(size, 0u);"),
        "use of undeclared identifier 'std'",
    ),
    (
        "a header that Metal does not have",
        *("compact", "#include <metal_stdlib>", "#include <algorithm>"),
        "algorithm: No such file",
    ),
    (
        "a name that is not there",
        *("row_sum", "sum.add(value);", "sum.append(value);"),
        "no member named 'append'",
    ),
]

GROUPS = [
    *(ADDRESS_SPACES, ATTRIBUTES, THREADGROUP_MEMORY, TYPES, ATOMICS, LANGUAGE),
]
SOURCE = [Plant(*fields) for group in GROUPS for fields in group]
