// Copyright © 2026 the mlx-topk authors. MIT licence.

// Selects from long rows with several threadgroups per row.
//
//   topk_bound_split  A threadgroup finds the elements of its segment that
//                     reach a bound. At least `share` elements reach the bound.
//   topk_bound_merge  A threadgroup orders the elements that were found in a
//                     row. It also checks whether all of the k best were found.
//                     If a segment may have had more of them than were found
//                     there, the threadgroup streams the row, as topk_resident
//                     does.

#pragma once

#include "mlx/backend/metal/kernels/topk/bound.h"
#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/maxima.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/place.h"
#include "mlx/backend/metal/kernels/topk/ranked.h"
#include "mlx/backend/metal/kernels/topk/rows.h"
#include "mlx/backend/metal/kernels/topk/tile.h"

/**
 * Writes the elements that are found to device memory. There a row has `room`
 * slots for each segment. One more slot for each segment follows: its limit.
 * All elements of the segment that come before the limit were found.
 */
template <typename K>
struct FoundThere {
  typedef K Key;

  device Key* keys;
  device uint* positions;

  METAL_FUNC void put(uint slot, Key key, uint position) const thread {
    keys[slot] = key;
    positions[slot] = position;
  }
};

// The position of an empty slot.
enum : uint { no_position = ~0u };

template <typename Order, ushort N, ushort groups, bool dense, bool loops>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_bound_split(
    const device typename Order::Word* in [[buffer(0)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    device typename Order::Key* found_keys [[buffer(5)]],
    device uint* found_positions [[buffer(6)]],
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
  uint64_t number = row_of_group(group_position, group_count);
  if (number >= args.rows) {
    return;
  }
  uint segment = group_position.x;
  uint room = args.room;
  RowStart start = start_of_row(number, args, axes);
  Row<Order> row = row_at<Order>(in, start, args);
  Group group = {partial, thread_index, simd, lane, 0};
  uint64_t of_row = number * args.segments * (room + 1u);
  uint64_t at = of_row + segment * room;
  FoundThere<Key> found = {found_keys + at, found_positions + at};

  Survey<Order, N, dense, loops> survey;
  survey.tile = {row, args.axis_size, segment, args.segments, thread_index};
  Key maxima[groups];
  survey.template find_maxima<groups>(maxima);
  Key bound = bound_of<groups>(maxima, args.share, runs, counts, group);
  bool complete;
  uint count =
      survey.find_best(bound, args.wanted, room, votes, found, group, complete);
  Ranked<Key> last = Ranked<Key>::of(bound, no_position);
  if (count > room) { // No element is certain to have been found.
    last = Ranked<Key>::of(~Key(0), 0);
    count = 0;
  } else if (count > args.wanted && !complete) {
    last = Ranked<Key>::of(bound, 0); // Only greater elements were found.
  } else if (!complete) {
    threadgroup_barrier(mem_flags::mem_device);
    last = Ranked<Key>::of(found.keys[count - 1u], found.positions[count - 1u]);
  }
  for (uint i = count + thread_index; i < room; i += group_threads) {
    found.put(i, 0, no_position);
  }
  if (thread_index == 0) {
    uint64_t extent = of_row + args.segments * room + segment;
    found_keys[extent] = last.key();
    found_positions[extent] = last.position();
  }
}

/**
 * Copies the elements of the slots that are not empty to threadgroup memory, as
 * far as there is room. Returns how many such slots there are.
 */
template <ushort count, typename Key>
METAL_FUNC uint gather_found(
    const device Key* found_keys,
    const device uint* found_positions,
    uint slots,
    uint capacity,
    threadgroup Key* keys,
    threadgroup uint* positions,
    thread Group& group) {
  uint found = 0;
  for (uint first = 0; first < slots; first += count * group_threads) {
    Key mine[count];
    uint places[count];
    uint there = 0;
    TOPK_UNROLL
    for (ushort i = 0; i < count; ++i) {
      uint slot = first + i * group_threads + group.thread_index;
      places[i] = no_position;
      if (slot < slots) {
        mine[i] = found_keys[slot];
        places[i] = found_positions[slot];
      }
      there += uint(places[i] != no_position);
    }
    uint total;
    uint slot = found + group.before(there, total);
    TOPK_UNROLL
    for (ushort i = 0; i < count; ++i) {
      if (places[i] != no_position && slot < capacity) {
        keys[slot] = mine[i];
        positions[slot] = places[i];
        ++slot;
      }
    }
    found += total;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return found;
}

/**
 * Merges the slots of all segments. A thread reads `count` slots at a time. The
 * capacity is at most 256 * count.
 */
template <typename Order, ushort count>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_bound_merge(
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
    uint3 group_count [[threadgroups_per_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  typedef typename Order::Key Key;
  TOPK_SHARED uint partial[2 * group_simds];
  TOPK_SHARED atomic_uint buckets[bucket_count];
  TOPK_SHARED Key ends[2 * group_simds];
  TOPK_SHARED Ranked<Key> worst[1];
  uint64_t number = row_of_group(group_position, group_count);
  if (number >= args.rows) {
    return;
  }
  RowStart start = start_of_row(number, args, axes);
  Group group = {partial, thread_index, simd, lane, 0};
  BoundResults<Order> results = {
      row_at<Order>(in, start, args),
      output_at<Order>(values, indices, start, args),
      args.k,
      args.sorted != 0,
      worst};
  uint slots = args.segments * args.room;
  uint64_t of_row = number * (slots + args.segments);
  uint total = gather_found<count>(
      found_keys + of_row,
      found_positions + of_row,
      slots,
      args.capacity,
      keys,
      positions,
      group);
  uint missed = uint(total < args.k || total > args.capacity);
  if (missed == 0) {
    Placing<Key> placing = {keys, positions, buckets, ends};
    place_best<count>(total, args.k, placing, group, results);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint64_t extent = of_row + slots;
    for (uint i = thread_index; i < args.segments; i += group_threads) {
      Ranked<Key> last =
          Ranked<Key>::of(found_keys[extent + i], found_positions[extent + i]);
      missed += uint(before(last, worst[0]));
    }
  }
  if (group.total(missed) != 0) {
    threadgroup_barrier(mem_flags::mem_device);
    stream_row(results, keys, positions, args, group);
  }
}
