// Copyright © 2026 the mlx-topk authors. MIT licence.

// Copies rows that are in order already. The kernels that work on several rows
// at once would not notice the order, and would sort such rows like any others.

#pragma once

#include "mlx/backend/cpu/selection/simd/row_output-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** How many elements are copied by one or two instructions. */
template <typename T>
constexpr int64_t piece = 16 / sizeof(T);

/** Copies rows at the start of a range, as long as they are in order. */
template <typename T>
class OrderedRows {
 public:
  /**
   * ``best_first`` is the output of all rows: the ``k`` best of a row, the best
   * at place 0.
   */
  OrderedRows(
      const RowPlan& rows,
      const void* in,
      RankOf<T> rank,
      size_t k,
      const RowOutput<T>& best_first)
      : rows_(rows),
        in_(static_cast<const T*>(in)),
        rank_(rank),
        size_(rows.axis_size),
        k_(k),
        out_(best_first) {}

  /**
   * Copies rows from ``first`` < ``last`` on until one is in no order or in
   * another order than those before it. Returns the number of the first row of
   * [first, last) that was not copied. If the first rows are in no order, this
   * takes little time.
   */
  int64_t copy(int64_t first, int64_t last) const {
    if (rows_.in_axis_stride == 1 && size_ > 1) {
      return copy_contiguous(first, last);
    }
    bool adjacent = !rows_.shape.empty() && rows_.in_strides.back() == 1 &&
        rows_.out_strides.back() == 1;
    return adjacent ? copy_adjacent(first, last) : first;
  }

 private:
  // ---- contiguous rows -----------------------------------------------------

  int64_t copy_contiguous(int64_t first, int64_t last) const {
    RowCursor at(rows_, first);
    auto order = order_at(at.in_offset);
    if (order == RowOrder::neither) {
      return first;
    }
    auto from = in_ + at.in_offset;
    auto to = out_.at(at.out_offset);
    bool best_first = order == RowOrder::best_first;
    // Rows that do not change and are next to each other are copied together.
    bool together = best_first && !out_.indices && out_.stride == 1 &&
        k_ == size_ && rows_.shape.size() < 2 &&
        (rows_.shape.empty() || rows_.in_strides[0] == rows_.axis_size);
    auto next = first;
    while (order != RowOrder::neither &&
           (order == RowOrder::best_first) == best_first) {
      if (!together) {
        Row<T> row{in_ + at.in_offset, 1, size_};
        copy_in_order(row, rank_, order, k_, out_.at(at.out_offset));
      }
      if (++next == last) {
        break;
      }
      at.next();
      order = order_at(at.in_offset);
    }
    if (together) {
      std::copy_n(from, (next - first) * size_, to.values);
    }
    return next;
  }

  RowOrder order_at(int64_t offset) const {
    constexpr auto count = Steps::count<T>;
    Row<T> row{in_ + offset, 1, size_};
    bool readable =
        offset + static_cast<int64_t>(count) <= rows_.last_in_offset;
    if (size_ == 1 || size_ > count || !readable) {
      return order_of(row, rank_);
    }
    Steps steps;
    steps.add(row.data, row.data + 1, rank_, size_ - 1);
    return steps.order();
  }

  // ---- adjacent rows -------------------------------------------------------

  // Adjacent rows are the columns of a matrix, which is copied line by line.
  int64_t copy_adjacent(int64_t first, int64_t last) const {
    RowCursor at(rows_, first);
    while (first < last) {
      auto count = std::min(last - first, at.left_of_inner());
      auto order = order_of_columns(in_ + at.in_offset, count);
      if (order == RowOrder::neither ||
          ties_matter(order, out_.indices != nullptr)) {
        break;
      }
      bool forwards = order == RowOrder::best_first;
      copy_columns(in_ + at.in_offset, count, forwards, out_.at(at.out_offset));
      at.advance(count);
      first += count;
    }
    return first;
  }

  // Returns the order that all of ``count`` columns have, if they have the same
  // one. Takes a few columns of a wider matrix as being in no order.
  RowOrder order_of_columns(const T* from, int64_t count) const {
    auto stride = rows_.in_axis_stride;
    Steps steps;
    if (stride == count) {
      steps.add_all(from, from + stride, rank_, (size_ - 1) * count);
      return steps.order();
    }
    if (count < static_cast<int64_t>(Steps::count<T>)) {
      return RowOrder::neither;
    }
    for (size_t i = 0; i + 1 < size_ && steps.in_order(); ++i, from += stride) {
      steps.add_all(from, from + stride, rank_, static_cast<size_t>(count));
    }
    return steps.order();
  }

  // Writes k lines of a matrix with ``count`` columns: the first ones if
  // ``forwards``, otherwise the last ones in reverse.
  void copy_columns(
      const T* from,
      int64_t count,
      bool forwards,
      RowOutput<T> to) const {
    // Writes the lines in the order of their output addresses, so that the
    // stride of the output is positive.
    auto first = forwards ? 0 : size_ - k_;
    bool same_order = forwards == (to.stride > 0);
    if (to.stride < 0) {
      to = to.reversed(k_);
    }
    auto line_at = [&](size_t place) {
      return first + (same_order ? place : k_ - 1 - place);
    };
    if (to.indices) {
      for (size_t i = 0; i < k_; ++i) {
        auto line = to.indices + static_cast<int64_t>(i) * to.stride;
        std::fill_n(line, count, static_cast<uint32_t>(line_at(i)));
      }
    }
    if (!to.values) {
      return;
    }
    auto stride = rows_.in_axis_stride;
    if (same_order && stride == count && to.stride == count) {
      std::copy_n(from + first * stride, k_ * count, to.values);
      return;
    }
    if (count < piece<T> && to.stride == count) {
      return copy_narrow(from, count, line_at, to.values);
    }
    for (size_t i = 0; i < k_; ++i) {
      auto line = from + static_cast<int64_t>(line_at(i)) * stride;
      auto place = to.values + static_cast<int64_t>(i) * to.stride;
      std::copy_n(line, count, place);
    }
  }

  // Copies lines that are shorter than a piece. Copies a whole piece for each
  // line, which takes fewer instructions. What is written after the end of a
  // line is overwritten by the next line.
  template <typename LineAt>
  void copy_narrow(const T* from, int64_t count, const LineAt& line_at, T* to)
      const {
    auto stride = rows_.in_axis_stride;
    auto has_piece = [&](size_t line, size_t lines, int64_t pitch) {
      return static_cast<int64_t>(lines - line) * pitch >= piece<T>;
    };
    for (size_t i = 0; i < k_; ++i, to += count) {
      auto line = line_at(i);
      auto elements = from + static_cast<int64_t>(line) * stride;
      if (has_piece(line, size_, stride) && has_piece(i, k_, count)) {
        std::memcpy(static_cast<void*>(to), elements, piece<T> * sizeof(T));
      } else {
        std::copy_n(elements, count, to);
      }
    }
  }

  const RowPlan& rows_;
  const T* in_;
  RankOf<T> rank_;
  size_t size_;
  size_t k_;
  RowOutput<T> out_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
