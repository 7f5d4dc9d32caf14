// Copyright © 2026 the mlx-topk authors. MIT licence.

// Chooses the groups of experts that a row may use.

#pragma once

#include "mlx/backend/metal/kernels/topk.h"
#include "overlay/backend/metal/kernels/route/scores.h"

/** The keys of the two greatest numbers, NaN being the greatest. */
struct BestPair {
  uint best;
  uint second;

  METAL_FUNC void add(BestPair other) thread {
    second = max(max(second, other.second), min(best, other.best));
    best = max(best, other.best);
  }
};

/** Returns the key of a group's score. */
METAL_FUNC uint
group_key(BestPair pair, const constant RouteArguments& settings) {
  // Key 0 is that of -infinity. A masked expert does not count.
  bool alone = settings.masks_infinity != 0 && pair.second == 0;
  if (settings.sums_pair == 0 || alone) {
    return pair.best;
  }
  float sum = number_of_key(pair.second) + number_of_key(pair.best);
  return order_float32::key(as_type<uint>(sum));
}

/**
 * Writes to memory[g], for each group g, whether the row may choose from it.
 * At first `memory` has the order_float32 keys of the row's `size` experts.
 * After these it has room for one key of each group.
 */
template <ushort width>
METAL_FUNC void choose_groups(
    uint lane,
    uint size,
    threadgroup uint* memory,
    const constant RouteArguments& settings) {
  uint first = lane % width;
  uint lanes = settings.group_lanes;
  threadgroup uint* group_keys = memory + settings.members * settings.groups;
  uint groups_at_once = width / lanes;
  for (uint start = 0; start < settings.groups; start += groups_at_once) {
    uint group = start + first / lanes;
    bool exists = size > 0 && group < settings.groups;
    uint count = exists ? settings.members : 0u;
    BestPair pair = {0, 0};
    for (uint i = first % lanes; i < count; i += lanes) {
      pair.add({memory[group * settings.members + i], 0});
    }
    for (uint step = lanes / 2; step > 0; step /= 2) {
      pair.add({exchanged(pair.best, step), exchanged(pair.second, step)});
    }
    if (exists && first % lanes == 0) {
      group_keys[group] = group_key(pair, settings);
    }
  }
  simdgroup_barrier(mem_flags::mem_threadgroup);
  uint groups = size > 0 ? settings.groups : 0u;
  for (uint group = first; group < groups; group += width) {
    uint mine = group_keys[group];
    uint better = 0;
    for (uint i = 0; i < groups; ++i) {
      uint other = group_keys[i];
      bool wins_tie = settings.later_group_first != 0 ? i > group : i < group;
      better += uint(other > mine || (other == mine && wins_tie));
    }
    memory[group] = uint(better < settings.topk_groups);
  }
  simdgroup_barrier(mem_flags::mem_threadgroup);
}
