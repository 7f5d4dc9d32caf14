// Copyright © 2026 the mlx-topk authors. MIT licence.

// Orders a few thousand candidates in one threadgroup. They are divided into
// buckets, each of which has a range of keys. The rank of a candidate is the
// size of the better buckets plus the number of better ones in its own bucket.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/ranked.h"

enum : uint {
  bucket_count = 1024,
  thread_buckets = bucket_count / group_threads,
  // If a bucket has more candidates, sorting all is faster than counting.
  full_bucket = 384,
  // Up to this many candidates are ordered by counting, without buckets.
  counted_candidates = 96,
};

/** The candidates, and the other threadgroup memory of place_best. */
template <typename K>
struct Placing {
  typedef K Key;

  threadgroup Key* keys;
  threadgroup uint* positions;
  threadgroup atomic_uint* buckets; // Of bucket_count words.
  threadgroup Key* ends; // Of 2 * group_simds keys.

  METAL_FUNC Ranked<Key> at(uint i) const thread {
    return Ranked<Key>::of(keys[i], positions[i]);
  }

  METAL_FUNC void set(uint i, Ranked<Key> rank) const thread {
    keys[i] = rank.key();
    positions[i] = rank.position();
  }

  /** Returns how many of the candidates [first, end) come before `mine`. */
  METAL_FUNC uint
  preceding_in(uint first, uint end, Ranked<Key> mine) const thread {
    uint rank = 0;
    for (uint j = first; j < end; ++j) {
      rank += uint(before(at(j), mine));
    }
    return rank;
  }
};

/** A thread's copy of up to `count` candidates: every group_threads-th. */
template <typename Key, ushort count>
struct ThreadCandidates {
  Ranked<Key> ranks[count];
  uint total; // How many candidates the threadgroup has.
  uint thread_index;

  METAL_FUNC bool has(uint i) const thread {
    return i * group_threads + thread_index < total;
  }

  METAL_FUNC void load(thread const Placing<Key>& from) thread {
    TOPK_UNROLL
    for (ushort i = 0; i < count; ++i) {
      if (has(i)) {
        ranks[i] = from.at(i * group_threads + thread_index);
      }
    }
  }
};

/** Says in which bucket a key belongs. The greatest keys are in bucket 0. */
template <typename Key>
struct Buckets {
  Key high;
  uint shift;

  METAL_FUNC uint of(Key key) const thread {
    if (key >= high) {
      return 0;
    }
    Key bucket = (high - key) >> shift;
    return bucket < Key(bucket_count) ? uint(bucket) : bucket_count - 1u;
  }
};

/** Returns the number of bits of x without its leading zeros. */
METAL_FUNC uint bits_of(uint x) {
  return 32u - clz(x);
}
METAL_FUNC uint bits_of(ulong x) {
  uint high = uint(x >> 32);
  return high != 0 ? 32u + bits_of(high) : bits_of(uint(x));
}

/**
 * Returns buckets for a range of keys, estimated from one key of each thread.
 * The range ends at the third greatest of the simdgroups' maxima, so that two
 * outliers do not widen it. Greater keys are in bucket 0, and smaller keys in
 * the last one.
 */
