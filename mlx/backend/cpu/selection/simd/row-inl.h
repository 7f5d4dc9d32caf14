// Copyright © 2026 the mlx-topk authors. MIT licence.

// One row of the input, whatever its stride, and the next row, which is fetched
// into the cache while this one is worked on.

#pragma once

#include "mlx/backend/cpu/selection/simd/rank-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * At most this much of the next row is prefetched. It fits into any processor's
 * L2 cache beside the working set.
 */
constexpr size_t max_prefetched_bytes = size_t(128) << 10;

/** The least part of a row that is worth giving to another thread. */
constexpr int64_t elements_per_part = 1 << 15;

/** Element i is ``data[i * stride]``. */
template <typename T>
struct Row {
  const T* data;
  int64_t stride;
  size_t size;
  // The start of the next row if it should be prefetched, otherwise null.
  const T* next{nullptr};

  T operator[](size_t i) const {
    return data[static_cast<int64_t>(i) * stride];
  }

  /** Prefetches the elements [first, first + count) of the next row. */
  void prefetch_next(size_t first, size_t count) const {
    constexpr size_t line = 64 / sizeof(T);
    if (next && (first + count) * sizeof(T) <= max_prefetched_bytes) {
      for (auto i = first; i < first + count; i += line) {
        __builtin_prefetch(next + i, 0, 2);
      }
    }
  }

  /**
   * Returns the elements [first, first + count) as a contiguous array: the row
   * itself if it is contiguous, otherwise ``copy``, after copying them there.
   */
  const T* contiguous(size_t first, size_t count, T* copy) const {
    auto from = data + static_cast<int64_t>(first) * stride;
    if (stride == 1) {
      return from;
    }
    for (size_t i = 0; i < count; ++i) {
      copy[i] = from[static_cast<int64_t>(i) * stride];
    }
    return copy;
  }
};

/** Writes the ranks of the elements [first, first + count). */
template <typename T>
void load_ranks(
    const Row<T>& row,
    RankOf<T> rank,
    size_t first,
    size_t count,
    Rank<T>* ranks) {
  auto data = row.data + static_cast<int64_t>(first) * row.stride;
  auto stride = row.stride;
  if (stride == 1) {
    for (size_t i = 0; i < count; ++i) {
      ranks[i] = rank(data[i]);
    }
  } else {
    for (size_t i = 0; i < count; ++i) {
      ranks[i] = rank(data[static_cast<int64_t>(i) * stride]);
    }
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
