// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts up to four blocks of keys: sorts each block in registers, then merges
// the blocks. Merges are bitonic.

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

template <typename E, int rows>
[[gnu::always_inline]] inline void load_rows(const E* from, Vector<E>* v) {
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    v[i] = load(from + i * lanes<E>);
  }
}

template <typename E, int rows>
[[gnu::always_inline]] inline void store_rows(E* to, const Vector<E>* v) {
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    store(to + i * lanes<E>, v[i]);
  }
}

/** Sorts the keys of ``rows`` vectors, which are bitonic. */
template <typename E, int rows>
[[gnu::noinline]] void merge_block(E* keys) {
  Vector<E> v[rows];
  load_rows<E, rows>(keys, v);
  bitonic_merge_lanes<0, rows>(v);
  merge_within_rows<E, rows>(v);
  store_rows<E, rows>(keys, v);
}

/** Sorts the keys of ``rows`` vectors. */
template <typename E, int rows>
[[gnu::noinline]] void sort_full_block(E* keys) {
  Vector<E> v[rows];
  load_rows<E, rows>(keys, v);
  sort_vectors_of_keys<E, rows>(v);
  store_rows<E, rows>(keys, v);
}

/**
 * Merges the blocks of ``rows`` vectors, which are each sorted. ``keys`` has
 * room for whole blocks.
 */
template <typename E>
void merge_blocks(E* keys, size_t rows) {
  constexpr auto width = lanes<E>;
  auto at = [&](size_t row) { return keys + row * width; };
  for (size_t run = block_rows; run < rows; run *= 2) {
    for (size_t first = 0; first + run < rows; first += 2 * run) {
      auto end = std::min(first + 2 * run, rows);
      merge_down_to_blocks(keys, first, run, end, block_rows);
      for (auto a = first; a < end; a += block_rows) {
        with_rows(
            end - a, [&](auto vectors) { merge_block<E, vectors>(at(a)); });
      }
    }
  }
}

/** How many keys sort_leaf() sorts at most. */
template <typename E>
constexpr size_t leaf_size = 32 * lanes<E>;

/**
 * Sorts up to leaf_size keys from ``from`` to ``to``, which may be the same.
 * Reads up to a block of keys, and rewrites up to a vector, after the last.
 */
template <typename E>
[[gnu::noinline]] void sort_leaf(const E* from, E* to, size_t count) {
  constexpr auto width = lanes<E>;
  if (count <= block_size<E>) {
    return sort_block(from, to, count);
  }
  alignas(64) E keys[leaf_size<E>];
  auto last_row = (count - 1) / width;
  auto rows = last_row + 1;
  for (size_t i = 0; i < rows; ++i) {
    store(keys + i * width, load(from + i * width));
  }
  for (size_t i = rows; i < round_up(rows, block_rows); ++i) {
    store(keys + i * width, broadcast(std::numeric_limits<E>::max()));
  }
  auto last = keys + last_row * width;
  auto used =
      lane_numbers<E>() < broadcast(static_cast<E>(count - last_row * width));
  store(last, used ? load(last) : broadcast(std::numeric_limits<E>::max()));
  for (size_t row = 0; row < rows; row += block_rows) {
    with_rows(rows - row, [&](auto vectors) {
      sort_full_block<E, vectors>(keys + row * width);
    });
  }
  merge_blocks(keys, rows);
  for (size_t i = 0; i < last_row; ++i) {
    store(to + i * width, load(keys + i * width));
  }
  to += last_row * width;
  store(to, used ? load(last) : load(to));
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
