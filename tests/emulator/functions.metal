// Copyright © 2026 the mlx-topk authors. MIT licence.

// Calls functions of Metal's library. tests/test_emulator_functions.py compares the
// results with NumPy's. simdgroup.metal calls other functions.

#include <metal_integer>
#include <metal_simdgroup>
#include <metal_stdlib>
using namespace metal;

#define instantiate(name, ...) \
  template [[host_name(name)]] [[kernel]] decltype(__VA_ARGS__) __VA_ARGS__;

[[kernel]] void votes(
    const device bool* in [[buffer(0)]],
    device uint* out [[buffer(1)]],
    uint index [[thread_index_in_threadgroup]],
    uint size [[threads_per_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]]) {
  bool value = in[index];
  simd_vote vote = simd_ballot(value);
  device uint* at = out + index;
  at[0 * size] = uint(static_cast<simd_vote::vote_t>(vote));
  at[1 * size] = simd_any(value);
  at[2 * size] = simd_all(value);
  at[3 * size] = simd_or(value ? 1u << simdgroup : 0u);
  at[4 * size] = simd_and(value ? 7u : 3u);
  at[5 * size] = simd_xor(value ? 5u : 0u);
}

template <typename T>
[[kernel]] void bits(
    const device T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    uint index [[thread_position_in_grid]],
    uint size [[threads_per_grid]]) {
  T value = in[index];
  T other = in[(index + 1) % size];
  device T* at = out + index;
  at[0 * size] = clz(value);
  at[1 * size] = ctz(value);
  at[2 * size] = popcount(value);
  at[3 * size] = min(value, other);
  at[4 * size] = max(value, other);
  at[5 * size] = select(value, other, value < other);
  at[6 * size] = extract_bits(value, 3, 4);
  at[7 * size] = reverse_bits(value);
  at[8 * size] = clamp(value, T(3), T(100));
}

// Converts floats to bfloat and half and writes their bits. Then converts the bfloats
// and halves back to float, and also results of arithmetic on them, and writes these
// floats.
[[kernel]] void small_floats(
    const device float* in [[buffer(0)]],
    device ushort* bfloats [[buffer(1)]],
    device ushort* halves [[buffer(2)]],
    device float* back [[buffer(3)]],
    uint index [[thread_position_in_grid]],
    uint size [[threads_per_grid]]) {
  bfloat b = bfloat(in[index]);
  half h = half(in[index]);
  bfloats[index] = as_type<ushort>(b);
  halves[index] = as_type<ushort>(h);
  back[index] = b;
  back[index + size] = h;
  back[index + 2 * size] = h * h + half(1.5h) - h; // three roundings to half
  back[index + 3 * size] = float(bfloat(b * b));
}

// Writes each thread's index in its threadgroup, or ~0 if its positions contradict
// each other.
[[kernel]] void positions(
    device uint* out [[buffer(0)]],
    uint3 in_grid [[thread_position_in_grid]],
    uint3 in_group [[thread_position_in_threadgroup]],
    uint3 group [[threadgroup_position_in_grid]],
    uint3 groups [[threadgroups_per_grid]],
    uint3 group_size [[threads_per_threadgroup]],
    uint3 grid_size [[threads_per_grid]],
    uint index [[thread_index_in_threadgroup]],
    ushort lane [[thread_index_in_simdgroup]],
    ushort simdgroup [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]],
    uint width [[threads_per_simdgroup]]) {
  uint at = (in_grid.z * grid_size.y + in_grid.y) * grid_size.x + in_grid.x;
  uint3 other = group * group_size + in_group;
  bool same = other.x == in_grid.x && other.y == in_grid.y &&
      other.z == in_grid.z && grid_size.x == groups.x * group_size.x;
  bool right = uint(simdgroup) * width + lane == index &&
      simdgroups == (group_size.x * group_size.y * group_size.z + 31) / 32;
  out[at] = same && right ? index : ~0u;
}

// Adds 1 to each element of in and writes the sums to out. strides has the stride of
// out, then that of in. Strides may be negative, and in and out may be one buffer.
[[kernel]] void shift_back(
    const device int* in [[buffer(0)]],
    device int* out [[buffer(1)]],
    constant const long* strides [[buffer(2)]],
    uint index [[thread_position_in_grid]]) {
  out[long(index) * strides[0]] = in[long(index) * strides[1]] + 1;
}

// Writes for each thread how many threads ran before it.
[[kernel]] void tickets(
    device atomic_uint* next [[buffer(0)]],
    device uint* mine [[buffer(1)]],
    uint index [[thread_position_in_grid]]) {
  mine[index] = atomic_fetch_add_explicit(next, 1u, memory_order_relaxed);
}

instantiate("bits_uint8", bits<uchar>)
instantiate("bits_int16", bits<short>)
instantiate("bits_uint32", bits<uint>)
instantiate("bits_int64", bits<long>)
