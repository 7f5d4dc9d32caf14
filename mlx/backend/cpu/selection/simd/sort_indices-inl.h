// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the indices of a row by its elements: by words of 32 bits if these are
// likely to tell the order, in registers if they fit, otherwise by words of 64.

#pragma once

#include "mlx/backend/cpu/selection/simd/sort_in_registers-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Sorts the indices of rows of ``size`` elements. */
template <typename T>
class IndexSort {
 public:
  IndexSort(size_t size, Ranking ranking, int64_t threads = 1)
      : size_(size), ranking_(ranking), rank_(ranking), threads_(threads) {}

  /** Returns whether rows of this size are sorted fast. */
  static bool supports(size_t size) {
    return quicksort_is_fast
        ? std::bit_width(size - 1) <= (SortWord<double>::width - 2) / 2
        : size <= network_size;
  }

  /** Returns whether RadixArgsort takes longer for rows of this size. */
  static bool is_fastest(size_t size) {
    // The narrower a rank, the fewer passes a radix sort takes.
    constexpr auto bytes = sizeof(OrderedKey<T>);
    bool is_short = bytes == 1 ? size <= (quicksort_is_fast ? 512 : 256)
                               : bytes > 2 || size <= max_narrow_size;
    return is_short && supports(size);
  }

  /**
   * Sorts as sort() does, but in registers. Returns false if this cannot be
   * done.
   */
  bool sort_in_registers(const Row<T>& row, uint32_t* indices) {
    if (size_ > max_narrow_size || !register_failure_.is_over()) {
      return false;
    }
    bool sorted = sort_indices_in_registers(row, rank_, indices);
    if (!sorted) {
      register_failure_.note();
    }
    return sorted;
  }

  /**
   * Writes the indices of a row, that of the best element first, to
   * ``indices``, or if that is null to memory that is valid until the next
   * call. Returns where they are.
   */
  const uint32_t* sort(const Row<T>& row, uint32_t* indices = nullptr) {
    if (!indices) {
      indices_.reserve(size_);
      indices = indices_.get();
    }
    if (sort_in_registers(row, indices)) {
      return indices;
    }
    if (size_ <= max_narrow_size && narrow_failure_.is_over()) {
      if (sort_by(narrow_, row, indices)) {
        return indices;
      }
      narrow_failure_.note();
    }
    sort_by(wide_, row, indices);
    return indices;
  }

 private:
  // The longest row whose elements have 32-bit words, by their size. Words have
  // all bits of ranks of one or two bytes. Of others they lose as many as an
  // index has: the longer the row, the more elements tie in the bits that are
  // left. SSE2 has no minimum of 32-bit integers, so it sorts 64-bit words.
#if defined(__x86_64__) && !defined(SELECTION_AVX2) && \
    !defined(SELECTION_AVX512)
  static constexpr size_t max_narrow_size = 0;
#else
  static constexpr size_t max_narrow_size = sizeof(OrderedKey<T>) <= 2
      ? size_t(1) << 16
      : sizeof(OrderedKey<T>) == 4 ? 4096
                                   : 1024;
#endif

  // After a failure it is not tried again for some rows, since the rows of an
  // array are often alike.
  class RecentFailure {
   public:
    /** Returns whether enough rows have passed. Counts one more. */
    bool is_over() {
      rows_left_ -= rows_left_ > 0;
      return rows_left_ == 0;
    }

    void note() {
      rows_left_ = 16;
    }

   private:
    int rows_left_{0};
  };

  template <typename W>
  bool sort_by(
      std::optional<WordSort<T, W>>& sort,
      const Row<T>& row,
      uint32_t* indices) {
    if (!sort) {
      sort.emplace(size_, ranking_, threads_);
    }
    return sort->sort(row, indices);
  }

  size_t size_;
  Ranking ranking_;
  RankOf<T> rank_;
  int64_t threads_;
  RecentFailure register_failure_;
  RecentFailure narrow_failure_;
  Buffer<uint32_t> indices_;
  std::optional<WordSort<T, int32_t>> narrow_;
  std::optional<WordSort<T, double>> wide_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
