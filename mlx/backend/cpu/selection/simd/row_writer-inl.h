// Copyright © 2026 the mlx-topk authors. MIT licence.

// Writes one row of the output, place by place: the indices, or the values of
// the elements at those indices.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * Calls use(first, last) for the ranges of [0, size) between the ``count``
 * indices in ``chosen``, which are ascending. Ranges may be empty.
 */
template <typename Use>
void for_each_gap(
    const uint32_t* chosen,
    size_t count,
    size_t size,
    Use&& use) {
  size_t next = 0;
  for (size_t c = 0; c < count; ++c) {
    use(next, static_cast<size_t>(chosen[c]));
    next = chosen[c] + 1;
  }
  use(next, size);
}

/** Writes ``index`` itself to a place of the row. */
class IndexWriter {
 public:
  IndexWriter(uint32_t* out, int64_t stride, size_t size)
      : out_(out), stride_(stride), size_(size) {}

  void operator()(size_t place, uint32_t index) const {
    out_[static_cast<int64_t>(place) * stride_] = index;
  }

  /** Writes ``count`` indices, from ``place`` on. */
  template <typename Index>
  void write_all(const Index* indices, size_t count, size_t place) const {
    if (stride_ == 1) {
      std::copy_n(indices, count, out_ + place);
      return;
    }
    for (size_t i = 0; i < count; ++i) {
      (*this)(place + i, indices[i]);
    }
  }

  /**
   * Writes, from ``place`` on, all indices of the row except the ``count``
   * indices in ``chosen``, which are ascending.
   */
  void write_others(const uint32_t* chosen, size_t count, size_t place) const {
    if (stride_ == 1 && count <= 16 && size_ <= max_branchless_size) {
      write_others_branchless(chosen, count, out_ + place);
      return;
    }
    for_each_gap(chosen, count, size_, [&](size_t first, size_t last) {
      if (stride_ == 1) {
        std::iota(out_ + place, out_ + place + (last - first), first);
        place += last - first;
      } else {
        for (; first < last; ++first) {
          (*this)(place++, first);
        }
      }
    });
  }

 private:
  static constexpr size_t max_branchless_size = 512;

  // The index at place p is p plus the number of chosen indices before it.
  void write_others_branchless(
      const uint32_t* chosen,
      size_t count,
      uint32_t* to) const {
    constexpr auto width = lanes<uint32_t>;
    uint32_t others[max_branchless_size + width];
    auto places = lane_numbers<uint32_t>();
    for (size_t i = 0; i < size_ - count; i += width) {
      auto indices = places;
      for (size_t c = 0; c < count; ++c) {
        auto skipped = places >= static_cast<uint32_t>(chosen[c] - c);
        indices -= (Vector<uint32_t>)skipped;
      }
      store(others + i, indices);
      places += static_cast<uint32_t>(width);
    }
    std::copy(others, others + size_ - count, to);
  }

  uint32_t* out_;
  int64_t stride_;
  size_t size_;
};

/**
 * Writes the element at ``index`` to a place of the row. Has its own copy of
 * the row's address: a store of a byte could otherwise change that.
 */
template <typename T>
class ValueWriter {
 public:
  ValueWriter(T* out, int64_t stride, const Row<T>& row)
      : out_(out), stride_(stride), row_(row) {}

  void operator()(size_t place, uint32_t index) const {
    out_[static_cast<int64_t>(place) * stride_] = row_[index];
  }

  /** Writes the elements at ``count`` indices, from ``place`` on. */
  template <typename Index>
  void write_all(const Index* indices, size_t count, size_t place) const {
    if (stride_ == 1 && row_.stride == 1) {
      auto from = row_.data;
      auto to = out_ + place;
#pragma GCC unroll 4
      for (size_t i = 0; i < count; ++i) {
        to[i] = from[indices[i]];
      }
      return;
    }
    auto self = *this;
    for (size_t i = 0; i < count; ++i) {
      self(place + i, indices[i]);
    }
  }

  /** As in IndexWriter, but writes the values at those indices. */
  void write_others(const uint32_t* chosen, size_t count, size_t place) const {
    auto self = *this;
    for_each_gap(chosen, count, row_.size, [&](size_t first, size_t last) {
      if (self.stride_ == 1 && self.row_.stride == 1) {
        auto from = self.row_.data;
        std::copy(from + first, from + last, self.out_ + place);
        place += last - first;
      } else {
        for (; first < last; ++first) {
          self(place++, first);
        }
      }
    });
  }

 private:
  T* out_;
  int64_t stride_;
  Row<T> row_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
