// Copyright © 2026 the mlx-topk authors. MIT licence.

// Kernels with one or more threadgroups per row, which read it once.

#pragma once

#include "mlx/backend/metal/kernels/topk/candidates.h"
#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/results.h"
#include "mlx/backend/metal/kernels/topk/rows.h"
#include "mlx/backend/metal/kernels/topk/stream.h"

template <typename Key>
METAL_FUNC Candidates<Key> no_candidates(
    threadgroup Key* keys,
    threadgroup uint* positions,
    const constant TopKArguments& args) {
  return {keys, positions, 0, args.capacity, args.k, false, 0};
}

template <typename Order>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_resident(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* values [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    threadgroup typename Order::Key* keys [[threadgroup(0)]],
    threadgroup uint* positions [[threadgroup(1)]],
    uint3 group_position [[threadgroup_position_in_grid]],
    uint3 groups [[threadgroups_per_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  TOPK_SHARED uint partial[2 * group_simds];
  uint64_t number = row_of_group(group_position, groups);
  if (number >= args.rows) {
    return;
  }
  RowStart start = row_start(number, args, axes);
  Row<Order> row = row_at<Order>(in, start, args);
  Group group = {partial, thread_index, simd, lane, 0};
  Candidates<typename Order::Key> candidates =
      no_candidates(keys, positions, args);
  add_all(row, {0, args.axis_size}, candidates, group);
  RowResults<Order> results = {
      row,
      output_at<Order>(values, indices, start, args),
      args.k,
      args.sorted != 0};
  put_best(candidates, results.order(), group, results);
}

/** Threadgroup x of a row selects from its x-th segment. */
template <typename Order>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_split(
    const device typename Order::Word* in [[buffer(0)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    device typename Order::Key* found_keys [[buffer(5)]],
    device uint* found_positions [[buffer(6)]],
    threadgroup typename Order::Key* keys [[threadgroup(0)]],
    threadgroup uint* positions [[threadgroup(1)]],
    uint3 group_position [[threadgroup_position_in_grid]],
    uint3 groups [[threadgroups_per_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  typedef typename Order::Key Key;
  TOPK_SHARED uint partial[2 * group_simds];
  uint64_t number = row_of_group(group_position, groups);
  if (number >= args.rows) {
    return;
  }
  Segment segment = segment_at(group_position.x, args);
  Row<Order> row = row_at<Order>(in, row_start(number, args, axes), args);
  Group group = {partial, thread_index, simd, lane, 0};
  Candidates<Key> candidates = no_candidates(keys, positions, args);
  add_all(row, segment, candidates, group);
  uint64_t at = (number * args.segments + group_position.x) * args.k;
  SegmentResults<Key> results = {found_keys + at, found_positions + at};
  put_best(candidates, of_stream, group, results);
}

template <typename Order>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_merge(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* values [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    const device typename Order::Key* found_keys [[buffer(5)]],
    const device uint* found_positions [[buffer(6)]],
    threadgroup typename Order::Key* keys [[threadgroup(0)]],
    threadgroup uint* positions [[threadgroup(1)]],
    uint3 group_position [[threadgroup_position_in_grid]],
    uint3 groups [[threadgroups_per_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  typedef typename Order::Key Key;
  TOPK_SHARED uint partial[2 * group_simds];
  uint64_t number = row_of_group(group_position, groups);
  if (number >= args.rows) {
    return;
  }
  RowStart start = row_start(number, args, axes);
  Group group = {partial, thread_index, simd, lane, 0};
  Candidates<Key> candidates = no_candidates(keys, positions, args);
  uint size = args.segments * args.k;
  uint64_t at = number * size;
  Found<Key> found = {found_keys + at, found_positions + at};
  add_all(found, {0, size}, candidates, group);
  RowResults<Order> results = {
      row_at<Order>(in, start, args),
      output_at<Order>(values, indices, start, args),
      args.k,
      args.sorted != 0};
  put_best(candidates, results.order(), group, results);
}
