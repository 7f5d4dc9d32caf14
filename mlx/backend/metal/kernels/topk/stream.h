// Copyright © 2026 the mlx-topk authors. MIT licence.

// Streams a row, or the elements that topk_split found in it, through a
// threadgroup's candidates.

#pragma once

#include "mlx/backend/metal/kernels/topk/candidates.h"
#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/rows.h"

/** Elements that a thread has read and that may become candidates. */
template <typename Key>
struct ThreadElements {
  Key keys[thread_elements];
  uint positions[thread_elements];
  uint pending; // Bit i is set if keys[i] passes and is not yet a candidate.

  /** Drops the elements that are not better than the bar. */
  METAL_FUNC void filter(thread const Candidates<Key>& candidates) thread {
    TOPK_UNROLL
    for (uint i = 0; i < thread_elements; ++i) {
      if (!candidates.passes(keys[i])) {
        pending &= ~(1u << i);
      }
    }
  }

  /**
   * Makes pending elements candidates, as far as there is room. The first goes
   * to `slot`.
   */
  METAL_FUNC void append(uint slot, thread const Candidates<Key>& candidates)
      thread {
    TOPK_UNROLL
    for (uint i = 0; i < thread_elements; ++i) {
      if (((pending >> i) & 1u) != 0) {
        if (slot < candidates.capacity) {
          candidates.keys[slot] = keys[i];
          candidates.positions[slot] = positions[i];
          pending &= ~(1u << i);
        }
        ++slot;
      }
    }
  }
};

/**
 * Adds the elements of all threads to the candidates, in the order of threads.
 */
template <typename Key>
METAL_FUNC void add(
    thread ThreadElements<Key>& elements,
    thread Candidates<Key>& candidates,
    thread Group& group) {
  elements.filter(candidates);
  for (;;) {
    uint total;
    uint before = group.before(popcount(elements.pending), total);
    uint room = candidates.capacity - candidates.count;
    elements.append(candidates.count + before, candidates);
    candidates.count += min(total, room);
    if (total <= room) {
      return;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    candidates.shrink((candidates.k + candidates.capacity) / 2, group);
    elements.filter(candidates);
  }
}

/** The elements that topk_split found in a row, segment by segment. */
template <typename K>
struct Found {
  typedef K Key;

  const device Key* keys;
  const device uint* positions;

  METAL_FUNC Key key(uint i) const thread {
    return keys[i];
  }

  METAL_FUNC uint position(uint i) const thread {
    return positions[i];
  }
};

/** The range [first, end) of a stream. */
struct Segment {
  uint first;
  uint end;
};

METAL_FUNC Segment segment_at(uint index, const constant TopKArguments& args) {
  uint64_t size = args.axis_size;
  uint first = uint(index * size / args.segments);
  uint end = uint((index + 1) * size / args.segments);
  return {first, end};
}

/** Adds the elements of a segment. `Source` is Row or Found. */
template <typename Source>
METAL_FUNC void add_all(
    thread const Source& source,
    Segment segment,
    thread Candidates<typename Source::Key>& candidates,
    thread Group& group) {
  constexpr uint block = group_threads * thread_elements;
  // Counts blocks, because `from` could overflow at the end of the longest
  // rows.
  uint blocks = (segment.end - segment.first + block - 1) / block;
  for (uint i = 0; i < blocks; ++i) {
    uint from = segment.first + i * block;
    uint mine = group.thread_index * thread_elements;
    uint left = segment.end - from;
    ThreadElements<typename Source::Key> elements;
    elements.pending = 0;
    TOPK_UNROLL
    for (uint j = 0; j < thread_elements; ++j) {
      elements.keys[j] = 0;
      elements.positions[j] = 0;
      if (mine + j < left) {
        elements.keys[j] = source.key(from + mine + j);
        elements.positions[j] = source.position(from + mine + j);
        elements.pending |= 1u << j;
      }
    }
    add(elements, candidates, group);
  }
}
