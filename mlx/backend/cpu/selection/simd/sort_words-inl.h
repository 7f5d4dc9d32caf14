// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the indices of a row by its elements. Sorts words: a word has the bits
// of a rank, or its upper bits, above those of an index. No two words of a row
// are equal, so the sort need not be stable. Memory: two arrays of words.
//
// There are words of two sizes. Those of 32 bits are sorted in about half the
// time of those of 64, but have room for fewer bits of the ranks.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"
#include "mlx/backend/cpu/selection/simd/threaded_quicksort-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** How a word holds bits: words of type W compare as their bits do. */
template <typename W>
struct SortWord;

template <>
struct SortWord<int32_t> {
  using Bits = uint32_t;
  static constexpr int width = 32;
  static constexpr Bits sign_bit = Bits(1) << 31;

  static int32_t of_bits(Bits bits) {
    return static_cast<int32_t>(bits ^ sign_bit);
  }

  static Vector<int32_t> of_bits(Vector<Bits> bits) {
    return (Vector<int32_t>)(bits ^ sign_bit);
  }

  static Bits bits_of(int32_t word) {
    return static_cast<Bits>(word) ^ sign_bit;
  }
};

/**
 * A positive double. Those compare as their bits do, and a minimum of doubles
 * takes one instruction on every x86-64 processor, which one of 64-bit integers
 * does not. An offset keeps the doubles normal, because some processor modes
 * take subnormal doubles for 0.
 */
template <>
struct SortWord<double> {
  using Bits = uint64_t;
  static constexpr int width = 62;
  static constexpr Bits least_normal = Bits(1) << 52;

  static double of_bits(Bits bits) {
    return std::bit_cast<double>(bits + least_normal);
  }

  static Vector<double> of_bits(Vector<Bits> bits) {
    return (Vector<double>)(bits + least_normal);
  }

  static Bits bits_of(double word) {
    return std::bit_cast<Bits>(word) - least_normal;
  }
};

/** Sorts the indices of rows of ``size`` elements, by words of type W. */
template <typename T, typename W>
class WordSort {
  using R = Rank<T>;
  using Word = SortWord<W>;
  using Bits = typename Word::Bits;
  static constexpr auto margin = key_margin<W>;
  // If more than one of this many elements ties with another, words of 64 bits
  // are faster than words of 32.
  static constexpr size_t elements_per_tie = 8;

 public:
  WordSort(size_t size, Ranking ranking, int64_t threads)
      : size_(size),
        rank_(ranking),
        threads_(threads),
        index_bits_(std::bit_width(size - 1)),
        words_(network_padded<W>(size) + 2 * margin),
        other_(network_padded<W>(size) + 2 * margin) {}

  /**
   * Writes the indices of a row, that of the best element first. Returns false
   * if words of 32 bits have too few bits of the ranks to tell the order.
   */
  bool sort(const Row<T>& row, uint32_t* indices) {
    if constexpr (may_drop_bits) {
      find_range(row);
    }
    auto words = words_.get() + margin;
    auto other = other_.get() + margin;
    split_work(size_, elements_per_part, threads_, [&](auto first, auto last) {
      load_words(row, first, last, words);
    });
    auto sorted = sort_words(words, other, size_);
    if constexpr (sizeof(W) == 4) {
      copy_indices(sorted, indices);
      return !ties_may_differ_ || move_ties(row, sorted, indices);
    } else {
      if (ties_may_differ_) {
        sort_ties(row, sorted, sorted == words ? other : words);
      }
      copy_indices(sorted, indices);
      return true;
    }
  }

 private:
  // Ranks of one or two bytes leave room for the indices of all rows that
  // IndexSort sorts by these words.
  static constexpr bool may_drop_bits =
      sizeof(W) == 8 ? sizeof(R) == 8 : sizeof(T) > 2;

  uint32_t index_in(W word) const {
    return static_cast<uint32_t>(Word::bits_of(word)) & index_mask();
  }

  uint32_t index_mask() const {
    return static_cast<uint32_t>((uint64_t(1) << index_bits_) - 1);
  }

  // Sets how many of the lower bits of ranks do not fit into words, and whether
  // they are the same in all ranks. They often are: in floats that are small
  // integers, or that were converted from a narrower type.
  void find_range(const Row<T>& row) {
    auto rank = rank_;
    R least = worst<R>;
    R greatest = 0;
    R first = rank(row[0]);
    R differing = 0;
    auto add = [&](T element) {
      R r = rank(element);
      least = std::min(least, r);
      greatest = std::max(greatest, r);
      differing |= r ^ first;
    };
    if (row.stride == 1) {
      for (size_t i = 0; i < row.size; ++i) {
        add(row.data[i]);
      }
    } else {
      for (size_t i = 0; i < row.size; ++i) {
        add(row[i]);
      }
    }
    least_ = least;
    auto rank_bits = static_cast<int>(std::bit_width(greatest - least));
    dropped_bits_ = std::max(0, rank_bits + index_bits_ - Word::width);
    ties_may_differ_ = (differing & dropped_mask()) != 0;
  }

