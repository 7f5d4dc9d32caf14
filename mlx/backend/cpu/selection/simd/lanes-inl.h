// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds the k best of short rows. Works on a block of rows at a time: as many
// rows as a vector has 32-bit lanes. Each lane holds one row. All lanes go
// through the same sorting network, which keeps the k best elements seen so
// far.
//
// The network compares words, which hold a rank and an index (rank-inl.h). So
// among ties the lower index is better. NaN needs no special case, since it has
// a rank like any other element. Time for a row: O(size log(k)^2)
// compare-exchanges, divided by the number of lanes. Memory: the ranks of one
// block, on the stack. k is from 1 to TopKTuning::lanes_k and may be the size
// of the row.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"
#include "mlx/backend/cpu/selection/simd/sorting_network-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Several rows. Element j of row r is ``data[offset[r] + j * stride]``. */
template <typename T>
struct RowBlock {
  static constexpr size_t count = lanes<uint32_t>;

  const T* data;
  int64_t offset[count];
  int64_t stride;
  size_t size;
  // The offset of the last element of the array. None beyond it may be read.
  int64_t last;

  /** Returns whether elements with equal j are contiguous in memory. */
  bool adjacent() const {
    for (size_t r = 1; r < count; ++r) {
      if (offset[r] != offset[0] + static_cast<int64_t>(r)) {
        return false;
      }
    }
    return true;
  }
};

/**
 * Loads the elements [first, first + size) of row r, which is contiguous. If
 * they are not ``all_readable``, those beyond the end of the array are 0.
 */
template <size_t size, bool all_readable, typename T>
ElementBits<T, size>
load_piece(const RowBlock<T>& rows, size_t r, size_t first) {
  auto from = rows.offset[r] + static_cast<int64_t>(first);
  if constexpr (all_readable) {
    return load_bits<T, size>(rows.data + from);
  } else {
    T elements[size] = {};
    auto readable = std::min<size_t>(size, rows.last + 1 - from);
    std::memcpy(elements, rows.data + from, readable * sizeof(T));
    return load_bits<T, size>(elements);
  }
}

/**
 * Sets the columns [first, first + size) of ``columns`` to the ranks of the
 * elements of contiguous rows. ``size`` is the number of lanes, or half of it.
 * In the latter case each vector that is transposed holds pieces of two rows.
 */
template <size_t size, bool all_readable, typename T>
void load_transposed(
    const RowBlock<T>& rows,
    RankOf<T> rank,
    size_t first,
    uint32_t* columns) {
  constexpr auto count = RowBlock<T>::count;
  Vector<uint32_t> block[size];
#pragma GCC unroll 16
  for (size_t r = 0; r < size; ++r) {
    auto piece = load_piece<size, all_readable>(rows, r, first);
    if constexpr (size == count) {
      block[r] = rank_vector<T>(piece, rank);
    } else {
      auto pieces = concatenate<ElementBits<T>>(
          piece,
          load_piece<size, all_readable>(rows, r + size, first),
          std::make_index_sequence<count>());
      block[r] = rank_vector<T>(pieces, rank);
    }
  }
  transpose<uint32_t, size>(block);
#pragma GCC unroll 16
  for (size_t i = 0; i < size; ++i) {
    store(columns + (first + i) * count, block[i]);
  }
}

/** Calls load_transposed, after checking whether all elements are readable. */
template <size_t size, typename T>
void load_transposed_checked(
    const RowBlock<T>& rows,
    RankOf<T> rank,
    size_t first,
    uint32_t* columns) {
  auto last = *std::max_element(rows.offset, rows.offset + rows.count);
  if (last + static_cast<int64_t>(first + size) <= rows.last + 1) {
    load_transposed<size, true>(rows, rank, first, columns);
  } else {
    load_transposed<size, false>(rows, rank, first, columns);
  }
}

