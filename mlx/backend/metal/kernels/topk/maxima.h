// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds a bound from the greatest keys that the threads of a threadgroup have
// found.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/ranked.h"

/** Returns how many keys of a descending run of 32 are at least `pivot`. */
template <typename Key>
METAL_FUNC uint reached_in(const threadgroup Key* run, Key pivot) {
  uint count = 0;
  TOPK_UNROLL
  for (uint step = simd_size / 2; step > 0; step /= 2) {
    count += run[count + step - 1] >= pivot ? step : 0u;
  }
  return count + uint(run[count] >= pivot);
}

/**
 * Returns how many of all maxima are at least `pivot`. Each lane may have
 * another pivot, but equal lanes of all simdgroups have the same.
 */
template <ushort groups, typename Key>
METAL_FUNC uint reached_in_all(
    Key pivot,
    const threadgroup Key* own,
    threadgroup uint* counts,
    thread const Group& group) {
  uint reached = 0;
  TOPK_UNROLL
  for (ushort g = 0; g < groups; ++g) {
    reached += reached_in(own + g * simd_size, pivot);
  }
  counts[group.thread_index] = reached;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  reached = 0;
  TOPK_UNROLL
  for (uint i = 0; i < group_simds; ++i) {
    reached += counts[i * simd_size + group.lane];
  }
  return reached;
}

/**
 * Returns a key that at least `share` of the maxima reach, and few more: the
 * greatest such key among 32 pivots, or 0 if there is none. For up to 4 groups
 * there is always one. `runs` has room for all maxima, and `counts` for a word
 * of each thread.
 */
template <ushort groups, typename Key>
METAL_FUNC Key bound_of(
    thread Key* maxima,
    uint share,
    threadgroup Key* runs,
    threadgroup uint* counts,
    thread const Group& group) {
  constexpr uint count = groups * group_simds;
  threadgroup Key* own = runs + group.simd * groups * simd_size;
  TOPK_UNROLL
  for (ushort g = 0; g < groups; ++g) {
    own[g * simd_size + group.lane] =
        sorted_keys<simd_size>(maxima[g], group.lane);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  // The first depth + 1 keys of all runs are at least `share` keys together.
  uint depth = (share + count - 1u) / count - 1u;
  depth -= min(group.lane / count, depth);
  // With more runs than lanes, the pivots are those of every few runs.
  uint run =
      count > simd_size ? group.lane * (count / simd_size) : group.lane % count;
  Key pivot = runs[run * simd_size + depth];
  uint reached = reached_in_all<groups>(pivot, own, counts, group);
  Key bound = simd_greatest(reached >= share ? pivot : Key(0));
  if (groups > 1) {
    // If the row is nearly in order, the pivots of different runs are far
    // apart. Then the keys of the run with the next pivot are tried.
    uint found = simd_greatest(pivot == bound ? reached : 0u);
    Key next = ~simd_greatest(reached < share ? ~pivot : Key(0));
    if (bound == 0 || found > share + share / 8u + 32u) {
      uint lane = ctz(votes_of<simd_size>(pivot == next, group.lane));
      run = of_lane(run, min(lane, simd_size - 1u));
      pivot = runs[run * simd_size + group.lane];
      threadgroup_barrier(mem_flags::mem_threadgroup);
      reached = reached_in_all<groups>(pivot, own, counts, group);
      bound = max(bound, simd_greatest(reached >= share ? pivot : Key(0)));
    }
  }
  return bound;
}
