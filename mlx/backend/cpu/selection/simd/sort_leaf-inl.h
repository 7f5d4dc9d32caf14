// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts a few blocks of keys: sorts each block, then merges them. Merges are
// bitonic.

#pragma once

#include "mlx/backend/cpu/selection/simd/sort_block-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * Sorts the lanes of each of ``rows`` vectors, which are each bitonic.
 */
template <typename E, int rows>
[[gnu::always_inline]] inline void merge_within_rows(Vector<E>* v) {
  if constexpr (rows == lanes<E>) {
    // The transposed block has the lanes in one column.
    columns_to_rows<E, rows>(v);
    bitonic_merge_lanes<0, rows>(v);
    columns_to_rows<E, rows>(v);
  } else if constexpr (rows > lanes<E>) {
    merge_within_rows<E, rows / 2>(v);
    merge_within_rows<E, rows / 2>(v + rows / 2);
  } else {
    order_lanes_down<E, lanes<E> / 2, rows>(v);
  }
}

/**
 * Sorts the keys of ``rows`` vectors, which are bitonic. Writes the first
 * ``written`` of the result to ``to``.
 */
template <typename E, int rows>
[[gnu::noinline]] void merge_block_of(const E* from, E* to, size_t written) {
  Vector<E> v[rows];
#pragma GCC unroll 32
  for (int i = 0; i < rows; ++i) {
    v[i] = load(from + i * lanes<E>);
  }
  bitonic_merge_lanes<0, rows>(v);
  merge_within_rows<E, rows>(v);
  store_keys<E, rows>(to, written, v);
}

/**
 * Merges the first ``count`` of ``keys`` to ``to``. Each ``run`` vectors of
 * them are sorted. Overwrites ``keys``.
 */
template <typename E>
void merge_runs_of_keys(E* keys, size_t run, E* to, size_t count) {
  constexpr auto width = lanes<E>;
  auto rows = vectors_of<E>(count);
  for (auto step = run; step < rows; step *= 2) {
    bool last = 2 * step >= rows;
    for (size_t first = 0; first + step < rows; first += 2 * step) {
      auto end = std::min(first + 2 * step, rows);
      merge_down_to_blocks(keys, first, step, end, run);
      for (auto row = first; row < end; row += run) {
        auto from = keys + row * width;
        auto target = last ? to + row * width : from;
        auto written = last ? count - row * width : run * width;
        with_rows(std::min(end - row, run), [&](auto vectors) {
          merge_block_of<E, vectors>(from, target, written);
        });
      }
    }
  }
}

/**
 * How many keys sort_leaf() sorts at most. Twice as many of 16 bits, since a
 * longer row of these is sorted by keys of 32 bits.
 */
template <typename E>
constexpr size_t leaf_size = (sizeof(E) == 2 ? 4 : 2) * block_rows * lanes<E>;

/**
 * Sorts up to leaf_size keys from ``from`` to ``to``, which may be the same.
 * Reads up to a block of keys, and rewrites up to a vector, after the last.
 */
template <typename E>
[[gnu::noinline]] void sort_leaf(const E* from, E* to, size_t count) {
  constexpr auto width = lanes<E>;
  auto rows = vectors_of<E>(count);
  auto sort_to = [=](size_t row, E* target, size_t size, size_t written) {
    with_rows(vectors_of<E>(size), [&](auto vectors) {
      sort_block_of<E, vectors>(from + row * width, size, target, written);
    });
  };
  // If the last quarter of a block would be empty, two blocks are faster.
  size_t run = rows <= block_rows / 4 * 3 ? block_rows / 2 : block_rows;
  if (rows <= run) {
    return sort_to(0, to, count, count);
  }
  alignas(64) E keys[leaf_size<E>];
  for (size_t row = 0; row < rows; row += run) {
    auto size = std::min(count - row * width, run * width);
    sort_to(row, keys + row * width, size, run * width);
  }
  merge_runs_of_keys(keys, run, to, count);
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
