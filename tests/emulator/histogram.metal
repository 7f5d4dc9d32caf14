// Copyright © 2026 the mlx-topk authors. MIT licence.

// Counts how often each byte occurs. Each threadgroup counts in threadgroup memory,
// then adds its counts to those of the grid. It also writes its greatest count.

#include <metal_atomic>
#include <metal_stdlib>
using namespace metal;

#ifndef PREFIX
#define PREFIX ""
#endif

[[host_name(PREFIX "histogram")]] [[kernel]] void histogram(
    const device uchar* in [[buffer(0)]],
    device atomic_uint* out [[buffer(1)]],
    constant uint& size [[buffer(2)]],
    device uint* greatest [[buffer(3)]],
    threadgroup atomic_uint* bins [[threadgroup(0)]],
    uint group [[threadgroup_position_in_grid]],
    uint index [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint groups [[threadgroups_per_grid]]) {
  threadgroup atomic_uint most;
  atomic_store_explicit(&bins[index], 0u, memory_order_relaxed);
  if (index == 0) {
    atomic_store_explicit(&most, 0u, memory_order_relaxed);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup); // bins are zero
  for (uint i = group * threads + index; i < size; i += groups * threads) {
    atomic_fetch_add_explicit(&bins[in[i]], 1u, memory_order_relaxed);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup); // all are counted
  uint count = atomic_load_explicit(&bins[index], memory_order_relaxed);
  atomic_fetch_add_explicit(&out[index], count, memory_order_relaxed);
  atomic_fetch_max_explicit(&most, count, memory_order_relaxed);
  threadgroup_barrier(mem_flags::mem_threadgroup); // the greatest count is known
  if (index == 0) {
    greatest[group] = atomic_load_explicit(&most, memory_order_relaxed);
  }
}