  R dropped_mask() const {
    return (R(1) << dropped_bits_) - 1;
  }

  // Sets the words of the elements [first, last).
  void load_words(const Row<T>& row, size_t first, size_t last, W* to) const {
    auto rank = rank_;
    auto least = least_;
    auto index_bits = index_bits_;
    auto dropped_bits = dropped_bits_;
    auto data = row.data;
    auto word = [=](size_t i, T element) {
      Bits kept = static_cast<R>(rank(element) - least) >> dropped_bits;
      return Word::of_bits((kept << index_bits) | static_cast<Bits>(i));
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
  W* sort_words(W* words, W* other, size_t count) const {
    if constexpr (quicksort_is_fast) {
      return quicksort_on_threads(words, other, count, threads_);
    }
    network_sort(words, count);
    return words;
  }

  void copy_indices(const W* words, uint32_t* to) const {
    auto mask = index_mask();
    split_work(size_, elements_per_part, threads_, [&](size_t i, size_t last) {
      for (; i < last; ++i) {
        to[i] = static_cast<uint32_t>(Word::bits_of(words[i])) & mask;
      }
    });
  }

  // ---- bits that were dropped ----------------------------------------------

  // Sorts indices that are in the order of ``words``, by the bits that were
  // dropped. Returns false if many words tie in the others, or if this would
  // take more moves than there are elements.
  bool move_ties(const Row<T>& row, const W* words, uint32_t* indices) const {
    size_t count = 0;
    for (size_t first = 1; first < size_; first += lanes<W>) {
      count += std::popcount(ties_in(words, first));
    }
    if (count * elements_per_tie > size_) {
      return false;
    }
    auto moves_left = size_;
    for (size_t first = 1; count > 0; first += lanes<W>) {
      for (auto ties = ties_in(words, first); ties != 0; ties &= ties - 1) {
        auto place = first + std::countr_zero(ties);
        if (!move_down(row, indices, place, moves_left)) {
          return false;
        }
        --count;
      }
    }
    return true;
  }

  // Returns a bit for each of the words from ``first`` on: whether it differs
  // from the word before in the bits of the index only.
  uint64_t ties_in(const W* words, size_t first) const {
    auto differ = (Vector<Bits>)load(words + first - 1) ^
        (Vector<Bits>)load(words + first);
    auto ties = lanes_up_to(differ, broadcast<Bits>(index_mask()));
    auto count = std::min(lanes<W>, size_ - first);
    return ties & ~uint64_t(0) >> (64 - count);
  }

  // Moves the index at ``place`` before those of greater elements.
  [[gnu::always_inline]] inline bool move_down(
      const Row<T>& row,
      uint32_t* indices,
      size_t place,
      size_t& moves_left) const {
    auto rank = rank_;
    auto index = indices[place];
    auto r = rank(row[index]);
    for (; place > 0 && rank(row[indices[place - 1]]) > r; --place) {
      if (--moves_left == 0) {
        return false;
      }
      indices[place] = indices[place - 1];
      indices[place - 1] = index;
    }
    return true;
  }

  // Sorts each run of elements that tie in the bits that words have of their
  // ranks, by the bits that were dropped.
  void sort_ties(const Row<T>& row, W* words, W* other) const {
    auto rank_bits_of = [&](size_t place) {
      return Word::bits_of(words[place]) >> index_bits_;
    };
    for (size_t first = 0; first < size_;) {
      auto last = first + 1;
      while (last < size_ && rank_bits_of(last) == rank_bits_of(first)) {
        ++last;
      }
      if (last - first > 1) {
        sort_tie(row, words + first, other, last - first);
      }
      first = last;
    }
  }

  void sort_tie(const Row<T>& row, W* words, W* other, size_t count) const {
    auto rank = rank_;
    auto dropped = dropped_mask();
    bool sorted = true;
    W before = 0;
    for (size_t i = 0; i < count; ++i) {
      auto index = index_in(words[i]);
      Bits bits = (rank(row[index]) - least_) & dropped;
      auto word = Word::of_bits((bits << index_bits_) | index);
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
  // Whether elements with equal words, but for the index, may be unequal.
  bool ties_may_differ_{false};
  R least_{0};
  Buffer<W> words_;
  Buffer<W> other_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
