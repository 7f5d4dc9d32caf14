// Copyright © 2026 the mlx-topk authors. MIT licence.

// Selects from rows with a threadgroup per row. The elements are divided into
// groups. The bound is the k-th greatest of the groups' maxima. At least k
// elements reach the bound, and usually not many more. Only these elements are
// ordered. If there is no room for them, topk_bound streams the row instead.

#pragma once

#include "mlx/backend/metal/kernels/topk/candidates.h"
#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/maxima.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/place.h"
#include "mlx/backend/metal/kernels/topk/ranked.h"
#include "mlx/backend/metal/kernels/topk/results.h"
#include "mlx/backend/metal/kernels/topk/rows.h"
#include "mlx/backend/metal/kernels/topk/stream.h"
#include "mlx/backend/metal/kernels/topk/threadgroup.h"
#include "mlx/backend/metal/kernels/topk/tile.h"

/** Writes a row's results, best first if `sorted`, otherwise worst first. */
template <typename Order>
struct BoundResults {
  typedef typename Order::Key Key;

  Row<Order> row;
  Output<Order> out;
  uint k;
  bool sorted;
  threadgroup Ranked<Key>* worst; // The k-th best is written here, too.

  METAL_FUNC void put(uint rank, Ranked<Key> one) const thread {
    put(rank, one.key(), one.position());
    if (rank == k - 1u) {
      *worst = one;
    }
  }

  METAL_FUNC void put(uint rank, Key, uint position) const thread {
    out.put(sorted ? rank : k - 1u - rank, position, row);
  }
};

/** Writes the elements that are found to threadgroup memory. */
template <typename Key>
struct FoundHere {
  threadgroup Key* keys;
  threadgroup uint* positions;

  METAL_FUNC void put(uint slot, Key key, uint position) const thread {
    keys[slot] = key;
    positions[slot] = position;
  }
};

/** Selects by reading the whole row once more, which works for every row. */
template <typename Order>
METAL_FUNC void stream_row(
    thread const BoundResults<Order>& results,
    threadgroup typename Order::Key* keys,
    threadgroup uint* positions,
    const constant TopKArguments& args,
    thread Group& group) {
  Candidates<typename Order::Key> candidates =
      no_candidates(keys, positions, args);
  add_all(results.row, {0, args.axis_size}, candidates, group);
  put_best(candidates, best_first, group, results);
}

/**
 * Each thread has N elements in registers and finds `groups` maxima. The kernel
 * is fast if k is at most half of the 256 * groups maxima.
 */
template <typename Order, ushort N, ushort groups, bool dense, bool loops>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_bound(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* values [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    threadgroup typename Order::Key* keys [[threadgroup(0)]],
    threadgroup uint* positions [[threadgroup(1)]],
    uint3 group_position [[threadgroup_position_in_grid]],
    uint3 group_count [[threadgroups_per_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  typedef typename Order::Key Key;
  TOPK_SHARED uint partial[2 * group_simds];
  TOPK_SHARED Key runs[groups * group_threads];
  TOPK_SHARED uint counts[group_threads];
  TOPK_SHARED uint votes[N * group_simds];
  TOPK_SHARED atomic_uint buckets[bucket_count];
  TOPK_SHARED Key ends[2 * group_simds];
  TOPK_SHARED Ranked<Key> worst[1];
  uint64_t number = row_of_group(group_position, group_count);
  if (number >= args.rows) {
    return;
  }
  RowStart start = start_of_row(number, args, axes);
  Row<Order> row = row_at<Order>(in, start, args);
  Group group = {partial, thread_index, simd, lane, 0};
  BoundResults<Order> results = {
      row,
      output_at<Order>(values, indices, start, args),
      args.k,
      args.sorted != 0,
      worst};

  Survey<Order, N, dense, loops> survey;
  survey.tile = {row, args.axis_size, 0, 1, thread_index};
  Key maxima[groups];
  survey.template find_maxima<groups>(maxima);
  Key bound = bound_of<groups>(maxima, args.k, runs, counts, group);
  FoundHere<Key> here = {keys, positions};
  bool complete;
  uint count = survey.find_best(
      bound, args.k, args.capacity, votes, here, group, complete);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (count > args.capacity) {
    stream_row(results, keys, positions, args, group);
    return;
  }
  Placing<Key> placing = {keys, positions, buckets, ends};
  place_best<4>(count, args.k, placing, group, results);
}
