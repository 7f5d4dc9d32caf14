// Copyright © 2026 the mlx-topk authors. MIT licence.

// Writes the outputs of a block of rows whose best elements were found in
// lanes.

#pragma once

#include "mlx/backend/cpu/selection/simd/row_output-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * The ``k`` best elements of the first ``valid`` rows of a block. The word of
 * the i-th best of row r is words[i * RowBlock<T>::count + r]. The output of
 * row r begins at ``offsets[r]`` in that of all rows.
 */
template <typename T>
struct BlockOutput {
  static constexpr auto count = RowBlock<T>::count;

  const RowBlock<T>& rows;
  const WordOf<T>* words;
  size_t k;
  const int64_t* offsets;
  size_t valid;

  /** ``all`` is the output of all rows, with the best element at place 0. */
  void write(const RowOutput<T>& all) const {
    bool by_row = std::abs(all.stride) == 1;
    if (all.values) {
      by_row ? write_values_by_row(all) : write_values_by_place(all);
    }
    if (all.indices) {
      by_row ? write_indices_by_row(all) : write_indices_by_place(all);
    }
  }

 private:
  void write_values_by_row(const RowOutput<T>& all) const {
    auto stride = rows.stride;
    auto to_stride = all.stride;
    for (size_t r = 0; r < valid; ++r) {
      auto from = rows.data + rows.offset[r];
      auto to = all.values + offsets[r];
      auto word = words + r;
      for (size_t i = 0, end = k; i < end; ++i) {
        *to = from[static_cast<int64_t>(index_of(*word)) * stride];
        to += to_stride;
        word += count;
      }
    }
  }

  void write_indices_by_row(const RowOutput<T>& all) const {
    for (size_t r = 0; r < valid; ++r) {
      auto to = all.indices + offsets[r];
      for (size_t i = 0; i < k; ++i, to += all.stride) {
        *to = index_of(words[i * count + r]);
      }
    }
  }

  // Places of adjacent rows are next to each other. The elements are copied
  // first, because rows that are some power of two apart compete for the same
  // sets of the cache.
  void write_values_by_place(const RowOutput<T>& all) const {
    T copies[TopKTuning::lanes_k * count];
    bool copied = rows.size <= TopKTuning::lanes_k;
    for (size_t i = 0; i < rows.size && copied; ++i) {
      auto from = rows.data + static_cast<int64_t>(i) * rows.stride;
      for (size_t r = 0; r < count; ++r) {
        copies[i * count + r] = from[rows.offset[r]];
      }
    }
    auto to = all.values;
    for (size_t i = 0; i < k; ++i, to += all.stride) {
      for (size_t r = 0; r < valid; ++r) {
        auto index = index_of(words[i * count + r]);
        to[offsets[r]] = copied
            ? copies[index * count + r]
            : rows.data[rows.offset[r] + index * rows.stride];
      }
    }
  }

  void write_indices_by_place(const RowOutput<T>& all) const {
    auto to = all.indices;
    for (size_t i = 0; i < k; ++i, to += all.stride) {
      for (size_t r = 0; r < valid; ++r) {
        to[offsets[r]] = index_of(words[i * count + r]);
      }
    }
  }
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
