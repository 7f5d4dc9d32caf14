// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the values of a row, in the order of a stable sort. Elements that tie
// have the same sort key, except zeros and NaNs, so no indices are needed.
// Memory: two arrays of sort keys. Elements of one byte are counted instead,
// which takes a fixed amount on the stack.

#pragma once

#include "mlx/backend/cpu/selection/simd/quicksort-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_key-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Elements of one byte are counted in a row of more than this size. */
constexpr size_t counted_size = 512;

/** Sorts elements of one byte by counting those of each value. */
template <typename T>
void sort_by_counting(const Row<T>& row, T* out, int64_t stride) {
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
  for (size_t key = 0; key < keys; ++key) {
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

/** Sorts the values of rows of ``size`` elements. */
template <typename T>
class ValueSort {
  using Key = SortKey<T>;
  static constexpr auto margin = key_margin<Key>;

 public:
  explicit ValueSort(size_t size)
      : size_(size), keys_(padded()), other_(padded()) {}

  /** Writes the sorted row to ``out``. Its elements are ``stride`` apart. */
  void sort(const Row<T>& row, T* out, int64_t stride) {
    if (is_counted()) {
      if constexpr (sizeof(T) == 1) {
        return sort_by_counting(row, out, stride);
      }
    }
    bool negative_zero = load_sort_keys(row, keys());
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

  // Returns the array that holds the sorted keys.
  static Key* sort_keys(Key* keys, Key* other, size_t count) {
    if constexpr (quicksort_is_fast) {
      quicksort(keys, other, count);
    } else if (count <= network_size) {
      network_sort(keys, count);
    } else {
      return sort_many(keys, other, count);
    }
    return keys;
  }

  // Writes the elements with these sorted keys. Puts all NaNs last, and both
  // NaNs and zeros in the order that they have in the row.
  void write_all(
      const Row<T>& row,
      Key* keys,
      bool negative_zero,
      T* out,
      int64_t stride) {
    auto count = size_;
    if constexpr (is_floating<T>) {
      if (is_nan_key<T>(keys[0]) || is_nan_key<T>(keys[size_ - 1])) {
        auto end = keys + size_;
        auto first = std::lower_bound(keys, end, negative_infinity_key<T>);
        auto last = std::upper_bound(first, end, infinity_key<T>);
        count = std::copy(first, last, keys) - keys;
        // A place is written again until it has a NaN.
        for (size_t i = 0, place = count; place < size_; ++i) {
          out[static_cast<int64_t>(place) * stride] = row[i];
          place += is_nan_key<T>(sort_key(row[i]));
        }
      }
    }
    store_elements(keys, count, out, stride);
    if (negative_zero) {
      auto end = keys + count;
      auto first = std::lower_bound(keys, end, negative_zero_key<T>);
      auto last = std::upper_bound(first, end, zero_key<T>);
      size_t place = first - keys;
      size_t end_of_zeros = last - keys;
      for (size_t i = 0; place < end_of_zeros; ++i) {
        out[static_cast<int64_t>(place) * stride] = row[i];
        place += is_zero_key<T>(sort_key(row[i]));
      }
    }
  }

  size_t size_;
  Buffer<Key> keys_;
  Buffer<Key> other_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
