// Copyright © 2026 the mlx-topk authors. MIT licence.

// Writes one row of the output, place by place: the indices, or the values of
// the elements at those indices.

#pragma once

#include "mlx/backend/cpu/selection/simd/partition_lanes-inl.h"
#include "mlx/backend/cpu/selection/simd/row-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * Writes, from ``place`` on, the elements [first, last) of a row except the
 * ``count`` ones whose indices ``chosen`` has in ascending order. ``writer`` is
 * an IndexWriter or a ValueWriter.
 */
template <typename Writer>
void write_others_between(
    const Writer& writer,
    size_t first,
    size_t last,
    const uint32_t* chosen,
    size_t count,
    size_t place) {
  for (size_t c = 0; c < count; ++c) {
    writer.write_run(first, chosen[c], place);
    place += chosen[c] - first;
    first = chosen[c] + 1;
  }
  writer.write_run(first, last, place);
}

/** The greatest size of rows for OthersWriter. */
constexpr size_t max_others_size = 512;

/**
 * Writes to contiguous memory all elements of a row but those that are chosen,
 * a vector at a time. Items, an IndexLanes or an ElementLanes, has the elements
 * from the first one on. The row has at most max_others_size elements.
 */
template <typename Items>
class OthersWriter {
  static constexpr auto width = lanes<uint32_t>;

 public:
  OthersWriter(Items items, size_t size)
      : items_(items), size_(size), is_chosen_{} {}

  /** ``chosen`` has ``count`` indices, in any order. */
  void write(const uint32_t* chosen, size_t count, uint32_t* to) {
    for (size_t c = 0; c < count; ++c) {
      is_chosen_[chosen[c] / 64] |= uint64_t(1) << (chosen[c] % 64);
    }
    // Elements beyond the row are not written.
    is_chosen_[size_ / 64] |= ~uint64_t(0) << (size_ % 64);
    auto end = to + size_ - count;
    for (size_t i = 0; i < size_; i += width) {
      auto others = ~(is_chosen_[i / 64] >> (i % 64)) & all_lanes;
      auto kept = front_lanes<uint32_t>(items_.next(), others);
      auto found = std::popcount(others);
      if (to + width <= end) [[likely]] {
        store(to, kept);
      } else {
        uint32_t last[width];
        store(last, kept);
        std::copy_n(last, found, to);
      }
      to += found;
    }
  }

 private:
  static constexpr auto all_lanes = (uint64_t(1) << width) - 1;

  Items items_;
  size_t size_;
  uint64_t is_chosen_[max_others_size / 64 + 1];
};

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
    if (stride_ == 1 && count <= max_unordered && size_ <= max_others_size) {
      if constexpr (front_lanes_is_fast) {
        return write_others_of(chosen, count, place);
      } else {
        return write_others_branchless(chosen, count, out_ + place);
      }
    }
    write_others_between(*this, 0, size_, chosen, count, place);
  }

  /** Writes the indices [first, last), which may be none, from ``place`` on. */
  void write_run(size_t first, size_t last, size_t place) const {
    if (stride_ == 1) {
      std::iota(out_ + place, out_ + place + (last - first), first);
      return;
    }
    if (stride_ == -1) {
      auto lowest = out_ - place - (last - first) + 1;
      for (auto to = lowest; first < last; ++to) {
        *to = --last;
      }
      return;
    }
    for (; first < last; ++first) {
      (*this)(place++, first);
    }
  }

  /**
   * As write_others(), but ``chosen`` has at most 16 indices, in any order, of
   * a row of at most max_others_size elements. The output is contiguous.
   */
  void write_others_of(const uint32_t* chosen, size_t count, size_t place)
      const {
    OthersWriter<IndexLanes> others(IndexLanes(0), size_);
    others.write(chosen, count, out_ + place);
  }

 private:
  static constexpr size_t max_unordered = 16;

  // The index at place p is p plus the number of chosen indices before it.
  void write_others_branchless(
      const uint32_t* chosen,
      size_t count,
      uint32_t* to) const {
    constexpr auto width = lanes<uint32_t>;
    uint32_t others[max_others_size + width];
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

  /** As in IndexWriter. The elements have up to 4 bytes and are contiguous. */
  void write_others_of(const uint32_t* chosen, size_t count, size_t place)
      const {
    static_assert(sizeof(T) <= sizeof(uint32_t));
    OthersWriter<ElementLanes<T>> others(
        {row_.data, row_.data + row_.size}, row_.size);
    auto to = out_ + place;
    if constexpr (sizeof(T) == sizeof(uint32_t)) {
      others.write(chosen, count, reinterpret_cast<uint32_t*>(to));
    } else {
      uint32_t bits[max_others_size];
      others.write(chosen, count, bits);
      write_elements(bits, row_.size - count, to);
    }
  }

  /** As in IndexWriter, but writes the values at those indices. */
  void write_others(const uint32_t* chosen, size_t count, size_t place) const {
    write_others_between(*this, 0, row_.size, chosen, count, place);
  }

  /** As in IndexWriter, but writes the values at those indices. */
  void write_run(size_t first, size_t last, size_t place) const {
    if (stride_ == 1 && row_.stride == 1) {
      auto from = row_.data;
      std::copy(from + first, from + last, out_ + place);
      return;
    }
    if (stride_ == -1 && row_.stride == 1) {
      auto lowest = out_ - place - (last - first) + 1;
      std::reverse_copy(row_.data + first, row_.data + last, lowest);
      return;
    }
    auto self = *this;
    for (; first < last; ++first) {
      self(place++, first);
    }
  }

 private:
  T* out_;
  int64_t stride_;
  Row<T> row_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