/** Sets columns[j * count + r] to the rank of element j of row r. */
template <typename T>
void load_columns(const RowBlock<T>& rows, RankOf<T> rank, uint32_t* columns) {
  constexpr auto count = RowBlock<T>::count;
  if (rows.stride == 1) {
    size_t j = 0;
    for (; j + count / 2 < rows.size; j += count) {
      load_transposed_checked<count>(rows, rank, j, columns);
    }
    if (j < rows.size) {
      load_transposed_checked<count / 2>(rows, rank, j, columns);
    }
    return;
  }
  auto adjacent = rows.adjacent();
  for (size_t j = 0; j < rows.size; ++j, columns += count) {
    auto from = rows.data + static_cast<int64_t>(j) * rows.stride;
    if (adjacent) {
      store(columns, rank_vector<T>(load_bits(from + rows.offset[0]), rank));
    } else {
      for (size_t r = 0; r < count; ++r) {
        columns[r] = rank(from[rows.offset[r]]);
      }
    }
  }
}

/**
 * Packs the ranks of a column and the column's index into a vector of words.
 * The vector holds the words of all lanes if a word has 32 bits. If a word has
 * 64 bits, it holds those of half of the lanes: of the lower half if ``part``
 * is 0, of the upper half if ``part`` is 1.
 */
template <typename W>
Vector<W> pack_column(const uint32_t* column, size_t index, size_t part) {
  auto fixed = fixed_bits_of_word<W> | index;
  if constexpr (sizeof(W) == sizeof(uint32_t)) {
    return (load(column) << index_bits<W>) | static_cast<W>(fixed);
  } else {
    auto ranks = widen(column + part * lanes<W>);
    return (Vector<W>)((ranks << index_bits<W>) | fixed);
  }
}

/**
 * Finds the ``kept`` best of each row and sets words[i * count + r] to the word
 * of the i-th best of row r. Reads ``size`` columns, rounded up to a multiple
 * of ``kept``, so the caller has to add columns of padding.
 */
template <typename W, int kept>
void k_best_of_columns(const uint32_t* columns, size_t size, W* words) {
  constexpr auto count = lanes<uint32_t>;
  for (size_t part = 0; part < count / lanes<W>; ++part) {
    Vector<W> best[kept], more[kept];
#pragma GCC unroll 16
    for (int i = 0; i < kept; ++i) {
      best[i] = pack_column<W>(columns + i * count, i, part);
    }
    sort_lanes<0, kept>(best);
    for (size_t j = kept; j < size; j += kept) {
#pragma GCC unroll 16
      for (int i = 0; i < kept; ++i) {
        more[i] = pack_column<W>(columns + (j + i) * count, j + i, part);
      }
      sort_lanes<0, kept>(more);
      merge_lanes<kept>(best, more);
    }
    for (int i = 0; i < kept; ++i) {
      store(words + i * count + part * lanes<W>, best[i]);
    }
  }
}

/**
 * The type of a word that holds a rank of T and an index. If T has 8 bytes, the
 * word holds the index alone.
 */
template <typename T>
using WordOf = std::conditional_t<sizeof(T) == 4, LongWord, ShortWord>;

/**
 * Returns whether contiguous rows of ``size`` elements are so short that lanes
 * select from them in less time than it takes to see that a row is in order and
 * to copy it. Such a row's ranks fill at most one vector of 32 bytes.
 */
template <typename T>
constexpr bool lanes_are_faster_than_copying(size_t size) {
  return size <= std::min<size_t>(vector_bytes, 32) / sizeof(Rank<T>);
}

/** Sets words[i * count + r] to the word of the i-th best of row r, i < k. */
template <typename T>
void k_best_in_lanes(
    const RowBlock<T>& rows,
    RankOf<T> rank,
    size_t k,
    WordOf<T>* words) {
  using W = WordOf<T>;
  constexpr auto count = RowBlock<T>::count;
  constexpr auto padding = TopKTuning::lanes_k;
  alignas(64) uint32_t columns[(TopKTuning::lanes_size + padding) * count];
  load_columns(rows, rank, columns);
  // Pad with the worst rank, and with indices beyond the row, so that padding
  // never wins.
  auto kept = std::bit_ceil(k);
  std::fill_n(columns + rows.size * count, kept * count, worst<uint32_t>);
  switch (kept) {
    case 1:
      return k_best_of_columns<W, 1>(columns, rows.size, words);
    case 2:
      return k_best_of_columns<W, 2>(columns, rows.size, words);
    case 4:
      return k_best_of_columns<W, 4>(columns, rows.size, words);
    case 8:
      return k_best_of_columns<W, 8>(columns, rows.size, words);
    default:
      return k_best_of_columns<W, 16>(columns, rows.size, words);
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
