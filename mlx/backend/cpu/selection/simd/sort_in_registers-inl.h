// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the indices, or the values, of a row that fits into registers, where
// all keys stay from the first to the last step.

#pragma once

#include "mlx/backend/cpu/selection/simd/register_row-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_key-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_words-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * The type of the words of sort_words-inl.h that are sorted in registers. Ranks
 * of 8 bytes would lose too many bits in words of 32.
 */
template <typename T>
using RegisterWord = std::conditional_t<sizeof(T) == 8, double, int32_t>;

/** Sorts the indices of a row by words. */
template <typename T, int rows>
class RegisterIndexSort {
  using W = RegisterWord<T>;
  using R = Rank<T>;
  using Word = SortWord<W>;
  using Bits = typename Word::Bits;
  using Registers = RegisterRow<W, rows>;
  static constexpr size_t width = lanes<W>;
  static constexpr int index_bits = std::bit_width(rows * width - 1);
  static constexpr Bits index_mask = (Bits(1) << index_bits) - 1;
  static constexpr bool may_drop_bits = 8 * sizeof(T) + index_bits >
      size_t(Word::width);

 public:
  /**
   * Writes the indices of ``count`` elements, that of the best one first.
   * Returns false if words have too few bits of the ranks to tell the order.
   */
  [[gnu::noinline]] static bool
  sort(const T* data, size_t count, const RankOf<T>& rank, uint32_t* indices) {
    Registers row(count);
    Vector<R> ranks[rows];
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      ranks[i] = load_rank_lanes<T>(data + row.begin_of(i), rank);
    }
    Vector<W> words[rows];
    auto differing = make_words(row, ranks, words);
    sort_vectors_of_keys<W, rows>(words);
    bool ties = may_drop_bits && has_ties(words) && any_of(differing != 0);
    row.write_all(indices, [&](size_t i, uint32_t* to) {
      store_index_lanes<R>(to, (Vector<R>)words[i] & index_mask);
    });
    return !ties || is_in_order(data, count, rank, indices);
  }

 private:
  // Returns whether ``indices`` are in the order of all bits of the ranks, as
  // they are if the elements that tie are equal.
  static bool is_in_order(
      const T* data,
      size_t count,
      RankOf<T> rank,
      const uint32_t* indices) {
    R wrong = 0;
    for (size_t i = 1; i < count; ++i) {
      wrong |= rank(data[indices[i]]) < rank(data[indices[i - 1]]);
    }
    return wrong == 0;
  }

  // Returns a vector that is 0 if the bits of ranks that words do not have are
  // the same in all ranks.
  [[gnu::always_inline]] static inline Vector<R>
  make_words(const Registers& row, const Vector<R>* ranks, Vector<W>* words) {
    R least = 0;
    int dropped_bits =
        may_drop_bits ? 8 * sizeof(T) + index_bits - Word::width : 0;
    if constexpr (std::is_integral_v<T> && may_drop_bits) {
      // Integers are often small, and then no bits are dropped.
      auto low = ranks[0];
      auto high = ranks[0];
#pragma GCC unroll 16
      for (int i = 1; i < rows; ++i) {
        low = min_of(low, ranks[i]);
        high = max_of(high, ranks[i]);
      }
      least = fold_lanes(low, min_of<Vector<R>>)[0];
      auto range = fold_lanes(high, max_of<Vector<R>>)[0] - least;
      auto bits = static_cast<int>(std::bit_width(range)) + index_bits;
      dropped_bits = std::max(0, bits - Word::width);
    }
    auto sample = broadcast(ranks[0][0]);
    Vector<R> differing{};
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      differing |= ranks[i] ^ sample;
      auto first = static_cast<R>(row.begin_of(i));
      auto kept = (ranks[i] - least) >> dropped_bits;
      auto bits = (kept << index_bits) | (lane_numbers<R>() + first);
      words[i] = Word::of_bits(bits);
    }
    row.pad(words);
    return differing & ((R(1) << dropped_bits) - 1);
  }

  // Returns whether two words differ in the bits of the index only. Padding is
  // equal to padding, and does not count.
  [[gnu::always_inline]] static inline bool has_ties(const Vector<W>* words) {
    auto ties = Vector<R>{} != 0;
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      constexpr auto after = [](size_t l) constexpr { return l + 1; };
      auto word = words[i];
      auto end = i + 1 < rows ? words[i + 1] : broadcast(word[width - 1]);
      auto differ = (Vector<R>)shuffle<W>(word, end, after) ^ (Vector<R>)word;
      ties |= differ - 1 < index_mask;
    }
    return any_of(ties);
  }
};

