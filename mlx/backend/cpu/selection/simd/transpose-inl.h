// Copyright © 2026 the mlx-topk authors. MIT licence.

// Transposes a matrix in memory, to make adjacent rows contiguous and back.

#pragma once

#include "mlx/backend/cpu/selection/simd/vector-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * Transposes a square block that has as many rows as 16 bytes have elements of
 * type T. Rows of the input and of the output start ``from_pitch`` and
 * ``to_pitch`` elements apart. All instruction sets have the 16-byte
 * instructions that this needs.
 */
template <typename T>
void transpose_block(
    const T* from,
    int64_t from_pitch,
    T* to,
    int64_t to_pitch) {
  using E = OrderedKey<T>;
  typedef E V __attribute__((vector_size(16)));
  constexpr size_t size = 16 / sizeof(T);
  V rows[size];
  for (size_t i = 0; i < size; ++i) {
    std::memcpy(rows + i, from + static_cast<int64_t>(i) * from_pitch, 16);
  }
  // Each step rotates the bits of an element's position, row and column
  // together, by one. After as many steps as the row has bits, the row and the
  // column have changed places.
#pragma GCC unroll 4
  for (size_t step = 1; step < size; step *= 2) {
    V next[size];
#pragma GCC unroll 8
    for (size_t i = 0; i < size / 2; ++i) {
      constexpr auto all = std::make_index_sequence<size>();
      auto low = [](size_t l) constexpr { return (l & 1) * size + l / 2; };
      auto high = [](size_t l) constexpr {
        return (l & 1) * size + size / 2 + l / 2;
      };
      next[2 * i] = shuffle(rows[i], rows[i + size / 2], low, all);
      next[2 * i + 1] = shuffle(rows[i], rows[i + size / 2], high, all);
    }
    // Not std::copy: compilers make it one long load from memory, which waits
    // for the stores of all parts.
#pragma GCC unroll 16
    for (size_t i = 0; i < size; ++i) {
      rows[i] = next[i];
    }
  }
  for (size_t i = 0; i < size; ++i) {
    auto row = static_cast<void*>(to + static_cast<int64_t>(i) * to_pitch);
    std::memcpy(row, rows + i, 16);
  }
}

/**
 * Writes the transpose of a matrix: to[c * to_pitch + r] is
 * from[r * from_pitch + c].
 */
template <typename T>
void transpose(
    const T* from,
    int64_t from_pitch,
    int64_t rows,
    int64_t columns,
    T* to,
    int64_t to_pitch) {
  constexpr int64_t block = 16 / sizeof(T);
  if (columns < block) {
    // Columns are short enough to stay in the cache's lines.
    constexpr int64_t step = 64;
    for (int64_t r = 0; r < rows; r += step) {
      auto end = std::min(r + step, rows);
      for (int64_t c = 0; c < columns; ++c) {
        for (auto i = r; i < end; ++i) {
          to[c * to_pitch + i] = from[i * from_pitch + c];
        }
      }
    }
    return;
  }
  auto part = [&](int64_t r, int64_t c) {
    if (r + block <= rows && c + block <= columns) {
      transpose_block(
          from + r * from_pitch + c,
          from_pitch,
          to + c * to_pitch + r,
          to_pitch);
      return;
    }
    for (auto i = r; i < std::min(r + block, rows); ++i) {
      for (auto j = c; j < std::min(c + block, columns); ++j) {
        to[j * to_pitch + i] = from[i * from_pitch + j];
      }
    }
  };
  // The inner loop goes along the shorter side, so that the cache keeps the
  // lines of its blocks until all of their elements have been used.
  if (rows > columns) {
    for (int64_t r = 0; r < rows; r += block) {
      for (int64_t c = 0; c < columns; c += block) {
        part(r, c);
      }
    }
  } else {
    for (int64_t c = 0; c < columns; c += block) {
      for (int64_t r = 0; r < rows; r += block) {
        part(r, c);
      }
    }
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
