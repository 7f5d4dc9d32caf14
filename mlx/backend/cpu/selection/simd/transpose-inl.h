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

/** Lines whose neighbours, and whose elements, are some elements apart. */
template <typename T>
struct Lines {
  T* first;
  int64_t pitch;
  int64_t stride;
};

/**
 * Copies ``count`` lines of ``size`` elements. Goes along all lines together,
 * so that the cache keeps what lies between their elements until it is used.
 */
template <typename T>
void copy_lines(Lines<const T> from, Lines<T> to, int64_t count, int64_t size) {
  constexpr int64_t step = 64;
  for (int64_t first = 0; first < size; first += step) {
    auto last = std::min(first + step, size);
    for (int64_t line = 0; line < count; ++line) {
      auto in = from.first + line * from.pitch;
      auto out = to.first + line * to.pitch;
      for (auto i = first; i < last; ++i) {
        out[i * to.stride] = in[i * from.stride];
      }
    }
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
  auto whole_rows = rows - rows % block;
  auto whole_columns = columns - columns % block;
  auto copy_block = [&](int64_t r, int64_t c) {
    transpose_block(
        from + r * from_pitch + c, from_pitch, to + c * to_pitch + r, to_pitch);
  };
  // The inner loop goes along the shorter side, so that the cache keeps the
  // lines of its blocks until all of their elements have been used.
  if (rows > columns) {
    for (int64_t r = 0; r < whole_rows; r += block) {
      for (int64_t c = 0; c < whole_columns; c += block) {
        copy_block(r, c);
      }
    }
  } else {
    for (int64_t c = 0; c < whole_columns; c += block) {
      for (int64_t r = 0; r < whole_rows; r += block) {
        copy_block(r, c);
      }
    }
  }
  copy_lines<T>(
      {from + whole_columns, 1, from_pitch},
      {to + whole_columns * to_pitch, to_pitch, 1},
      columns - whole_columns,
      whole_rows);
  copy_lines<T>(
      {from + whole_rows * from_pitch, from_pitch, 1},
      {to + whole_rows, 1, to_pitch},
      rows - whole_rows,
      columns);
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