/** Returns whether an element with one of these sort keys is NaN or -0. */
template <typename T, typename K, int rows>
[[gnu::always_inline]] inline bool has_nan_or_negative_zero(
    const Vector<K>* keys) {
  // Minima, since comparisons of 64-byte vectors take twice as long.
  constexpr K least = std::numeric_limits<K>::min();
  constexpr K zero_to_least = negative_zero_key<T, K> ^ least;
  auto low = keys[0];
  auto high = keys[0];
  auto zeros = keys[0] ^ zero_to_least;
#pragma GCC unroll 16
  for (int i = 1; i < rows; ++i) {
    low = min_of(low, keys[i]);
    high = max_of(high, keys[i]);
    zeros = min_of(zeros, keys[i] ^ zero_to_least);
  }
  return any_of(
      (low < negative_infinity_key<T, K>) | (high > infinity_key<T, K>) |
      (zeros == least));
}

/**
 * Sorts the values of a row. Returns false, and writes nothing, if it has a NaN
 * or -0: sort keys do not have the order of those.
 */
template <typename T, typename K, int rows>
[[gnu::noinline]] bool
sort_values_of(const T* data, size_t count, K flip, T* out) {
  RegisterRow<K, rows> row(count);
  Vector<K> keys[rows];
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
    keys[i] = load_sort_key_lanes<T, K>(data + row.begin_of(i));
  }
  if constexpr (is_floating<T>) {
    if (has_nan_or_negative_zero<T, K, rows>(keys)) {
      return false;
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < rows; ++i) {
    keys[i] ^= flip;
  }
  row.pad(keys);
  sort_vectors_of_keys<K, rows>(keys);
  row.write_all(out, [&](size_t i, T* to) {
    store_sort_key_lanes<T, K>(to, keys[i] ^ flip);
  });
  return true;
}

/**
 * How many elements sort_indices_in_registers() sorts at most. For more words
 * of 64 bits it is not the fastest way.
 */
template <typename W>
constexpr size_t most_indices_in_registers =
    sizeof(W) == 8 ? std::min<size_t>(32, 8 * lanes<W>) : 8 * lanes<W>;

/** Sorts indices in registers. Returns false if this cannot be done. */
template <typename T>
bool sort_indices_in_registers(
    const Row<T>& row,
    const RankOf<T>& rank,
    uint32_t* indices) {
  if constexpr (!std::is_same_v<T, complex64_t>) {
    using W = RegisterWord<T>;
    constexpr int most = most_indices_in_registers<W> / lanes<W>;
    return in_registers<W, most>(row, [&](auto rows) {
      using Sort = RegisterIndexSort<T, rows>;
      return Sort::sort(row.data, row.size, rank, indices);
    });
  }
  return false;
}

/** How many vectors sort_values_in_registers() sorts at most. */
#if defined(SELECTION_AVX512)
constexpr int most_rows_of_values = 16;
#else
constexpr int most_rows_of_values = 8;
#endif

/**
 * Sorts values in registers, by sort keys that are XORed with ``flip``. Returns
 * false if this cannot be done.
 */
template <typename T, typename K>
bool sort_values_in_registers(const Row<T>& row, K flip, T* out) {
  if constexpr (
      quicksort_is_fast && (sizeof(T) == sizeof(K) || sizeof(T) == 1)) {
    if constexpr (sizeof(K) == 2) {
      // A row that does not fill a vector of 16-bit keys may fill one of 32.
      if (row.size < lanes<K>) {
        return in_registers<int32_t, 2>(row, [&](auto rows) {
          return sort_values_of<T, int32_t, rows>(
              row.data, row.size, flip, out);
        });
      }
    }
    return in_registers<K, most_rows_of_values>(row, [&](auto rows) {
      return sort_values_of<T, K, rows>(row.data, row.size, flip, out);
    });
  }
  return false;
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
