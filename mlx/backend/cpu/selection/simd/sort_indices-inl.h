// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the indices of a row by its elements. Sorts words: a word has the bits
// of a rank, or its upper bits, above those of an index. No two words of a row
// are equal, so the sort need not be stable. Memory: two arrays of words.
//
// A word is stored as a positive double. Those compare as their bits do, and
// a minimum of doubles takes one instruction on every x86-64 processor, which
// one of 64-bit integers does not. An offset keeps the doubles normal, because
// some processor modes take subnormal doubles for 0.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"
#include "mlx/backend/cpu/selection/simd/threaded_quicksort-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** How many bits a rank and an index may have together. */
constexpr int double_word_bits = 62;

/** The bits of the least normal double. */
constexpr uint64_t double_word_offset = uint64_t(1) << 52;

inline double double_word(uint64_t bits) {
  return std::bit_cast<double>(bits + double_word_offset);
}

inline uint64_t bits_of_double_word(double word) {
  return std::bit_cast<uint64_t>(word) - double_word_offset;
}

/** Sorts the indices of rows of ``size`` elements. */
template <typename T>
class IndexSort {
  using R = Rank<T>;
  static constexpr auto margin = key_margin<double>;

 public:
  IndexSort(size_t size, Ranking ranking, int64_t threads = 1)
      : size_(size),
        rank_(ranking),
        threads_(threads),
        index_bits_(std::bit_width(size - 1)),
        words_(network_padded<double>(size) + 2 * margin),
        other_(network_padded<double>(size) + 2 * margin) {}

  /** Returns whether rows of this size are sorted fast. */
  static bool supports(size_t size) {
    return quicksort_is_fast
        ? std::bit_width(size - 1) <= (double_word_bits - 2) / 2
        : size <= network_size;
  }

  /** Returns whether RadixArgsort takes longer for rows of this size. */
  static bool is_fastest(size_t size) {
    // The narrower a rank, the fewer passes a radix sort takes.
    constexpr auto bytes = sizeof(OrderedKey<T>);
    bool is_short = bytes == 1 ? size <= 256 : bytes > 2 || size <= 4096;
    return is_short && supports(size);
  }

  /**
   * Sorts the indices of a row, that of the best element first. Returns the
   * sorted words, which are valid until the next call: index_in() returns the
   * index of a word.
   */
  const double* sort(const Row<T>& row) {
    if constexpr (sizeof(R) == 8) {
      find_range(row);
    }
    auto words = words_.get() + margin;
    split_work(size_, elements_per_part, threads_, [&](auto first, auto last) {
      load_words(row, first, last, words);
    });
    return sort_words(row, words, other_.get() + margin, size_);
  }

  uint32_t index_in(double word) const {
    return static_cast<uint32_t>(std::bit_cast<uint64_t>(word)) & index_mask();
  }

  /** Writes the indices of ``count`` words. */
  void copy_indices(const double* words, size_t count, uint32_t* out) const {
    auto mask = index_mask();
    split_work(count, elements_per_part, threads_, [&](size_t i, size_t last) {
      for (; i < last; ++i) {
        auto bits = std::bit_cast<uint64_t>(words[i]);
        out[i] = static_cast<uint32_t>(bits) & mask;
      }
    });
  }

 private:
  uint32_t index_mask() const {
    return static_cast<uint32_t>((uint64_t(1) << index_bits_) - 1);
  }

  // Sets how many of the lower bits of ranks do not fit into words.
  void find_range(const Row<T>& row) {
    auto rank = rank_;
    R least = worst<R>;
    R greatest = 0;
    for (size_t i = 0; i < row.size; ++i) {
      R r = rank(row[i]);
      least = std::min(least, r);
      greatest = std::max(greatest, r);
    }
    least_ = least;
    auto rank_bits = static_cast<int>(std::bit_width(greatest - least));
    dropped_bits_ = std::max(0, rank_bits + index_bits_ - double_word_bits);
  }

  // Sets the words of the elements [first, last).
  void load_words(const Row<T>& row, size_t first, size_t last, double* to)
      const {
    auto rank = rank_;
    auto least = least_;
    auto index_bits = index_bits_;
    auto dropped_bits = dropped_bits_;
    auto data = row.data;
    auto word = [=](size_t i, T element) {
      uint64_t kept = static_cast<R>(rank(element) - least) >> dropped_bits;
      return double_word((kept << index_bits) | i);
    };
    if (row.stride == 1) {
      for (auto i = first; i < last; ++i) {
        to[i] = word(i, data[i]);
      }
    } else {
      for (auto i = first; i < last; ++i) {
        to[i] = word(i, data[static_cast<int64_t>(i) * row.stride]);
      }
    }
  }

  // Returns the array that holds the sorted words: ``words`` or ``other``.
  double* sort_words(
      const Row<T>& row,
      double* words,
      double* other,
      size_t count) const {
    auto sorted = words;
    if constexpr (quicksort_is_fast) {
      sorted = quicksort_on_threads(words, other, count, threads_);
    } else {
      network_sort(words, count);
    }
    if (dropped_bits_ > 0) {
      sort_ties(row, sorted, sorted == words ? other : words, count);
    }
    return sorted;
  }

  // Sorts each run of elements that tie in the bits that words have of their
  // ranks, by the bits that were dropped.
  void sort_ties(const Row<T>& row, double* words, double* other, size_t count)
      const {
    auto rank_bits_of = [&](size_t place) {
      return bits_of_double_word(words[place]) >> index_bits_;
    };
    for (size_t first = 0; first < count;) {
      auto last = first + 1;
      while (last < count && rank_bits_of(last) == rank_bits_of(first)) {
        ++last;
      }
      if (last - first > 1) {
        sort_tie(row, words + first, other, last - first);
      }
      first = last;
    }
  }

  void sort_tie(const Row<T>& row, double* words, double* other, size_t count)
      const {
    auto rank = rank_;
    auto dropped = (R(1) << dropped_bits_) - 1;
    bool sorted = true;
    double before = 0;
    for (size_t i = 0; i < count; ++i) {
      auto index = index_in(words[i]);
      uint64_t bits = (rank(row[index]) - least_) & dropped;
      auto word = double_word((bits << index_bits_) | index);
      sorted &= before < word;
      words[i] = before = word;
    }
    if (sorted) {
      return;
    }
    if constexpr (quicksort_is_fast) {
      quicksort(words, other, count);
    } else {
      // A network needs room for padding after the words.
      std::copy(words, words + count, other);
      network_sort(other, count);
      std::copy(other, other + count, words);
    }
  }

  size_t size_;
  RankOf<T> rank_;
  int64_t threads_;
  int index_bits_;
  int dropped_bits_{0};
  R least_{0};
  Buffer<double> words_;
  Buffer<double> other_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