template <typename Key>
METAL_FUNC Buckets<Key> buckets_between(
    Key sample,
    bool has_sample,
    thread const Placing<Key>& placing,
    thread const Group& group) {
  Key most = simd_greatest(has_sample ? sample : Key(0));
  Key least = ~simd_greatest(has_sample ? ~sample : Key(0));
  if (group.lane == 0) {
    placing.ends[group.simd] = most;
    placing.ends[group_simds + group.simd] = least;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  Key first = 0;
  Key second = 0;
  Key third = 0;
  Key low = ~Key(0);
  TOPK_UNROLL
  for (uint i = 0; i < group_simds; ++i) {
    Key one = placing.ends[i];
    third = max(third, min(second, one));
    second = max(second, min(first, one));
    first = max(first, one);
    low = min(low, placing.ends[group_simds + i]);
  }
  Key high = max(third, low);
  uint bits = bits_of(high - low);
  return {high, bits > 10u ? bits - 10u : 0u};
}

/**
 * Sorts all candidates by a bitonic sort whose comparisons all have the same
 * direction. Padding would stay at the end, so that none is needed.
 */
template <typename Key>
METAL_FUNC void sort_all(
    uint count,
    thread const Placing<Key>& placing,
    thread const Group& group) {
  uint size = 1;
  while (size < count) {
    size *= 2;
  }
  for (uint run = 2; run <= size; run *= 2) {
    for (uint step = run / 2; step > 0; step /= 2) {
      threadgroup_barrier(mem_flags::mem_threadgroup);
      for (uint t = group.thread_index; t < size / 2; t += group_threads) {
        uint i = 2 * t - (t & (step - 1));
        // The first step compares the two halves of a run in mirrored order.
        uint j = step == run / 2 ? i ^ (run - 1) : i + step;
        if (j < count) {
          Ranked<Key> a = placing.at(i);
          Ranked<Key> b = placing.at(j);
          if (before(b, a)) {
            placing.set(i, b);
            placing.set(j, a);
          }
        }
      }
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
}

/**
 * Counts the candidates of each bucket, and then sets the bucket's word to the
 * number of candidates in better buckets. Returns whether a bucket that may
 * have one of the k best has more than full_bucket candidates.
 */
template <typename Key, ushort count>
METAL_FUNC bool begin_buckets(
    thread const ThreadCandidates<Key, count>& mine,
    thread const Buckets<Key>& buckets,
    thread const Placing<Key>& placing,
    uint k,
    thread Group& group) {
  TOPK_UNROLL
  for (ushort i = 0; i < count; ++i) {
    if (mine.has(i)) {
      uint bucket = buckets.of(mine.ranks[i].key());
      atomic_fetch_add_explicit(
          placing.buckets + bucket, 1u, memory_order_relaxed);
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  uint sizes[thread_buckets];
  uint sum = 0;
  threadgroup atomic_uint* own =
      placing.buckets + group.thread_index * thread_buckets;
  TOPK_UNROLL
  for (uint i = 0; i < thread_buckets; ++i) {
    sizes[i] = atomic_load_explicit(own + i, memory_order_relaxed);
    sum += sizes[i];
  }
  uint total;
  uint start = group.before(sum, total);
  uint full = 0;
  TOPK_UNROLL
  for (uint i = 0; i < thread_buckets; ++i) {
    full |= uint(sizes[i] > full_bucket && start < k);
    atomic_store_explicit(own + i, start, memory_order_relaxed);
    start += sizes[i];
  }
  return group.total(full) != 0;
}

/**
 * Moves the candidates to their buckets, and calls put() for the k best. Which
 * slot of its bucket a candidate gets depends on the order of the threads, but
 * its rank does not.
 */
template <typename Key, ushort count, typename Put>
METAL_FUNC void place_in_buckets(
    thread const ThreadCandidates<Key, count>& mine,
    thread const Buckets<Key>& buckets,
    thread const Placing<Key>& placing,
    uint k,
    thread const Put& sink) {
  TOPK_UNROLL
  for (ushort i = 0; i < count; ++i) {
    if (mine.has(i)) {
      uint bucket = buckets.of(mine.ranks[i].key());
      uint slot = atomic_fetch_add_explicit(
          placing.buckets + bucket, 1u, memory_order_relaxed);
      placing.set(slot, mine.ranks[i]);
    }
  }
  // The word of each bucket is now the end of its slots.
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint i = mine.thread_index; i < mine.total; i += group_threads) {
    Ranked<Key> one = placing.at(i);
    uint bucket = buckets.of(one.key());
    uint first = 0;
    if (bucket > 0) {
      first = atomic_load_explicit(
          placing.buckets + bucket - 1, memory_order_relaxed);
    }
    if (first >= k) {
      continue;
    }
    uint end =
        atomic_load_explicit(placing.buckets + bucket, memory_order_relaxed);
    uint rank = first + placing.preceding_in(first, end, one);
    if (rank < k) {
      sink.put(rank, one);
    }
  }
}

/**
 * Calls put(rank, candidate) for the k best of `total` candidates. There are at
 * most `count` for each thread. All threads have to call it after a barrier.
 */
template <ushort count, typename Key, typename Put>
METAL_FUNC void place_best(
    uint total,
    uint k,
    thread const Placing<Key>& placing,
    thread Group& group,
    thread const Put& sink) {
  if (total <= counted_candidates) {
    for (uint i = group.thread_index; i < total; i += group_threads) {
      Ranked<Key> mine = placing.at(i);
      uint rank = placing.preceding_in(0, total, mine);
      if (rank < k) {
        sink.put(rank, mine);
      }
    }
    return;
  }
  ThreadCandidates<Key, count> mine;
  mine.total = total;
  mine.thread_index = group.thread_index;
  mine.load(placing);
  TOPK_UNROLL
  for (uint i = 0; i < thread_buckets; ++i) {
    atomic_store_explicit(
        placing.buckets + group.thread_index * thread_buckets + i,
        0u,
        memory_order_relaxed);
  }
  Buckets<Key> buckets =
      buckets_between(mine.ranks[0].key(), mine.has(0), placing, group);
  if (!begin_buckets(mine, buckets, placing, k, group)) {
    place_in_buckets(mine, buckets, placing, k, sink);
    return;
  }
  sort_all(total, placing, group);
  for (uint i = group.thread_index; i < min(k, total); i += group_threads) {
    sink.put(i, placing.at(i));
  }
}
