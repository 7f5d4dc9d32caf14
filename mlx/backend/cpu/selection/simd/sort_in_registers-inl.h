// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the indices, or the values, of a row that fits into registers, where
// all keys stay from the first to the last step.

#pragma once

#include "mlx/backend/cpu/selection/simd/register_row-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_key-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_words-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Sorts the indices of a row by the 32-bit words of sort_words-inl.h. */
template <typename T, int rows>
class RegisterIndexSort {
  using Word = SortWord<int32_t>;
  using Registers = RegisterRow<int32_t, rows>;
  static constexpr size_t width = lanes<int32_t>;
  static constexpr int index_bits = std::bit_width(rows * width - 1);
  static constexpr uint32_t index_mask = (uint32_t(1) << index_bits) - 1;

 public:
  /**
   * Writes the indices of ``count`` elements, that of the best one first.
   * Returns false if words have too few bits of the ranks to tell the order.
   */
  [[gnu::noinline]] static bool
  sort(const T* data, size_t count, const RankOf<T>& rank, uint32_t* indices) {
    Registers row(count);
    Vector<uint32_t> ranks[rows];
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; ++i) {
      ranks[i] = rank_vector<T>(load_bits<T>(data + row.begin_of(i)), rank);
    }
    Vector<int32_t> words[rows];
    auto differing = make_words(row, ranks, words);
    sort_vectors_of_keys<int32_t, rows>(words);
    bool ties = sizeof(T) > 2 && has_ties(words) && any_of(differing != 0);
    row.write_all(indices, [&](size_t i, uint32_t* to) {
      store(to, (Vector<uint32_t>)words[i] & index_mask);
    });
    return !ties;
  }

 private:
  // Returns a vector that is 0 if the bits of ranks that words do not have are
  // the same in all ranks.
  [[gnu::always_inline]] static inline Vector<uint32_t> make_words(
      const Registers& row,
      const Vector<uint32_t>* ranks,
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
    auto sample = broadcast(ranks[0][0]);
    Vector<uint32_t> differing{};
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; ++i) {
      differing |= ranks[i] ^ sample;
      auto first = static_cast<uint32_t>(row.begin_of(i));
      auto kept = (ranks[i] - least) >> dropped_bits;
      auto bits = (kept << index_bits) | (lane_numbers<uint32_t>() + first);
      words[i] = (Vector<int32_t>)(bits ^ Word::sign_bit);
    }
    row.pad(words);
    return differing & ((uint32_t(1) << dropped_bits) - 1);
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
};

/**
 * Sorts the values of a row. Returns false, and writes nothing, if it has a NaN
 * or -0: sort keys do not have the order of those.
 */
template <typename T, typename K, int rows>
[[gnu::noinline]] bool
sort_values_of(const T* data, size_t count, K flip, T* out) {
  RegisterRow<K, rows> row(count);
  Vector<K> keys[rows];
  Vector<K> unordered{};
#pragma GCC unroll 8
  for (size_t i = 0; i < rows; ++i) {
    auto key = load_sort_key_lanes<T, K>(data + row.begin_of(i));
    if constexpr (is_floating<T>) {
      unordered |= (key > infinity_key<T, K>) |
          (key < negative_infinity_key<T, K>) |
          (key == negative_zero_key<T, K>);
    }
    keys[i] = key ^ flip;
  }
  if (is_floating<T> && any_of(unordered)) {
    return false;
  }
  row.pad(keys);
  sort_vectors_of_keys<K, rows>(keys);
  row.write_all(out, [&](size_t i, T* to) {
    store_sort_key_lanes<T, K>(to, keys[i] ^ flip);
  });
  return true;
}

/** Sorts indices in registers. Returns false if this cannot be done. */
template <typename T>
bool sort_indices_in_registers(
    const Row<T>& row,
    const RankOf<T>& rank,
    uint32_t* indices) {
  if constexpr (sizeof(T) <= 4) {
    return in_registers<int32_t>(row, [&](auto rows) {
      using Sort = RegisterIndexSort<T, rows>;
      return Sort::sort(row.data, row.size, rank, indices);
    });
  }
  return false;
}

/**
 * Sorts values in registers, by sort keys that are XORed with ``flip``. Returns
 * false if this cannot be done.
 */
template <typename T, typename K>
bool sort_values_in_registers(const Row<T>& row, K flip, T* out) {
  if constexpr (
      quicksort_is_fast && (sizeof(T) == sizeof(K) || sizeof(T) == 1)) {
    return in_registers<K>(row, [&](auto rows) {
      return sort_values_of<T, K, rows>(row.data, row.size, flip, out);
    });
  }
  return false;
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
