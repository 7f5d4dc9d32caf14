// Copyright © 2026 the mlx-topk authors. MIT licence.

// Each threadgroup takes a row: it writes the sum of its values and of their squares.

#include <metal_simdgroup>
#include <metal_stdlib>
using namespace metal;

#ifndef PREFIX
#define PREFIX ""
#endif
#define instantiate_row_sum(name, T, threads) \
  template [[host_name(PREFIX                 \
      name)]] [[kernel]] decltype(row_sum<T, threads>) row_sum<T, threads>;

struct Shape {
  uint row_size;
  uint rows;
  ulong stride;
};

template <typename T>
struct Sum {
  T value;
  METAL_FUNC void add(T other) thread {
    value += other;
  }
};

template <typename T, ushort threads>
METAL_FUNC T threadgroup_sum(
    T value, threadgroup T* scratch, uint lane, uint simdgroup) {
  T part = simd_sum(value);
  if (lane == 0) {
    scratch[simdgroup] = part;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup); // parts are written
  T total = 0;
  _Pragma("clang loop unroll(full)")
  for (ushort i = 0; i < threads / 32; ++i) {
    total += scratch[i];
  }
  threadgroup_barrier(mem_flags::mem_threadgroup); // parts are read
  return total;
}

template <typename T, ushort threads>
[[kernel, max_total_threads_per_threadgroup(256)]] void row_sum(
    const device T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    constant Shape& shape [[buffer(2)]],
    uint row [[threadgroup_position_in_grid]],
    uint index [[thread_position_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]]) {
  threadgroup T scratch[threads / 32];
  const device T* source = in + ulong(row) * shape.stride;
  Sum<T> sum;
  Sum<T> squares;
  sum.value = 0;
  squares.value = 0;
  for (uint i = index; i < shape.row_size; i += threads) {
    T value = source[i];
    sum.add(value);
    squares.add(value * value);
  }
  T total = threadgroup_sum<T, threads>(sum.value, scratch, lane, simdgroup);
  T total_squares =
      threadgroup_sum<T, threads>(squares.value, scratch, lane, simdgroup);
  if (index == 0) {
    out[2 * row] = total;
    out[2 * row + 1] = total_squares;
  }
}

instantiate_row_sum("row_sum_float", float, 64)
instantiate_row_sum("row_sum_half", half, 64)
instantiate_row_sum("row_sum_int", int, 64)
