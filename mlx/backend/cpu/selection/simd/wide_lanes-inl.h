// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds the k best of short rows of 8-byte elements, whose ranks leave no room
// for an index in a word. As in lanes-inl.h, each lane holds one row. The
// elements of a row are inserted, in the order of their indices, into a sorted
// list of the k best so far. An element goes after those with an equal rank, so
// among ties the lower index is better. No branch depends on the data.
//
// Time for a row: O(size k), divided by the number of lanes. Memory: the
// elements and the ranks of one block, on the stack. k is from 1 to
// TopKTuning::lanes_k and may be the size of the row.

#pragma once

#include "mlx/backend/cpu/selection/simd/lanes-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * The size of the longest rows for which this method is the fastest. SSE2
 * cannot compare 64-bit integers.
 */
constexpr size_t wide_lanes_size = vector_bytes > 16 ? 64 : 32;

inline bool is_fast_in_wide_lanes(size_t size, size_t k) {
  return size <= wide_lanes_size && k <= 8;
}

/**
 * Finds the ``kept`` best of each of several rows, one in each lane. ``ranks``
 * has the vectors of ranks, ``pitch`` apart, minus 2^63: instruction sets
 * compare signed integers. Sets words[i * pitch + l] to the index of the i-th
 * best of lane l. Leaves words unspecified if the row has fewer elements.
 */
template <int kept>
void insert_in_lanes(
    const int64_t* ranks,
    size_t size,
    size_t pitch,
    ShortWord* words) {
  using V = Vector<int64_t>;
  V best[kept], index[kept];
#pragma GCC unroll 16
  for (int i = 0; i < kept; ++i) {
    best[i] = broadcast(std::numeric_limits<int64_t>::max());
    index[i] = V{};
  }
  // The ``kept`` elements of a list that is not full yet have the worst rank.
  // An element with that rank must still go before them.
  size_t first = std::min<size_t>(size, kept);
  for (size_t j = 0; j < size; ++j) {
    auto rank = load(ranks + j * pitch);
    auto at = broadcast(static_cast<int64_t>(j));
    V before[kept];
#pragma GCC unroll 16
    for (int i = 0; i < kept; ++i) {
      before[i] = rank < best[i];
    }
    if (j < first) {
      // Place j is free.
#pragma GCC unroll 16
      for (int i = 0; i < kept; ++i) {
        before[i] |= broadcast(-static_cast<int64_t>(size_t(i) >= j));
      }
    }
#pragma GCC unroll 16
    for (int i = kept - 1; i > 0; --i) {
      best[i] = before[i] ? (before[i - 1] ? best[i - 1] : rank) : best[i];
      index[i] = before[i] ? (before[i - 1] ? index[i - 1] : at) : index[i];
    }
    best[0] = before[0] ? rank : best[0];
    index[0] = before[0] ? at : index[0];
  }
  for (int i = 0; i < kept; ++i) {
    for (size_t l = 0; l < lanes<int64_t>; ++l) {
      auto at = static_cast<uint32_t>(index[i][l]);
      words[i * pitch + l] = pack<ShortWord>(0, at);
    }
  }
}

/** Sets words[i * count + r] to the index of the i-th best of row r, i < k. */
template <typename T>
void k_best_in_wide_lanes(
    const RowBlock<T>& rows,
    RankOf<T> rank,
    size_t k,
    ShortWord* words) {
  constexpr auto count = RowBlock<T>::count;
  constexpr auto sign = uint64_t(1) << 63;
  T elements[wide_lanes_size * count];
  alignas(64) int64_t ranks[wide_lanes_size * count];
  for (size_t r = 0; r < count; ++r) {
    auto from = rows.data + rows.offset[r];
    for (size_t j = 0; j < rows.size; ++j) {
      elements[j * count + r] = from[static_cast<int64_t>(j) * rows.stride];
    }
  }
  for (size_t i = 0; i < rows.size * count; ++i) {
    ranks[i] = static_cast<int64_t>(rank(elements[i]) ^ sign);
  }
  for (size_t first = 0; first < count; first += lanes<int64_t>) {
    auto from = ranks + first;
    auto to = words + first;
    switch (std::bit_ceil(k)) {
      case 1:
        insert_in_lanes<1>(from, rows.size, count, to);
        break;
      case 2:
        insert_in_lanes<2>(from, rows.size, count, to);
        break;
      case 4:
        insert_in_lanes<4>(from, rows.size, count, to);
        break;
      default:
        insert_in_lanes<8>(from, rows.size, count, to);
    }
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
