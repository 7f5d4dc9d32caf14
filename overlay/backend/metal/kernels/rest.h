// Copyright © 2026 the mlx-topk authors. MIT licence.

// Completes a partition whose best elements have been selected.

#pragma once

#include "mlx/backend/metal/kernels/topk.h"

/**
 * Elements of a thread. A simdgroup has lines of one element per lane, so that
 * lanes read and write neighbouring elements together.
 */
template <typename Order>
struct Lines {
  typedef typename Order::Word Word;
  enum : uint { count = thread_elements };

  Word words[count];
  uint start; // The position of the thread's element of the first line.
  uint end; // The position after the last element of the segment.

  // Both factors fit into 32 bits. A 64-bit product takes more instructions.
  static METAL_FUNC int64_t offset(uint place, int64_t stride) {
    return int64_t(int(place)) * int64_t(int(stride));
  }

  METAL_FUNC uint position(uint line) const thread {
    return start + line * simd_size;
  }

  METAL_FUNC void load(thread const Row<Order>& row) thread {
    TOPK_UNROLL
    for (ushort i = 0; i < count; ++i) {
      words[i] = 0;
      if (position(i) < end) {
        words[i] = row.in[offset(position(i), row.stride)];
      }
    }
  }

  /** Returns a bit for each element that comes after `last`. */
  METAL_FUNC uint after(
      Ranked<typename Order::Key> last,
      thread const Row<Order>& row) const thread {
    uint found = 0;
    TOPK_UNROLL
    for (ushort i = 0; i < count; ++i) {
      typedef Ranked<typename Order::Key> Element;
      auto key = Loose<Order>::exact_key(words[i], row.flip);
      bool later = before(last, Element::of(key, position(i)));
      found |= uint(later && position(i) < end) << i;
    }
    return found;
  }

  /** Writes element i to places[i], if `chosen` has a bit for it. */
  METAL_FUNC void write(
      uint chosen,
      thread const uint* places,
      thread const Output<Order>& out) const thread {
    if (out.writes_values) {
      TOPK_UNROLL
      for (ushort i = 0; i < count; ++i) {
        if (((chosen >> i) & 1u) != 0) {
          out.values[offset(places[i], out.stride)] = words[i];
        }
      }
    }
    if (out.writes_indices) {
      TOPK_UNROLL
      for (ushort i = 0; i < count; ++i) {
        if (((chosen >> i) & 1u) != 0) {
          uint index = out.mirrored ? out.last - position(i) : position(i);
          out.indices[offset(places[i], out.stride)] = index;
        }
      }
    }
  }
};

/**
 * Writes the k best elements in the order in which `best` lists their
 * positions. After them writes all other elements, in the order of the row.
 * Threadgroup x handles the x-th segment of a row. The axis has strides that
 * fit into 32 bits.
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
  typedef Ranked<typename Order::Key> Element;
  typedef Lines<Order> Elements;
  TOPK_SHARED uint partial[2 * group_simds];
  uint64_t number = row_of_group(group_position, groups);
  if (number >= args.rows) {
    return;
  }
  Segment segment = segment_at(group_position.x, args);
  RowStart start = row_start(number, args, axes);
  Row<Order> row = row_at<Order>(in, start, args);
  Output<Order> out = output_at<Order>(values, indices, start, args);
  Group group = {partial, thread_index, simd, lane, 0};
  best += number * args.k;

  Elements mine;
  mine.start = segment.first + simd * simd_size * Elements::count + lane;
  mine.end = segment.end;
  mine.load(row); // Long before these elements are needed.
  uint selected = 0; // How many of the best are before this segment.
  for (uint i = thread_index; i < args.k; i += group_threads) {
    uint position = best[i];
    selected += uint(position < segment.first);
    if (group_position.x == 0) {
      out.put(i, position, row);
    }
  }
  uint worst = best[args.k - 1];
  Element last = Element::of(row.key(worst), worst);
  uint rank = args.k + segment.first - group.total(selected);
  constexpr uint block = group_threads * Elements::count;
  uint rounds = (segment.end - segment.first + block - 1) / block;
  for (uint round = 0; round < rounds; ++round) {
    if (round > 0) {
      mine.start += block;
      mine.load(row);
    }
    uint others = mine.after(last, row);
    uint places[Elements::count];
    uint count = 0; // How many elements of these lines were not selected.
    TOPK_UNROLL
    for (ushort i = 0; i < Elements::count; ++i) {
      uint votes = votes_of<simd_size>(((others >> i) & 1u) != 0, lane);
      places[i] = count + popcount(votes & ((1u << lane) - 1u));
      count += popcount(votes);
    }
    // Only the last lane passes the count, so that before() returns to every
    // lane the sum over the simdgroups before its own.
    uint total;
    uint before_simd = group.before(lane == simd_size - 1u ? count : 0u, total);
    TOPK_UNROLL
    for (ushort i = 0; i < Elements::count; ++i) {
      places[i] += rank + before_simd;
    }
    mine.write(others, places, out);
    rank += total;
  }
}
