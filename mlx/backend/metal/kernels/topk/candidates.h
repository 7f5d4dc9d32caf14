// Copyright © 2026 the mlx-topk authors. MIT licence.

// A threadgroup's candidates for the k best of a stream of elements.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/order.h"

/**
 * The elements of a stream that may be among its k best, in threadgroup memory,
 * in the order of the stream. A new element becomes a candidate only if it is
 * better than `bar`: k earlier candidates are at least as good as `bar`.
 */
template <typename Key>
struct Candidates {
  threadgroup Key* keys;
  threadgroup uint* positions;
  uint count;
  uint capacity;
  uint k;
  bool has_bar;
  Key bar;

  METAL_FUNC bool passes(Key key) const thread {
    return !has_bar || key > bar;
  }

  /**
   * Drops candidates until at least k and at most `most` are left, k <= most.
   * All threads call it together, after a barrier.
   */
  METAL_FUNC void shrink(uint most, thread Group& group) thread {
    // Invariant: `at_low` keys are >= low, `above_high` keys are > high, and
    // the k-th best key is in [low, high].
    Key low = 0;
    Key high = ~Key(0);
    uint at_low = count;
    uint above_high = 0;
    uint ties = count; // How many keys equal to `low` stay.
    for (uint round = 0; at_low > most; ++round) {
      Key pivot = low + ((high - low) >> 1);
      // Every fourth round halves the range, so that the loop ends. The others
      // take the pivot from a sample, which is usually faster.
      if ((round & 3u) != 3) {
        uint wanted = (k + most) / 2 - above_high;
        pivot = sampled(low, high, wanted, at_low - above_high, group, pivot);
      }
      uint at_pivot;
      uint above = count_above(pivot, at_pivot, group);
      if (above >= k) {
        low = pivot + 1;
        at_low = above;
      } else if (at_pivot >= k) {
        low = pivot;
        ties = k - above;
        break;
      } else {
        high = pivot - 1;
        above_high = at_pivot;
      }
    }
    keep(low, ties, group);
    bar = low;
    has_bar = true;
  }

  /**
   * Returns a pivot in [low, high] that about `wanted` of the `size` candidates
   * there reach, estimated from 32 samples; `otherwise` if no sample is in that
   * range. All simdgroups find the same pivot.
   */
  METAL_FUNC Key sampled(
      Key low,
      Key high,
      uint wanted,
      uint size,
      thread const Group& group,
      Key otherwise) const thread {
    Key mine = keys[group.lane * count / simd_size];
    uint better = 0;
    uint inside = 0;
    for (uint i = 0; i < simd_size; ++i) {
      Key other = keys[i * count / simd_size];
      bool counts = other >= low && other <= high;
      bool before = other > mine || (other == mine && i < group.lane);
      better += uint(counts && before);
      inside += uint(counts);
    }
    bool chosen = mine >= low && mine <= high &&
        better == min(wanted * inside / size, inside - 1);
    Key pivot = simd_greatest(chosen ? mine : Key(0));
    return inside == 0 ? otherwise : pivot;
  }

  /**
   * Returns how many candidates are better than the pivot. `at_pivot` becomes
   * the number of those that are at least as good.
   */
  METAL_FUNC uint count_above(
      Key pivot,
      thread uint& at_pivot,
      thread Group& group) const thread {
    uint both = 0; // Two counts in one word: each is less than 65,536.
    for (uint i = group.thread_index; i < count; i += group_threads) {
      Key key = keys[i];
      both += uint(key > pivot) + (uint(key >= pivot) << 16);
    }
    both = group.total(both);
    at_pivot = both >> 16;
    return both & 0xffffu;
  }

  /**
   * Keeps, in order, the candidates better than `low` and the first `ties` of
   * those equal to it. Works in place, one block at a time: a block is read
   * before the barrier in group.before(), and writes never go past what has
   * been read.
   */
  METAL_FUNC void keep(Key low, uint ties, thread Group& group) thread {
    uint kept = 0; // How many better than `low` there were so far,
    uint equal = 0; // and how many equal to it.
    for (uint first = 0; first < count;
         first += group_threads * kept_elements) {
      Key block[kept_elements];
      uint places[kept_elements];
      uint both = 0;
      TOPK_UNROLL
      for (uint j = 0; j < kept_elements; ++j) {
        uint i = first + group.thread_index * kept_elements + j;
        block[j] = 0;
        places[j] = 0;
        if (i < count) {
          block[j] = keys[i];
          places[j] = positions[i];
          both += uint(block[j] > low) + (uint(block[j] == low) << 16);
        }
      }
      uint total;
      uint before = group.before(both, total);
      uint better_before = kept + (before & 0xffffu);
      uint equal_before = equal + (before >> 16);
      TOPK_UNROLL
      for (uint j = 0; j < kept_elements; ++j) {
        uint i = first + group.thread_index * kept_elements + j;
        bool better = i < count && block[j] > low;
        bool as_good = i < count && block[j] == low;
        if (better || (as_good && equal_before < ties)) {
          uint slot = better_before + min(equal_before, ties);
          keys[slot] = block[j];
          positions[slot] = places[j];
        }
        better_before += uint(better);
        equal_before += uint(as_good);
      }
      kept += total & 0xffffu;
      equal += total >> 16;
    }
    count = kept + min(equal, ties);
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
};
