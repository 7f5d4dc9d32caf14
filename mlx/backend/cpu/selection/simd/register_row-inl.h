// Copyright © 2026 the mlx-topk authors. MIT licence.

// A contiguous row that fits into registers, where sort_block-inl.h sorts it.
// The last vector overlaps the one before rather than reach beyond the row.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_block-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * A row of ``count`` elements with keys of type K, which are at least one
 * vector and more than half of ``rows`` vectors.
 */
template <typename K, int rows>
class RegisterRow {
 public:
  static constexpr size_t width = lanes<K>;

  explicit RegisterRow(size_t count) : count_(count) {}

  /** Returns the index of the first element in vector ``i``. */
  size_t begin_of(size_t i) const {
    return std::min(i * width, count_ - width);
  }

  /** Puts the greatest key where a vector has no elements of its own. */
  [[gnu::always_inline]] inline void pad(Vector<K>* keys) const {
#pragma GCC unroll 16
    for (size_t i = rows / 2; i < rows; ++i) {
      auto index = lane_numbers<K>() + static_cast<K>(begin_of(i));
      auto padding = broadcast(std::numeric_limits<K>::max());
      keys[i] = index >= static_cast<K>(i * width) ? keys[i] : padding;
    }
  }

  /**
   * Writes the row's elements to ``to``. write(i, to) writes those of a whole
   * vector.
   */
  template <typename E, typename Write>
  [[gnu::always_inline]] inline void write_all(E* to, Write&& write) const {
    alignas(64) E last[2 * width];
#pragma GCC unroll 16
    for (size_t i = 0; i < rows; ++i) {
      if (i < rows / 2 || (i + 1) * width <= count_) {
        write(i, to + i * width);
      } else if (i * width < count_) {
        write(i > 0 ? i - 1 : 0, last);
        write(i, last + width);
        std::memcpy(
            to + count_ - width, last + count_ - i * width, sizeof(E) * width);
      }
    }
  }

 private:
  size_t count_;
};

/**
 * Returns use(rows), where ``rows`` is a constant: how many vectors the keys of
 * a row fill, rounded up to a power of two. Returns false if these are more
 * than ``most``, or if a RegisterRow cannot hold the row.
 */
template <typename K, int most = 8, typename T, typename Use>
[[gnu::always_inline]] inline bool in_registers(const Row<T>& row, Use&& use) {
  auto vectors = vectors_of<K>(row.size);
  return row.stride == 1 && row.size >= lanes<K> && vectors <= most &&
      with_rows<most>(vectors, use);
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
