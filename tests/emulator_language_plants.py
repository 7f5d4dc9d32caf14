"""Mistakes planted in the source of kernels: types, and C++ that Metal does not have.

LANGUAGE lists those that the front-end check must refuse.
"""

from emulator_plants import (
    BIGGEST,
    COUNTED,
    READ,
    PlantedMistake,
    insert_before,
    replace,
)
from emulator_source_plants import BEFORE_STRUCT, TOTAL

TYPES = [
    (
        "a simdgroup function of bool",
        *replace("compact", BIGGEST, "uint biggest = simd_max(size > 3u);"),
        "call to deleted function 'simd_max'",
    ),
    (
        "a simdgroup function of 64 bits",
        *replace("compact", BIGGEST, "uint biggest = uint(simd_max(ulong(size)));"),
        "call to deleted function 'simd_max'",
    ),
    (
        "a simdgroup function of bfloat",
        *insert_before(
            "compact", BIGGEST, "bfloat b = simd_max(bfloat(1.0f)); size += b > 0;"
        ),
        "call to deleted function 'simd_max'",
    ),
    (
        "a ballot as a number",
        *replace("compact", BIGGEST, "uint biggest = simd_ballot(flag);"),
        "no viable conversion from .*simd_vote",
    ),
    (
        "a shuffle without a lane",
        *replace("compact", BIGGEST, "uint biggest = simd_shuffle(size);"),
        "no matching function for call to 'simd_shuffle'",
    ),
    (
        "a float converted to bfloat",
        *insert_before(
            "row_sum", TOTAL, "bfloat b = float(lane); sum.add(T(float(b)));"
        ),
        r"implicit conversion to bfloat; expected bfloat\(\.\.\.\)",
    ),
    (
        "a float constant converted to bfloat",
        *insert_before("row_sum", TOTAL, "bfloat b = 1.5f; sum.add(T(float(b)));"),
        r"implicit conversion to bfloat; expected bfloat\(\.\.\.\)",
    ),
    (
        "a half converted to bfloat",
        *insert_before(
            "row_sum", TOTAL, "half h = 1.0h; bfloat b = h; sum.add(T(float(b)));"
        ),
        "error: .*(bfloat|__bf16)",
    ),
    (
        "a double",
        *insert_before("row_sum", TOTAL, "double d = 1.0; sum.add(T(d));"),
        "use of type 'double'",
    ),
    (
        "max of an int and a uint",
        *replace("compact", BIGGEST, "uint biggest = max(0, size);"),
        "call to 'max' is ambiguous",
    ),
    (
        "as_type to another size",
        *replace("compact", BIGGEST, "uint biggest = as_type<ushort>(size);"),
        r"compact\S*:\d+: error: .*as_type: sizes differ",
    ),
    (
        "an error in one instantiation only",
        *insert_before("row_sum", TOTAL, "sum.add(T(as_type<uint>(sum.value) & 0u));"),
        "as_type: sizes differ",
    ),
    (
        "a vector as a number",
        *replace("compact", BIGGEST, "uint biggest = uint2(size, size);"),
        "cannot initialize|excess elements|incompatible",
    ),
    (
        "a component that the vector lacks",
        *replace("compact", BIGGEST, "uint biggest = uint2(size, size).z;"),
        "vector component access exceeds type",
    ),
    (
        "an uninitialised local",
        *replace("row_sum", "T total = 0;", "T total;"),
        "uninitialized",
    ),
    (
        "a comparison of signed and unsigned",
        *replace(
            "compact", BIGGEST, f"int s = -1; {BIGGEST} biggest += s < size ? 0u : 1u;"
        ),
        "comparison of integers of different signs",
    ),
]

CONSTRUCTS = [
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
        *replace("row_sum", READ, "threadgroup_barrier(mem_flags::threadgroup);"),
        "error:",
    ),
    (
        "a barrier without a flag",
        *replace("histogram", COUNTED, "threadgroup_barrier();"),
        "no matching function for call to 'threadgroup_barrier'",
    ),
    (
        "recursion",
        *insert_before(
            "compact",
            "[[host_name",
            "uint f(uint n) { return n < 2 ? n : f(n - 1) + 1; }",
        ),
        r"recursion through f\(unsigned int\), which Metal forbids",
    ),
    (
        "recursion through two functions",
        *insert_before(
            "compact",
            "[[host_name",
            "uint g(uint n); uint f(uint n) { return n ? g(n - 1) : 0; }\n"
            "uint g(uint n) { return n ? f(n - 1) : 1; }",
        ),
        r"recursion through f\(unsigned int\), which Metal forbids",
    ),
    (
        "a virtual function",
        *insert_before("row_sum", BEFORE_STRUCT, "struct V { virtual int f(); };"),
        "virtual functions are not supported",
    ),
    (
        "a pointer to a function",
        *insert_before(
            "compact", BIGGEST, "uint (*p)(uint) = &metal::popcount; size = p(size);"
        ),
        "pointers to functions are not allowed",
    ),
    (
        "operator new",
        *insert_before("compact", BIGGEST, "thread uint* p = new uint(3); size += *p;"),
        "'default new' is not supported",
    ),
    (
        "goto",
        *insert_before("compact", BIGGEST, "if (size > 40) { goto end; } end:;"),
        "Metal has no goto",
    ),
    (
        "an exception",
        *insert_before("compact", BIGGEST, "if (size > 40) { throw 1; }"),
        "cannot use 'throw'",
    ),
    (
        "the C++ library",
        *replace("compact", BIGGEST, "uint biggest = std::max(size, 0u);"),
        "use of undeclared identifier 'std'",
    ),
    (
        "a header that Metal does not have",
        *replace("compact", "#include <metal_stdlib>", "#include <algorithm>"),
        "algorithm: No such file",
    ),
    (
        "a method that does not exist",
        *replace("row_sum", "sum.add(value);", "sum.append(value);"),
        "no member named 'append'",
    ),
]

LANGUAGE = [PlantedMistake(*fields) for fields in TYPES + CONSTRUCTS]
