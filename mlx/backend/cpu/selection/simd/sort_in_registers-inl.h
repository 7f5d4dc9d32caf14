// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the indices of a row that fits into registers. It sorts the 32-bit
// words of sort_words-inl.h, which never leave the registers.

#pragma once

#include "mlx/backend/cpu/selection/simd/sort_block-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_words-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Sorts the indices of contiguous rows whose elements fill ``rows`` vectors.
 */
template <typename T, int rows>
class RegisterSort {
  using Word = SortWord<int32_t>;
  static constexpr size_t width = lanes<int32_t>;
  static constexpr int index_bits = std::bit_width(rows * width - 1);
  static constexpr uint32_t index_mask = (uint32_t(1) << index_bits) - 1;
  static constexpr int32_t padding = std::numeric_limits<int32_t>::max();

 public:
  /**
   * Sorts ``count`` elements, which are at least one vector and more than half
   * of ``rows`` vectors. Writes their indices, that of the best element first.
   * Returns false if words have too few bits of the ranks to tell the order.
   */
  [[gnu::noinline]] static bool
  sort(const T* data, size_t count, RankOf<T> rank, uint32_t* indices) {
    Vector<uint32_t> ranks[rows];
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; ++i) {
      ranks[i] = rank_vector<T>(load_bits<T>(data + begin_of(i, count)), rank);
    }
    Vector<int32_t> words[rows];
    make_words(ranks, count, words);
    sort_vectors_of_keys<int32_t, rows>(words);
    store_indices(words, count, indices);
    return sizeof(T) <= 2 || !has_ties(words);
  }

 private:
  // Where the elements of a vector begin. The last vector overlaps the one
  // before rather than reach beyond the row.
  static size_t begin_of(size_t i, size_t count) {
    return std::min(i * width, count - width);
  }

  // Puts padding where the last vectors have no elements of their own.
  [[gnu::always_inline]] static inline void make_words(
      const Vector<uint32_t>* ranks,
      size_t count,
      Vector<int32_t>* words) {
    uint32_t least = 0;
    int dropped_bits = sizeof(T) > 2 ? index_bits : 0;
    if constexpr (std::is_integral_v<T> && sizeof(T) > 2) {
      // Integers are often small, and then no bits are dropped.
      auto low = ranks[0];
      auto high = ranks[0];
#pragma GCC unroll 8
      for (int i = 1; i < rows; ++i) {
        low = min_of(low, ranks[i]);
        high = max_of(high, ranks[i]);
      }
      least = fold_lanes(low, min_of<Vector<uint32_t>>)[0];
      auto range = fold_lanes(high, max_of<Vector<uint32_t>>)[0] - least;
      auto bits = static_cast<int>(std::bit_width(range)) + index_bits;
      dropped_bits = std::max(0, bits - Word::width);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; ++i) {
      auto index =
          lane_numbers<uint32_t>() + static_cast<uint32_t>(begin_of(i, count));
      auto kept = (ranks[i] - least) >> dropped_bits;
      auto bits = ((kept << index_bits) | index) ^ Word::sign_bit;
      words[i] = (Vector<int32_t>)bits;
      if (i >= rows / 2) {
        auto own = index >= static_cast<uint32_t>(i * width);
        words[i] = own ? words[i] : broadcast(padding);
      }
    }
  }

  // Returns whether two words differ in the bits of the index only. Padding is
  // equal to padding, and does not count.
  [[gnu::always_inline]] static inline bool has_ties(
      const Vector<int32_t>* words) {
    Vector<int32_t> ties{};
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      constexpr auto after = [](size_t l) constexpr { return l + 1; };
      auto word = words[i];
      auto end = i + 1 < rows ? words[i + 1] : broadcast(word[width - 1]);
      auto differ =
          (Vector<uint32_t>)(shuffle<int32_t>(word, end, after) ^ word);
      ties |= differ - 1 < index_mask;
    }
    return any_of(ties);
  }

  [[gnu::always_inline]] static inline void
  store_indices(const Vector<int32_t>* words, size_t count, uint32_t* to) {
    alignas(64) uint32_t last[2 * width];
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; ++i) {
      if (i < rows / 2 || (i + 1) * width <= count) {
        store(to + i * width, indices_in(words[i]));
      } else if (i * width < count) {
        store(last, indices_in(words[i > 0 ? i - 1 : 0]));
        store(last + width, indices_in(words[i]));
        store(to + count - width, load(last + (count - i * width)));
      }
    }
  }

  static Vector<uint32_t> indices_in(Vector<int32_t> words) {
    return (Vector<uint32_t>)words & index_mask;
  }
};

/**
 * Sorts the indices of a contiguous row in registers. Returns false if this
 * cannot be done.
 */
template <typename T>
bool sort_row_in_registers(
    const Row<T>& row,
    RankOf<T> rank,
    uint32_t* indices) {
  constexpr auto width = lanes<int32_t>;
  auto count = row.size;
  if constexpr (sizeof(T) <= 4) {
    if (row.stride == 1 && count >= width && count <= 8 * width) {
      auto sort = count > 4 * width ? RegisterSort<T, 8>::sort
          : count > 2 * width       ? RegisterSort<T, 4>::sort
          : count > width           ? RegisterSort<T, 2>::sort
                                    : RegisterSort<T, 1>::sort;
      return sort(row.data, count, rank, indices);
    }
  }
  return false;
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
