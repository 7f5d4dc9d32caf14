// Copyright © 2026 the mlx-topk authors. MIT licence.

// Partitions a row at a position that is far from both of its ends. Selects
// the rank at that position, then divides the indices of the row by it. Takes
// O(n) for rows without bad pivots, and O(n log n) at most. Memory: three
// arrays of ranks.

#pragma once

#include "mlx/backend/cpu/selection/simd/quicksort-inl.h"
#include "mlx/backend/cpu/selection/simd/row-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** A key, and how many keys are less. */
template <typename E>
struct Selected {
  E key;
  size_t less;
};

/**
 * Returns the key that a sort of keys[0 .. count) has at position ``k``. Sorts
 * what is left when it is half a block, which takes less time than a partition.
 * Reorders the keys, and overwrites as much of ``other``.
 */
template <typename E>
Selected<E> quickselect(E* keys, E* other, size_t count, size_t k) {
  size_t less = 0;
  auto most = std::numeric_limits<E>::max();
  for (auto budget = partition_budget(count);
       count > block_size<E> / 2 && budget > 0;
       --budget) {
    auto pivot = pick_pivot(keys, count);
    if (pivot == most) {
      auto low = partition_keys<PivotSide::high>(keys, other, count, pivot);
      if (k >= low) {
        return {pivot, less + low};
      }
      count = low;
      continue;
    }
    auto low = partition_keys<PivotSide::low>(keys, other, count, pivot);
    if (k < low) {
      count = low;
      most = pivot;
    } else {
      k -= low;
      less += low;
      std::swap(keys, other);
      keys += low;
      other += low;
      count -= low;
    }
  }
  quicksort(keys, other, count);
  auto key = keys[k];
  return {key, less + (std::lower_bound(keys, keys + k, key) - keys)};
}

/**
 * Returns a bit for each of the keys that a vector of 32-bit lanes has room
 * for: whether it is on the high side of ``pivot``.
 */
template <PivotSide side, typename E>
[[gnu::always_inline]] inline uint64_t high_keys(
    const E* keys,
    Vector<E> pivot) {
  uint64_t mask = 0;
#pragma GCC unroll 2
  for (size_t i = 0; i < lanes<uint32_t>; i += lanes<E>) {
    mask |= high_lanes<side, E>(load(keys + i), pivot) << i;
  }
  return mask;
}

/** Where the next item goes, for the low and for the high side. */
struct Sides {
  int32_t* low;
  int32_t* high;
};

/**
 * Appends item i, for each i in [first, last), to the side of ``pivot`` on
 * which keys[i] is. ``items``, an IndexLanes or an ElementLanes, has the items
 * from ``first`` on. Reads and writes up to one vector more.
 */
template <PivotSide side, typename E, typename Items>
[[gnu::noinline]] Sides append_items(
    const E* keys,
    size_t first,
    size_t last,
    E pivot,
    Items items,
    Sides to) {
  constexpr auto width = lanes<int32_t>;
  constexpr auto all = (uint64_t(1) << width) - 1;
  auto pivots = broadcast(pivot);
  for (auto i = first; i < last; i += width) {
    auto mask = high_keys<side>(keys + i, pivots);
    auto valid = last - i < width ? (uint64_t(1) << (last - i)) - 1 : all;
    auto low = ~mask & valid;
    auto high = mask & valid;
    auto item = (Vector<int32_t>)items.next();
    store(to.low, partition_lanes<int32_t>(item, ~low & all));
    store(to.high, partition_lanes<int32_t>(item, ~high & all));
    to.low += std::popcount(low);
    to.high += std::popcount(high);
  }
  return to;
}

/** Returns the position of the n-th key equal to ``key``, counted from 0. */
template <typename E>
[[gnu::noinline]] size_t find_equal(const E* keys, E key, size_t n) {
  auto pattern = broadcast(key);
  for (size_t i = 0;; i += lanes<E>) {
    auto mask = mask_bits(load(keys + i) == pattern);
    size_t equal = std::popcount(mask);
    if (n < equal) {
      for (; n > 0; --n) {
        mask &= mask - 1;
      }
      return i + std::countr_zero(mask);
    }
    n -= equal;
  }
}

/**
 * If a row of ``size`` elements has at least this many times k elements,
 * KBestOfRow finds the k best in less time than quickselect() does.
 */
inline size_t quickselect_elements_per_k(size_t size) {
  return size <= 512 ? 12 : 24;
}

/**
 * Returns whether KBestOfRow finds ``count`` elements in less time than it
 * takes to divide all ``size`` elements of the row. KBestOfRow writes the other
 * elements of a row as runs. To copy a run takes less time than to copy single
 * elements, so it pays for more elements if values are written.
 */
inline bool is_small_side(size_t count, size_t size, SortOutput output) {
  if (quickselect_is_fast(size)) {
    return count * quickselect_elements_per_k(size) <= size;
  }
  bool values = output == SortOutput::values;
  size_t elements_per_k =
      front_lanes_is_fast ? (values ? 16 : 28) : (values ? 12 : 16);
  return count <= TopKTuning::ordered_k || count * elements_per_k <= size;
}

