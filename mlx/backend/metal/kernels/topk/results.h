// Copyright © 2026 the mlx-topk authors. MIT licence.

// Orders a threadgroup's candidates and writes the k best.

#pragma once

#include "mlx/backend/metal/kernels/topk/candidates.h"
#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/ranked.h"
#include "mlx/backend/metal/kernels/topk/rows.h"

/** How put_best orders the k best candidates. */
enum ResultOrder : uint {
  best_first,
  // The best is the first, the worst is the last.
  only_ends,
  // Equal candidates are in the order of the stream.
  of_stream,
};

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
 * Returns the slot of the best of the first k candidates if `flip` is 0, or of
 * the worst if it is ~0. There are at least as many candidates as threads, and
 * 2 * group_simds free slots after them, which this overwrites.
 */
template <typename Key>
METAL_FUNC uint slot_of_end(
    Key flip,
    thread const Candidates<Key>& candidates,
    thread const Group& group) {
  // With `flip`, the worst has the greatest key, and the complement of its slot
  // is the least.
  Key best = candidates.keys[group.thread_index] ^ flip;
  uint slot = group.thread_index ^ uint(flip);
  uint second = group.thread_index + group_threads;
  for (uint i = second; i < candidates.k; i += group_threads) {
    Key key = candidates.keys[i] ^ flip;
    uint at = i ^ uint(flip);
    if (key > best || (key == best && at < slot)) {
      best = key;
      slot = at;
    }
  }
  TOPK_UNROLL
  for (uint step = simd_size / 2; step > 0; step /= 2) {
    Key key = exchanged(best, step);
    uint at = exchanged(slot, step);
    if (key > best || (key == best && at < slot)) {
      best = key;
      slot = at;
    }
  }
  uint first = candidates.k + (flip == 0 ? 0u : uint(group_simds));
  if (group.lane == 0) {
    candidates.keys[first + group.simd] = best;
    candidates.positions[first + group.simd] = slot;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint i = first; i < first + group_simds; ++i) {
    Key key = candidates.keys[i];
    uint at = candidates.positions[i];
    if (key > best || (key == best && at < slot)) {
      best = key;
      slot = at;
    }
  }
  return slot ^ uint(flip);
}

/** Exchanges two candidates. */
template <typename Key>
METAL_FUNC void
exchange(uint a, uint b, thread const Candidates<Key>& candidates) {
  Key key = candidates.keys[a];
  uint position = candidates.positions[a];
  candidates.keys[a] = candidates.keys[b];
  candidates.positions[a] = candidates.positions[b];
  candidates.keys[b] = key;
  candidates.positions[b] = position;
}

/** Moves the best of k candidates to the first slot, the worst to the last. */
template <typename Key>
METAL_FUNC void place_ends(
    thread const Candidates<Key>& candidates,
    thread const Group& group) {
  uint best = slot_of_end(Key(0), candidates, group);
  uint worst = slot_of_end(Key(~Key(0)), candidates, group);
  if (group.thread_index == 0) {
    exchange(0, best, candidates);
    // The first exchange has moved the worst if it was the first.
    worst = worst == 0 ? best : worst;
    exchange(candidates.k - 1u, worst, candidates);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
}

/**
 * Calls put(rank, key, position) for the k best candidates. If k is at most
 * ranked_candidates, their order is `best_first`, whatever `order` is.
 */
template <typename Key, typename Put>
METAL_FUNC void put_best(
    thread Candidates<Key>& candidates,
    ResultOrder order,
    thread Group& group,
    thread const Put& sink) {
  uint k = candidates.k;
  bool ranked = k <= ranked_candidates;
  uint most = ranked ? uint(ranked_candidates) : k;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (candidates.count > most) {
    candidates.shrink(most, group);
  }
  if (!ranked && order == best_first) {
    sort_candidates(candidates, group);
  }
  if (!ranked && order == only_ends) {
    place_ends(candidates, group);
  }
  uint count = ranked ? candidates.count : k;
  for (uint i = group.thread_index; i < count; i += group_threads) {
    uint rank = ranked ? rank_of(i, candidates) : i;
    if (rank < k) {
      sink.put(rank, candidates.keys[i], candidates.positions[i]);
    }
  }
}

/** Writes the k best of a row: the best first if `sorted`, otherwise last. */
template <typename Order>
struct RowResults {
  Row<Order> row;
  Output<Order> out;
  uint k;
  bool sorted;

  METAL_FUNC ResultOrder order() const thread {
    return sorted ? best_first : only_ends;
  }

  METAL_FUNC void put(uint rank, typename Order::Key, uint position)
      const thread {
    out.put(sorted ? rank : k - 1u - rank, position, row);
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
