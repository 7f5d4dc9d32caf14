// Copyright © 2026 the mlx-topk authors. MIT licence.

// Completes a partition whose best elements have been selected.

#pragma once

#include "mlx/backend/metal/kernels/topk.h"

/**
 * Writes the k best elements in the order in which `best` lists their
 * positions. After them writes all other elements, in the order of the row.
 * Threadgroup x handles the x-th segment of a row.
 */
template <typename Order>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_rest(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* values [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    const device uint* best [[buffer(6)]],
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
  uint first = segment.first;
  uint size = segment.end - first;
  RowStart start = row_start(number, args, axes);
  Row<Order> row = row_at<Order>(in, start, args);
  Output<Order> out = output_at<Order>(values, indices, start, args);
  Group group = {partial, thread_index, simd, lane, 0};
  best += number * args.k;

  uint selected = 0; // How many of the best are before this segment.
  for (uint i = thread_index; i < args.k; i += group_threads) {
    uint position = best[i];
    selected += uint(position < first);
    if (group_position.x == 0) {
      out.put(i, position, row);
    }
  }
  uint rank = args.k + first - group.total(selected);
  uint worst = best[args.k - 1];
  Key bound = row.key(worst);
  // In each round a simdgroup takes `thread_elements` lines of one element per
  // lane, so that lanes read and write neighbouring elements together.
  constexpr uint lines = thread_elements;
  constexpr uint block = group_threads * lines;
  uint rounds = (size + block - 1) / block;
  for (uint i = 0; i < rounds; ++i) {
    uint mine = i * block + simd * simd_size * lines + lane;
    uint others = 0; // Bit j is set if the element of line j was not selected.
    uint places[lines];
    uint count = 0; // How many elements of these lines were not selected.
    TOPK_UNROLL
    for (uint j = 0; j < lines; ++j) {
      bool other = false;
      if (mine + j * simd_size < size) {
        uint position = first + mine + j * simd_size;
        Key key = row.key(position);
        other = key < bound || (key == bound && position > worst);
      }
      uint votes = votes_of<simd_size>(other, lane);
      others |= uint(other) << j;
      places[j] = count + popcount(votes & ((1u << lane) - 1u));
      count += popcount(votes);
    }
    uint total;
    // The last lane speaks for its simdgroup, so that all lanes get the sum of
    // the simdgroups before theirs.
    uint at = rank + group.before(lane == simd_size - 1 ? count : 0u, total);
    TOPK_UNROLL
    for (uint j = 0; j < lines; ++j) {
      if (((others >> j) & 1u) != 0) {
        out.put(at + places[j], first + mine + j * simd_size, row);
      }
    }
    rank += total;
  }
}
