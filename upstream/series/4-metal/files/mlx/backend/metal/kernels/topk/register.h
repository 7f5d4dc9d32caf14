// Copyright © 2026 the mlx-topk authors. MIT licence.

// Selects with one simdgroup per row. It keeps the row in registers and takes
// the best element k times. There is no barrier.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/rows.h"

/** The elements of a row that one lane holds, which are every 32nd. */
template <typename Key, ushort N>
struct LaneElements {
  Key keys[N];
  uint live; // Bit i is set if keys[i] is an element that was not yet taken.

  /** Returns the slot of the first best element; N if there is none. */
  METAL_FUNC ushort best(thread Key& key) const thread {
    ushort slot = N;
    key = 0;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      bool better = slot == N || keys[i] > key;
      if (((live >> i) & 1u) != 0 && better) {
        key = keys[i];
        slot = i;
      }
    }
    return slot;
  }
};

/** Writes the elements that were not taken, after the k that were. */
template <typename Order, ushort N>
METAL_FUNC void put_rest(
    LaneElements<typename Order::Key, N> elements,
    thread const Row<Order>& row,
    thread const Output<Order>& out,
    uint k,
    uint lane) {
  uint rank = k;
  TOPK_UNROLL
  for (ushort i = 0; i < N; ++i) {
    uint one = (elements.live >> i) & 1u;
    uint before = simd_prefix_exclusive_sum(one);
    if (one != 0) {
      out.put(rank + before, uint(i) * simd_size + lane, row);
    }
    rank += simd_sum(one);
  }
}

/** Selects from rows of up to 32 N elements, for k up to 32. */
template <typename Order, ushort N>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_register(
    uint3 group [[threadgroup_position_in_grid]],
    uint3 groups [[threadgroups_per_grid]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* values [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]]) {
  typedef typename Order::Key Key;
  static_assert(N <= 32, "`live` has one bit for each element");
  uint64_t number = row_of_group(group, groups) * simds + simd;
  if (number >= args.rows) {
    return;
  }
  RowStart start = row_start(number, args, axes);
  Row<Order> row = row_at<Order>(in, start, args);
  Output<Order> out = output_at<Order>(values, indices, start, args);

  LaneElements<Key, N> elements;
  elements.live = 0;
  TOPK_UNROLL
  for (ushort i = 0; i < N; ++i) {
    uint position = uint(i) * simd_size + lane;
    elements.keys[i] = 0;
    if (position < args.axis_size) {
      elements.keys[i] = row.key(position);
      elements.live |= 1u << i;
    }
  }

  uint mine = 0; // In lane j: the position of the j-th best element.
  for (uint rank = 0; rank < args.k; ++rank) {
    Key key;
    ushort slot = elements.best(key);
    Key top = simd_greatest(key);
    // An empty lane reports key 0 and position N * 32 + lane. An element with
    // key 0 has a lower position, so an empty lane never wins.
    uint position = key == top ? uint(slot) * simd_size + lane : ~0u;
    uint winner = simd_min(position);
    if (position == winner) {
      elements.live &= ~(1u << slot);
    }
    if (lane == rank) {
      mine = winner;
    }
  }
  if (lane < args.k) {
    out.put(lane, mine, row);
  }
  if (args.writes_rest != 0) {
    put_rest<Order, N>(elements, row, out, args.k, lane);
  }
}