/** Divides the indices of rows of ``size`` elements at the position ``kth``. */
template <typename T>
class RowPartition {
  using R = Rank<T>;
  // Ranks as signed integers, which are quicker to compare.
  using Key = std::make_signed_t<R>;

 public:
  RowPartition(size_t size, size_t kth, Ranking ranking)
      : size_(size),
        kth_(kth),
        rank_(ranking),
        keys_(size + 2 * key_margin<Key>),
        selected_(size + 2 * key_margin<Key>),
        other_(size + 2 * key_margin<Key>),
        indices_(size + 2 * lanes<int32_t>) {}

  /**
   * Finds low(), at_kth() and high(): the indices that a stable sort, the best
   * element first, has before, at and after the position ``kth``. The indices
   * of each side are in ascending order.
   */
  void divide(const Row<T>& row) {
    find_kth(row);
    divide_items(IndexLanes(0), IndexLanes(at_kth_ + 1));
  }

  /**
   * Writes the elements at low(), at_kth() and high() to ``out``. The row is
   * contiguous. Afterwards low() and high() are unspecified.
   */
  void divide_values(const Row<T>& row, T* out) {
    static_assert(sizeof(T) <= sizeof(int32_t));
    find_kth(row);
    auto from = row.data;
    auto end = from + row.size;
    divide_items(
        ElementLanes<T>(from, end), ElementLanes<T>(from + at_kth_ + 1, end));
    write_elements(low_indices(), kth_, out);
    out[kth_] = row.data[at_kth_];
    write_elements(high_indices(), size_ - kth_ - 1, out + kth_ + 1);
  }

  const int32_t* low() const {
    return low_indices();
  }

  uint32_t at_kth() const {
    return at_kth_;
  }

  const int32_t* high() const {
    return high_indices();
  }

  /**
   * Returns the elements of low() and the one at ``kth``, in ascending order of
   * index. They replace low(), and are valid until the next call of divide().
   */
  Candidates<R> up_to_kth() {
    auto indices = reinterpret_cast<uint32_t*>(low_indices());
    auto end = indices + kth_;
    auto place = std::lower_bound(indices, end, at_kth_);
    std::copy_backward(place, end, end + 1);
    *place = at_kth_;
    auto ranks = reinterpret_cast<R*>(selected_.get());
    for (size_t i = 0; i <= kth_; ++i) {
      ranks[i] = rank_of(indices[i]);
    }
    return {ranks, indices};
  }

  /** Brings low() into the order of a stable sort. It has few indices. */
  void order_low() {
    order(low_indices(), kth_);
  }

  /** Brings high() into the order of a stable sort. It has few indices. */
  void order_high() {
    order(high_indices(), size_ - kth_ - 1);
  }

 private:
  // Sets the keys and at_kth_.
  void find_kth(const Row<T>& row) {
    auto keys = keys_.get() + key_margin<Key>;
    load_keys(row, keys);
    auto selected = selected_.get() + key_margin<Key>;
    std::copy(keys, keys + size_, selected);
    auto found =
        quickselect(selected, other_.get() + key_margin<Key>, size_, kth_);
    at_kth_ = find_equal(keys, found.key, kth_ - found.less);
  }

  // Divides the items before at_kth_ and those after it. Elements that tie are
  // low before at_kth_, and high after it.
  template <typename Items>
  void divide_items(Items before, Items after) {
    auto keys = keys_.get() + key_margin<Key>;
    auto pivot = keys[at_kth_];
    Sides to{low_indices(), high_indices()};
    to = append_items<PivotSide::low>(keys, 0, at_kth_, pivot, before, to);
    append_items<PivotSide::high>(keys, at_kth_ + 1, size_, pivot, after, to);
  }

  R rank_of(size_t index) const {
    return rank_in(keys_.get()[key_margin<Key> + index]);
  }

  void order(int32_t* indices, size_t count) {
    alignas(64) R ranks[TopKTuning::ordered_k];
    alignas(64) uint32_t unordered[TopKTuning::ordered_k];
    for (size_t i = 0; i < count; ++i) {
      unordered[i] = indices[i];
      ranks[i] = rank_of(unordered[i]);
    }
    auto write = [&](size_t place, uint32_t index) { indices[place] = index; };
    sort_candidates<R>({ranks, unordered}, count, count, write);
  }

  int32_t* low_indices() const {
    return indices_.get();
  }

  // One vector after the end of the low side, which is written too.
  int32_t* high_indices() const {
    return indices_.get() + kth_ + lanes<int32_t>;
  }

  void load_keys(const Row<T>& row, Key* keys) const {
    auto rank = rank_;
    constexpr auto sign = R(1) << (8 * sizeof(R) - 1);
    if (row.stride == 1) {
      for (size_t i = 0; i < row.size; ++i) {
        keys[i] = static_cast<Key>(rank(row.data[i]) ^ sign);
      }
    } else {
      for (size_t i = 0; i < row.size; ++i) {
        keys[i] = static_cast<Key>(rank(row[i]) ^ sign);
      }
    }
  }

  size_t size_;
  size_t kth_;
  RankOf<T> rank_;
  size_t at_kth_{0};
  Buffer<Key> keys_;
  Buffer<Key> selected_;
  Buffer<Key> other_;
  Buffer<int32_t> indices_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
