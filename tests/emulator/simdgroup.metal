// Copyright © 2026 the mlx-topk authors. MIT licence.

// Calls Metal's simdgroup functions of numbers. Tests compare the results with NumPy's.

#include <metal_simdgroup>
#include <metal_stdlib>
using namespace metal;

#define instantiate(name, ...) \
  template [[host_name(name)]] [[kernel]] decltype(__VA_ARGS__) __VA_ARGS__;

// Writes one row of results for each function. A row has one result for each thread.
template <typename T>
[[kernel]] void simd_functions(
    const device T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    uint index [[thread_index_in_threadgroup]],
    uint size [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  T value = in[index];
  device T* at = out + index;
  at[0 * size] = simd_sum(value);
  at[1 * size] = simd_max(value);
  at[2 * size] = simd_min(value);
  at[3 * size] = simd_prefix_exclusive_sum(value);
  at[4 * size] = simd_prefix_inclusive_sum(value);
  at[5 * size] = simd_product(T(index % 9 == 4 ? 2 : 1));
  at[6 * size] = simd_shuffle(value, ushort((lane * 5 + 3) % 32));
  at[7 * size] = simd_shuffle_xor(value, 5);
  at[8 * size] = simd_shuffle_up(value, 3);
  at[9 * size] = simd_shuffle_down(value, 7);
  at[10 * size] = simd_broadcast(value, 17);
  at[11 * size] = simd_broadcast_first(value);
}

// Functions that are defined where the last simdgroup has fewer than 32 lanes.
[[kernel]] void short_simdgroups(
    const device int* in [[buffer(0)]],
    device int* out [[buffer(1)]],
    uint index [[thread_index_in_threadgroup]],
    uint size [[threads_per_threadgroup]]) {
  int value = in[index];
  device int* at = out + index;
  at[0 * size] = simd_shuffle_up(value, 3);
  at[1 * size] = simd_shuffle_down(value, 7);
  at[2 * size] = simd_prefix_inclusive_sum(value);
}

instantiate("simd_functions_float", simd_functions<float>)
instantiate("simd_functions_int", simd_functions<int>)
instantiate("simd_functions_uint", simd_functions<uint>)
instantiate("simd_functions_short", simd_functions<short>)
instantiate("simd_functions_ushort", simd_functions<ushort>)
instantiate("simd_functions_half", simd_functions<half>)
instantiate("simd_functions_char", simd_functions<char>)
instantiate("simd_functions_uchar", simd_functions<uchar>)
