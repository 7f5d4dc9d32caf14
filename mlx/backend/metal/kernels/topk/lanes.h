// Copyright © 2026 the mlx-topk authors. MIT licence.

// Selects from short rows, with one or more rows per simdgroup. The lanes of a
// row find the greatest of their elements. At least k elements reach the k-th
// greatest of these maxima. Those elements, which are few, are gathered in
// threadgroup memory, and the rank of each is the number of better ones.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/keys.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/ranked.h"
#include "mlx/backend/metal/kernels/topk/rows.h"

/**
 * A row of up to N * width elements in the registers of `width` lanes. Other
 * lanes of the simdgroup have other rows. A dense row is contiguous.
 */
template <typename Order, ushort N, ushort width, bool dense>
struct LaneRow {
  typedef typename Order::Key Key;
  typedef Ranked<Key> Rank;

  // The lane's i-th element is at position i * width + lane % width.
  Key keys[N];
  uint there; // Bit i is set if the lane has an i-th element.
  uint k;
  uint lane;

  METAL_FUNC uint position(uint i) const thread {
    return i * width + lane % width;
  }

  METAL_FUNC bool has(uint i) const thread {
    return ((there >> i) & 1u) != 0;
  }

  METAL_FUNC void load(thread const Row<Order>& row, uint size) thread {
    uint count = (size + width - 1u - lane % width) / width;
    there = count < 32u ? (1u << count) - 1u : ~0u;
    if (size >= N * width) {
      read_all(row);
    } else {
      read_part(row, size);
    }
  }

  METAL_FUNC void read_all(thread const Row<Order>& row) thread {
    typename Order::Word words[N];
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      words[i] = read(row, i);
    }
    set_keys(words, row.flip);
  }

  METAL_FUNC void read_part(thread const Row<Order>& row, uint size) thread {
    typename Order::Word words[N];
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      words[i] = Loose<Order>::worst(row.flip);
      if (position(i) < size) {
        words[i] = read(row, i);
      }
    }
    set_keys(words, row.flip);
  }

  METAL_FUNC void set_keys(thread const typename Order::Word* words, Key flip)
      thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      keys[i] = Loose<Order>::exact_key(words[i], flip);
    }
  }

  METAL_FUNC typename Order::Word read(thread const Row<Order>& row, uint i)
      const thread {
    int64_t stride = dense ? 1 : row.stride;
    const device typename Order::Word* first =
        row.in + int64_t(lane % width) * stride;
    return first[int64_t(i * width) * stride];
  }

  /**
   * Returns the k-th greatest of the row's maxima, or 0 if it has fewer. With
   * two groups, a lane has two maxima: that of its elements with an even number
   * and that of the others.
   */
  template <ushort groups>
  METAL_FUNC Key bound() const thread {
    uint first = lane / width * width;
    Key most = 0;
    Key others = 0;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      if (i % groups == 0) {
        most = max(most, keys[i]);
      } else {
        others = max(others, keys[i]);
      }
    }
    Key order = sorted_keys<width>(most, lane);
    if (groups > 1) {
      Key other = sorted_keys<width>(others, lane);
      order = max(order, of_lane(other, first + width - 1 - lane % width));
      order = merged_keys<width>(order, lane);
    }
    return of_lane(order, first + k - 1);
  }

  /** Returns a bit for each of this lane's elements that reach `bound`. */
  METAL_FUNC uint reaching(Key bound) const thread {
    uint passing = 0;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      passing |= uint(keys[i] >= bound) << i;
    }
    return passing & there;
  }

  /**
   * Returns reaching(bound) without the elements that equal the bound and come
   * after k other elements in the order of results.
   */
  METAL_FUNC uint reaching_first(Key bound) const thread {
    uint passing = 0;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      passing |= uint(keys[i] > bound) << i;
    }
    passing &= there;
    uint greater = sum_up_to<width>(popcount(passing), lane);
    greater = of_lane(greater, lane / width * width + width - 1);
    uint below = (1u << (lane % width)) - 1u;
    uint rank = greater; // The rank of the next element equal to the bound.
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      bool equal = keys[i] == bound && has(i);
      uint votes = votes_of<width>(equal, lane);
      bool kept = equal && rank + popcount(votes & below) < k;
      passing |= uint(kept) << i;
      rank += popcount(votes);
    }
    return passing;
  }

  /** Writes the elements in `passing` to `slot` and the slots after it. */
  METAL_FUNC void gather(uint passing, threadgroup Rank* slot) const thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      if (((passing >> i) & 1u) != 0) {
        *slot = Rank::of(keys[i], position(i));
        ++slot;
      }
    }
  }

  /**
   * Returns the best of the elements that the row has left, and removes it from
   * `left`, which has a bit for each element of this lane.
   */
  METAL_FUNC Rank take_best(thread uint& left) const thread {
    Key best = 0;
    uint slot = N;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      bool better = slot == N || keys[i] > best;
      if (((left >> i) & 1u) != 0 && better) {
        best = keys[i];
        slot = i;
      }
    }
    uint own = slot < N ? position(slot) : ~0u;
    uint first = own;
    TOPK_UNROLL
    for (uint step = width / 2; step > 0; step /= 2) {
      Key key = exchanged(best, step);
      uint other = exchanged(first, step);
      if (key > best || (key == best && other < first)) {
        best = key;
        first = other;
      }
    }
    if (own == first && slot < N) {
      left &= ~(1u << slot);
    }
    return Rank::of(best, first);
  }

  /**
   * Writes the elements that come after `worst`, the k-th best, to the output
   * from place k on. They keep the order of the row.
   */
  METAL_FUNC void put_rest(
      Rank worst,
      thread const Row<Order>& row,
      thread const Output<Order>& out) const thread {
    uint below = (1u << (lane % width)) - 1u;
    uint rank = k;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      bool other = has(i) && before(worst, Rank::of(keys[i], position(i)));
      uint votes = votes_of<width>(other, lane);
      if (other) {
        out.put(rank + popcount(votes & below), position(i), row);
      }
      rank += popcount(votes);
    }
  }
};

