// Copyright © 2026 the mlx-topk authors. MIT licence.

// Each simdgroup takes a row of 32: it moves the values whose flag is set to the front
// of the row, in reverse order, by way of threadgroup memory, and counts them.

#include <metal_simdgroup>
#include <metal_stdlib>
using namespace metal;

#ifndef PREFIX
#define PREFIX ""
#endif

[[host_name(PREFIX "compact")]] [[kernel]] void compact(
    const device uint* in [[buffer(0)]],
    const device bool* flags [[buffer(1)]],
    device uint* out [[buffer(2)]],
    device uint* sizes [[buffer(3)]],
    constant uint& rows [[buffer(4)]],
    uint group [[threadgroup_position_in_grid]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint simdgroups [[simdgroups_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  threadgroup uint line[8 * 32];
  uint row = group * simdgroups + simdgroup;
  if (row >= rows) {
    return; // all lanes of the simdgroup return
  }
  uint at = row * 32 + lane;
  bool flag = flags[at];
  uint place = simd_prefix_exclusive_sum(uint(flag));
  simd_vote vote = simd_ballot(flag);
  uint size = popcount(uint(static_cast<simd_vote::vote_t>(vote)));
  threadgroup uint* mine = line + simdgroup * 32;
  if (flag) {
    mine[place] = in[at];
  }
  simdgroup_barrier(mem_flags::mem_threadgroup); // the line is written
  if (lane < size) {
    out[at] = mine[size - 1 - lane];
  }
  uint biggest = simd_max(size);
  if (lane == 0) {
    sizes[row] = simdgroup < 8 ? biggest : 0u;
  }
}
