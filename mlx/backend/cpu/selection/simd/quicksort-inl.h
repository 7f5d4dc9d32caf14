// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts keys by quicksort, and selects from them by quickselect. Keys are
// int32_t, int64_t, or positive doubles. Neither is stable, so equal keys must
// be interchangeable.
//
// A partition compares a vector of keys with the pivot, permutes it so that the
// lower keys come first, and stores it twice: at the front of the lower keys
// and at the back of the higher ones. The lower keys stay in their array. The
// higher keys go to a second array of the same size, to the places that they
// have after the partition. B. Bramas, A novel hybrid quicksort algorithm
// vectorized using AVX-512, IJACSA 2017, partitions by such stores.
//
// The time is O(n log n) whatever the keys are. A row that gets bad pivots is
// sorted by radix. Many equal keys make a sort faster: see sort_part().

#pragma once

#include "mlx/backend/cpu/selection/simd/partition_lanes-inl.h"
#include "mlx/backend/cpu/selection/simd/sort-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_leaf-inl.h"
#include "mlx/backend/cpu/selection/simd/split-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

// Whether quicksort is the fastest way to sort. Without an instruction that
// permutes a vector by a variable, networks and radix sorts are faster.
#if defined(SELECTION_AVX512) || defined(SELECTION_AVX2)
constexpr bool quicksort_is_fast = true;
#else
constexpr bool quicksort_is_fast = false;
#endif

/** Returns whether quickselect is faster than split() for ``count`` keys. */
inline bool quickselect_is_fast(size_t count) {
#if defined(SELECTION_AVX512)
  return count < 8192;
#else
  return quicksort_is_fast && count < size_t(1) << 18;
#endif
}

/**
 * Arrays of keys have room for this many keys before and after the keys, where
 * sorts and partitions may read, and may write what they read.
 */
template <typename E>
constexpr size_t key_margin = block_size<E>;

// ---- partition -------------------------------------------------------------

/** The two sides of a partition: low <= pivot < high, or low < pivot <= high.
 */
enum class PivotSide { low, high };

/**
 * What happens to keys beside those of a partition. To read and rewrite them is
 * faster, but another thread could write them meanwhile.
 */
enum class Outside { rewritten, kept };

template <PivotSide side, typename E>
[[gnu::always_inline]] inline uint64_t high_lanes(
    Vector<E> keys,
    Vector<E> pivot) {
  return side == PivotSide::low ? mask_bits(keys > pivot)
                                : mask_bits(keys >= pivot);
}

/** Writes those of a vector's lanes for which ``wanted`` is true. */
template <Outside outside, typename E, typename Mask>
[[gnu::always_inline]] inline void
store_wanted(E* to, Vector<E> keys, Mask wanted) {
  if constexpr (outside == Outside::rewritten) {
    store(to, wanted ? keys : load(to));
  } else {
    for (size_t l = 0; l < lanes<E>; ++l) {
      if (wanted[l] != 0) {
        to[l] = keys[l];
      }
    }
  }
}

/**
 * Partitions keys[0 .. count). Leaves the low keys in ``keys``, from 0 on, and
 * moves the high ones to other[low count .. count). Returns the number of low
 * keys. ``count`` is at least one vector.
 */
template <PivotSide side, typename E, Outside outside = Outside::rewritten>
size_t partition_keys(E* keys, E* other, size_t count, E pivot) {
  constexpr auto width = lanes<E>;
  auto low = keys;
  auto high = other + count;
  auto pivots = broadcast(pivot);
  // The last vector is loaded before its keys can be overwritten. Only its last
  // ``rest`` lanes are needed.
  auto rest = count % width;
  auto last = load(keys + count - width);
  size_t i = 0;
  // The stores are to ``keys`` before i + width, and to ``other`` inside the
  // range that will hold the high keys or has room for the rest.
#pragma GCC unroll 4
  for (; i + width <= count; i += width) {
    auto v = load(keys + i);
    auto mask = high_lanes<side, E>(v, pivots);
    auto sorted = partition_lanes<E>(v, mask);
    auto highs = std::popcount(mask);
    store(low, sorted);
    store(high - width, sorted);
    low += width - highs;
    high -= highs;
  }
  // Counts the lanes that are not needed as high, where they do no harm: only
  // the needed ones are stored.
  auto unneeded = (uint64_t(1) << (width - rest)) - 1;
  auto mask = high_lanes<side, E>(last, pivots);
  auto sorted = partition_lanes<E>(last, mask | unneeded);
  size_t highs = std::popcount(mask & ~unneeded);
  auto lane = lane_numbers<E>();
  auto is_low = lane < static_cast<E>(rest - highs);
  store_wanted<outside, E>(low, sorted, is_low);
  auto is_high = lane >= static_cast<E>(width - highs);
  store_wanted<outside, E>(high - width, sorted, is_high);
  return low - keys + rest - highs;
}

