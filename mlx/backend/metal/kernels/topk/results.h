// Copyright © 2026 the mlx-topk authors. MIT licence.

// Orders a threadgroup's candidates and writes the k best.

#pragma once

#include "mlx/backend/metal/kernels/topk/candidates.h"
#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/rows.h"

/** Returns how many candidates come before the i-th in the order. */
template <typename Key>
METAL_FUNC uint rank_of(uint i, thread const Candidates<Key>& candidates) {
  Key key = candidates.keys[i];
  uint rank = 0;
  for (uint j = 0; j < candidates.count; ++j) {
    Key other = candidates.keys[j];
    rank += uint(other > key || (other == key && j < i));
  }
  return rank;
}

/** Sorts the candidates, best first, by a bitonic sort. */
template <typename Key>
METAL_FUNC void sort_candidates(
    thread Candidates<Key>& candidates,
    thread Group& group) {
  threadgroup Key* keys = candidates.keys;
  threadgroup uint* positions = candidates.positions;
  uint size = 1;
  while (size < candidates.count) {
    size *= 2;
  }
  uint first_pad = candidates.count + group.thread_index;
  for (uint i = first_pad; i < size; i += group_threads) {
    keys[i] = 0;
    positions[i] = ~0u;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint run = 2; run <= size; run *= 2) {
    for (uint step = run / 2; step > 0; step /= 2) {
      for (uint t = group.thread_index; t < size / 2; t += group_threads) {
        uint i = 2 * t - (t & (step - 1));
        uint j = i + step;
        Key a = keys[i];
        Key b = keys[j];
        uint at_a = positions[i];
        uint at_b = positions[j];
        bool in_order = a > b || (a == b && at_a < at_b);
        if (in_order != ((i & run) == 0)) {
          keys[i] = b;
          keys[j] = a;
          positions[i] = at_b;
          positions[j] = at_a;
        }
      }
      // With steps up to 32, each simdgroup reads and writes 64 elements that
      // no other does, so it need not wait for the others.
      if (step > simd_size || (step == 1 && run > simd_size)) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
      } else {
        simdgroup_barrier(mem_flags::mem_threadgroup);
      }
    }
  }
}

/**
 * Calls put(rank, key, position) for the k best candidates. They are in order
 * if `sorted`; otherwise only equal ones are in the order of the stream.
 */
template <typename Key, typename Put>
METAL_FUNC void put_best(
    thread Candidates<Key>& candidates,
    bool sorted,
    thread Group& group,
    thread const Put& sink) {
  uint k = candidates.k;
  bool ranked = k <= ranked_candidates;
  uint most = ranked ? uint(ranked_candidates) : k;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (candidates.count > most) {
    candidates.shrink(most, group);
  }
  if (!ranked && sorted) {
    sort_candidates(candidates, group);
  }
  uint count = ranked ? candidates.count : k;
  for (uint i = group.thread_index; i < count; i += group_threads) {
    uint rank = ranked ? rank_of(i, candidates) : i;
    if (rank < k) {
      sink.put(rank, candidates.keys[i], candidates.positions[i]);
    }
  }
}

/** Writes the k best of a row to the outputs. */
template <typename Order>
struct RowResults {
  Row<Order> row;
  Output<Order> out;

  METAL_FUNC void put(uint rank, typename Order::Key, uint position)
      const thread {
    out.put(rank, position, row);
  }
};

/** Writes the k best of a segment for topk_merge. */
template <typename Key>
struct SegmentResults {
  device Key* keys;
  device uint* positions;

  METAL_FUNC void put(uint rank, Key key, uint position) const thread {
    keys[rank] = key;
    positions[rank] = position;
  }
};
