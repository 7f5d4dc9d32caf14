// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the values of a row, in the order of a stable sort. Elements that tie
// have the same sort key, except zeros and NaNs, so no indices are needed. A
// descending sort is an ascending one of the complements of the sort keys.
// Memory: two arrays of sort keys. Elements of one byte are counted instead,
// which takes a fixed amount on the stack.

#pragma once

#include "mlx/backend/cpu/selection/simd/row_writer-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_in_registers-inl.h"
#include "mlx/backend/cpu/selection/simd/threaded_quicksort-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Elements of one byte are counted in a row of more than this size. */
constexpr size_t counted_size = 512;

/** Sorts elements of one byte by counting those of each value. */
template <typename T>
void sort_by_counting(
    const Row<T>& row,
    Ranking ranking,
    T* out,
    int64_t stride) {
  // Several counters for each key: an increment need not wait for the one
  // before it if the elements are equal.
  constexpr size_t counters = 4;
  constexpr size_t keys = 256;
  uint32_t counts[counters][keys] = {};
  size_t i = 0;
  for (; i + counters <= row.size; i += counters) {
    for (size_t c = 0; c < counters; ++c) {
      ++counts[c][ordered_key(row[i + c])];
    }
  }
  for (; i < row.size; ++i) {
    ++counts[0][ordered_key(row[i])];
  }
  for (size_t rank = 0; rank < keys; ++rank) {
    auto key = ranking == Ranking::descending ? keys - 1 - rank : rank;
    size_t count = 0;
    for (size_t c = 0; c < counters; ++c) {
      count += counts[c][key];
    }
    auto element = element_of_key<T>(key);
    if (stride == 1) {
      out = std::fill_n(out, count, element);
    } else {
      for (; count > 0; --count, out += stride) {
        *out = element;
      }
    }
  }
}

/** Sorts the values of rows of ``size`` elements, by keys of type Key. */
template <typename T, typename Key = SortKey<T>>
class ValueSort {
  static constexpr auto margin = key_margin<Key>;

 public:
  /** ``ranking`` is ascending or descending. */
  ValueSort(size_t size, Ranking ranking, int64_t threads)
      : size_(size),
        ranking_(ranking),
        threads_(threads),
        flip_(ranking == Ranking::descending ? ~Key(0) : Key(0)),
        keys_(padded()),
        other_(padded()) {}

  /** Writes the sorted row to ``out``. Its elements are ``stride`` apart. */
  void sort(const Row<T>& row, T* out, int64_t stride) {
    if (is_counted()) {
      if constexpr (sizeof(T) == 1) {
        return sort_by_counting(row, ranking_, out, stride);
      }
    }
    if (stride == 1 && sort_values_in_registers(row, flip_, out)) {
      return;
    }
    sort_in_memory(row, out, stride);
  }

  /** As sort(), after sort_values_in_registers() has failed. */
  void sort_in_memory(const Row<T>& row, T* out, int64_t stride) {
    if constexpr (is_floating<T> && sizeof(T) == 2 && quicksort_is_fast) {
      // The row probably has a NaN or -0. Words have all bits of its ranks.
      uint32_t indices[most_indices_in_registers<int32_t>];
      if (sort_indices_in_registers(row, RankOf<T>(ranking_), indices)) {
        return ValueWriter<T>(out, stride, row).write_all(indices, size_, 0);
      }
    }
    bool negative_zero = load_keys(row);
    auto sorted = sort_keys(keys(), other(), size_);
    write_all(row, sorted, negative_zero, out, stride);
  }

 private:
  bool is_counted() const {
    return sizeof(T) == 1 && size_ > counted_size;
  }

  size_t padded() const {
    return is_counted() ? 0 : network_padded<Key>(size_) + 2 * margin;
  }

  Key* keys() const {
    return keys_.get() + margin;
  }

  Key* other() const {
    return other_.get() + margin;
  }