/** pick_pivot() takes its sample from at least this many vectors. */
constexpr size_t pivot_rows = 8;

/** Returns a key that is about the median of ``count`` keys. */
template <typename E>
E pick_pivot(const E* keys, size_t count) {
  constexpr auto width = lanes<E>;
  constexpr size_t few = 1024;
  if (count < few) {
    // The median of the medians of three lanes.
    Vector<E> v[3] = {
        load(keys), load(keys + count / 2), load(keys + count - width)};
    exchange(v[0], v[1]);
    exchange(v[1], v[2]);
    exchange(v[0], v[1]);
    merge_runs<E, 1, 1>(v + 1);
    return v[1][width / 2 - 1];
  }
  Vector<E> v[pivot_rows];
  auto step = (count - width) / (pivot_rows - 1);
#pragma GCC unroll 8
  for (size_t i = 0; i < pivot_rows; ++i) {
    v[i] = load(keys + i * step);
  }
  sort_vectors_of_keys<E, pivot_rows>(v);
  return v[pivot_rows / 2 - 1][width - 1];
}

// ---- sort ------------------------------------------------------------------

/**
 * An array of keys, and a second one of the same size that is overwritten. The
 * sorted keys go to ``keys`` if ``stays``, otherwise to ``other``. No key is
 * greater than ``most``. ``budget`` is how many partitions the sort may still
 * take one after the other.
 */
template <typename E>
struct KeysToSort {
  E* keys;
  E* other;
  size_t count;
  bool stays;
  E most;
  int budget;

  E* result() const {
    return stays ? keys : other;
  }
};

/** Returns how many partitions in a row a good sort of ``count`` keys takes. */
inline int partition_budget(size_t count) {
  return 2 * std::bit_width(count);
}

template <typename E>
KeysToSort<E> all_keys_to_sort(E* keys, E* other, size_t count) {
  auto most = std::numeric_limits<E>::max();
  return {keys, other, count, true, most, partition_budget(count)};
}

template <typename E>
void sort_by_radix(const KeysToSort<E>& part) {
  auto sorted = radix_sort<8>(part.keys, part.other, part.count);
  if (sorted != part.result()) {
    std::copy(sorted, sorted + part.count, part.result());
  }
}

/**
 * Partitions the keys of ``part``, which keeps the low ones. Returns the high
 * ones, unless they are sorted already: then it returns none.
 *
 * A pivot that is equal to ``most`` is the greatest key of the part. Then all
 * keys equal to it are split off at once. So a key that is frequent enough to
 * be the pivot takes part in at most two more partitions.
 */
template <typename E>
KeysToSort<E> split_off_high(KeysToSort<E>& part) {
  auto& [keys, other, count, stays, most, budget] = part;
  auto pivot = pick_pivot(keys, count);
  if (pivot == most) {
    auto low = partition_keys<PivotSide::high>(keys, other, count, pivot);
    std::fill(part.result() + low, part.result() + count, pivot);
    count = low;
    return {};
  }
  auto low = partition_keys<PivotSide::low>(keys, other, count, pivot);
  KeysToSort<E> high{
      other + low, keys + low, count - low, !stays, most, budget};
  count = low;
  most = pivot;
  return high;
}

/** Sorts a part, which is then unspecified. */
template <typename E>
void sort_part(KeysToSort<E>& part) {
  while (part.count > leaf_size<E>) {
    if (--part.budget < 0) {
      return sort_by_radix(part);
    }
    auto high = split_off_high(part);
    if (high.count > 0) {
      sort_part(high);
    }
  }
  sort_leaf(part.keys, part.result(), part.count);
}

/** Sorts keys[0 .. count). Overwrites as much of ``other``. */
template <typename E>
[[gnu::noinline]] void quicksort(E* keys, E* other, size_t count) {
  auto all = all_keys_to_sort(keys, other, count);
  sort_part(all);
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