/** Writes a row's results, best first if `sorted`, otherwise worst first. */
template <typename Order>
struct LaneResults {
  Row<Order> row;
  Output<Order> out;
  uint k;
  bool sorted;

  METAL_FUNC void put(uint rank, uint position) const thread {
    out.put(sorted ? rank : k - 1u - rank, position, row);
  }
};

/** Returns how many of the first `count` slots come before `mine`. */
template <typename Rank>
METAL_FUNC uint
preceding(Rank mine, uint count, const threadgroup Rank* slots) {
  uint rank = 0;
  for (uint j = 0; j < count; ++j) {
    rank += uint(before(slots[j], mine));
  }
  return rank;
}

/**
 * Writes the k best of the `count` elements that were gathered in `slots`.
 * Returns the k-th best if `needs_worst`.
 */
template <typename Order, ushort N, ushort width, bool dense>
METAL_FUNC Ranked<typename Order::Key> place(
    thread const LaneRow<Order, N, width, dense>& elements,
    uint count,
    threadgroup Ranked<typename Order::Key>* slots,
    thread const LaneResults<Order>& results,
    bool needs_worst) {
  typedef Ranked<typename Order::Key> Rank;
  uint worst = 0;
  for (uint i = elements.lane % width; i < count; i += width) {
    Rank mine = slots[i];
    uint rank = preceding(mine, count, slots);
    if (rank < elements.k) {
      results.put(rank, mine.position());
    }
    if (rank == elements.k - 1u) {
      worst = i;
    }
  }
  if (needs_worst) {
    uint last = elements.lane / width * width + width - 1;
    worst = of_lane(sum_up_to<width>(worst, elements.lane), last);
  }
  Rank result = Rank::of(0, ~0u);
  if (count > 0) {
    result = slots[worst];
  }
  return result;
}

/**
 * Writes the k best elements of the row, for which there are 2 * width slots.
 * Returns the k-th best if `needs_worst`.
 */
template <ushort groups, typename Order, ushort N, ushort width, bool dense>
METAL_FUNC Ranked<typename Order::Key> put_best_of_lanes(
    thread const LaneRow<Order, N, width, dense>& elements,
    threadgroup Ranked<typename Order::Key>* slots,
    thread const LaneResults<Order>& results,
    bool needs_worst) {
  typedef typename Order::Key Key;
  typedef Ranked<Key> Rank;
  uint lane = elements.lane;
  Key bound = elements.template bound<groups>();
  uint passing = elements.reaching(bound);
  uint last = lane / width * width + width - 1;
  uint up_to = sum_up_to<width>(popcount(passing), lane);
  uint count = of_lane(up_to, last);
  if (simd_max(count) > 2u * width) {
    passing = elements.reaching_first(bound);
    up_to = sum_up_to<width>(popcount(passing), lane);
    count = of_lane(up_to, last);
  }
  if (simd_max(count) <= 2u * width) {
    elements.gather(passing, slots + (up_to - popcount(passing)));
    simdgroup_barrier(mem_flags::mem_threadgroup);
    return place(elements, count, slots, results, needs_worst);
  }
  // A few lanes have most of the good elements, so that too many reach the
  // bound. Takes the best element k times.
  Rank worst = Rank::of(0, ~0u);
  uint left = elements.there;
  for (uint rank = 0; rank < elements.k; ++rank) {
    worst = elements.take_best(left);
    if (worst.position() != ~0u && lane % width == rank % width) {
      results.put(rank, worst.position());
    }
  }
  return worst;
}

/**
 * `width` lanes share a row, with up to N elements in each. k is at most
 * `width`. `groups` is how many maxima each lane finds. If a row has more
 * elements than maxima, the kernel is fast for k up to half of the maxima.
 */
template <typename Order, ushort N, ushort width, ushort groups, bool dense>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_lanes(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* values [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint3 group_count [[threadgroups_per_grid]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  typedef typename Order::Key Key;
  typedef Ranked<Key> Rank;
  static_assert(N <= 32, "`there` has one bit for each element");
  TOPK_SHARED Rank slots[2 * group_threads];
  uint64_t first =
      (row_of_group(group, group_count) * simds + simd) * (simd_size / width);
  if (first >= args.rows) {
    return;
  }
  // All lanes of a simdgroup have to take part in its functions, so lanes
  // beyond the last row have an empty row.
  uint64_t number = first + lane / width;
  bool live = number < args.rows;
  RowStart start = start_of_row(live ? number : first, args, axes);
  Row<Order> row = row_at<Order>(in, start, args);
  Output<Order> out = output_at<Order>(values, indices, start, args);
  LaneResults<Order> results = {row, out, args.k, args.sorted != 0};
  LaneRow<Order, N, width, dense> elements;
  elements.k = args.k;
  elements.lane = lane;
  elements.load(row, live ? args.axis_size : 0u);

  threadgroup Rank* mine =
      slots + 2u * (simd * simd_size + lane / width * width);
  Rank worst =
      put_best_of_lanes<groups>(elements, mine, results, args.writes_rest != 0);
  if (args.writes_rest != 0) {
    elements.put_rest(worst, row, out);
  }
}