  // Returns whether an element is -0.
  bool load_keys(const Row<T>& row) {
    if (threads_ == 1) {
      return load_sort_keys(row, flip_, keys());
    }
    std::atomic<bool> negative_zero{false};
    split_work(size_, elements_per_part, threads_, [&](auto first, auto last) {
      Row<T> part{
          row.data + first * row.stride, row.stride, size_t(last - first)};
      if (load_sort_keys(part, flip_, keys() + first)) {
        negative_zero = true;
      }
    });
    return negative_zero;
  }

  // Returns the array that holds the sorted keys.
  Key* sort_keys(Key* keys, Key* other, size_t count) const {
    if constexpr (sizeof(Key) == 2) {
      sort_leaf(keys, keys, count);
    } else if constexpr (quicksort_is_fast) {
      return quicksort_on_threads(keys, other, count, threads_);
    } else if (count <= network_size) {
      network_sort(keys, count);
    } else {
      return sort_many(keys, other, count);
    }
    return keys;
  }

  // Returns the part of sorted keys whose elements are from ``least`` to
  // ``greatest``, given as sort keys.
  std::pair<Key*, Key*>
  part_between(Key* keys, size_t count, Key least, Key greatest) const {
    auto low = std::min<Key>(least ^ flip_, greatest ^ flip_);
    auto high = std::max<Key>(least ^ flip_, greatest ^ flip_);
    auto first = std::lower_bound(keys, keys + count, low);
    return {first, std::upper_bound(first, keys + count, high)};
  }

  // Writes the elements with these sorted keys. Puts all NaNs last, or first in
  // a descending sort, and both NaNs and zeros in the order that they have in
  // the row.
  void write_all(
      const Row<T>& row,
      Key* keys,
      bool negative_zero,
      T* out,
      int64_t stride) {
    auto count = size_;
    if constexpr (is_floating<T>) {
      if (is_nan_key<T, Key>(keys[0] ^ flip_) ||
          is_nan_key<T, Key>(keys[size_ - 1] ^ flip_)) {
        auto [first, last] = part_between(
            keys, size_, negative_infinity_key<T, Key>, infinity_key<T, Key>);
        count = std::copy(first, last, keys) - keys;
        auto nans = size_ - count;
        bool nans_first = ranking_ == Ranking::descending;
        write_those(
            row, is_nan_key<T, Key>, nans, nans_first ? 0 : count, stride, out);
        out += nans_first ? static_cast<int64_t>(nans) * stride : 0;
      }
    }
    store_all(keys, count, out, stride);
    if (negative_zero) {
      auto [first, last] = part_between(
          keys, count, negative_zero_key<T, Key>, zero_key<T, Key>);
      size_t zeros = last - first;
      write_those(row, is_zero_key<T, Key>, zeros, first - keys, stride, out);
    }
  }

  void store_all(const Key* keys, size_t count, T* out, int64_t stride) const {
    if (threads_ == 1) {
      return store_elements(keys, flip_, count, out, stride);
    }
    split_work(count, elements_per_part, threads_, [&](auto first, auto last) {
      store_elements(
          keys + first, flip_, last - first, out + first * stride, stride);
    });
  }

  // Writes, from ``place`` on, the ``count`` elements of the row whose sort
  // keys pass ``test``, in the order that they have in the row.
  template <typename Test>
  static void write_those(
      const Row<T>& row,
      Test&& test,
      size_t count,
      size_t place,
      int64_t stride,
      T* out) {
    // A place is written again until it has an element that passes.
    for (size_t i = 0, end = place + count; place < end; ++i) {
      out[static_cast<int64_t>(place) * stride] = row[i];
      place += test(sort_key<T, Key>(row[i]));
    }
  }

  size_t size_;
  Ranking ranking_;
  int64_t threads_;
  // Complements the sort keys if the sort is descending.
  Key flip_;
  Buffer<Key> keys_;
  Buffer<Key> other_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
