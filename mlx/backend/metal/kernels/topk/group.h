// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sums over a threadgroup, from which threads find their slots. Unlike atomics
// they do not depend on the order in which threads run.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"

/**
 * Sums over the threadgroup. The two halves of `partial` are used alternately,
 * so that each sum needs only one barrier.
 */
struct Group {
  threadgroup uint* partial;
  uint thread_index;
  uint simd;
  uint lane;
  uint turn;

  /**
   * Returns the sum of `mine` over the threads before this one. `total` becomes
   * the sum over all threads.
   */
  METAL_FUNC uint before(uint mine, thread uint& total) thread {
    threadgroup uint* sums = partial + turn * group_simds;
    turn ^= 1u;
    uint prefix = simd_prefix_exclusive_sum(mine);
    if (lane == simd_size - 1) {
      sums[simd] = prefix + mine;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    total = 0;
    TOPK_UNROLL
    for (uint i = 0; i < group_simds; ++i) {
      prefix += i < simd ? sums[i] : 0u;
      total += sums[i];
    }
    return prefix;
  }

  METAL_FUNC uint total(uint mine) thread {
    uint all;
    before(mine, all);
    return all;
  }
};
