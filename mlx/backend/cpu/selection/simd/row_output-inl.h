// Copyright © 2026 the mlx-topk authors. MIT licence.

// Where the results of one row are written: its elements, their indices, or
// both.

#pragma once

#include "mlx/backend/cpu/selection/simd/row_order-inl.h"
#include "mlx/backend/cpu/selection/simd/row_writer-inl.h"
#include "mlx/backend/cpu/selection/simd/rows-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * The outputs of one row, whose elements are ``stride`` apart. One of the
 * pointers may be null.
 */
template <typename T>
struct RowOutput {
  T* values;
  uint32_t* indices;
  int64_t stride;

  /** Writes an element, and its index if wanted. */
  void write(size_t place, uint32_t index, const Row<T>& row) const {
    auto to = static_cast<int64_t>(place) * stride;
    values[to] = row[index];
    if (indices) {
      indices[to] = index;
    }
  }

  /** Exchanges what was written to two places. */
  void exchange(size_t a, size_t b) const {
    auto at_a = static_cast<int64_t>(a) * stride;
    auto at_b = static_cast<int64_t>(b) * stride;
    std::swap(values[at_a], values[at_b]);
    if (indices) {
      std::swap(indices[at_a], indices[at_b]);
    }
  }

  /** Writes ``k`` elements, and their indices if wanted. */
  void write_all(const uint32_t* chosen, size_t k, const Row<T>& row) const {
    ValueWriter<T>(values, stride, row).write_all(chosen, k, 0);
    if (indices) {
      IndexWriter(indices, stride, row.size).write_all(chosen, k, 0);
    }
  }

  /** Writes the elements [first, last) from ``place`` on. */
  void write_run(const Row<T>& row, size_t first, size_t last, size_t place)
      const {
    if (values) {
      ValueWriter<T>(values, stride, row).write_run(first, last, place);
    }
    if (indices) {
      IndexWriter(indices, stride, row.size).write_run(first, last, place);
    }
  }

  /** As write_run(), but the last element comes first. */
  void write_reversed(
      const Row<T>& row,
      size_t first,
      size_t last,
      size_t place) const {
    auto count = last - first;
    if (count > 0) {
      at(static_cast<int64_t>(place) * stride)
          .reversed(count)
          .write_run(row, first, last, 0);
    }
  }

  /** Returns the output that begins ``offset`` elements further on. */
  RowOutput at(int64_t offset) const {
    return {
        values ? values + offset : nullptr,
        indices ? indices + offset : nullptr,
        stride};
  }

  /** Writes ``count`` values from the first place on, and no indices. */
  void write_values(const T* from, size_t count) const {
    if (stride == 1) {
      std::copy_n(from, count, values);
      return;
    }
    for (size_t i = 0; i < count; ++i) {
      values[static_cast<int64_t>(i) * stride] = from[i];
    }
  }

  /** Returns the same k places, counted from the last to the first. */
  RowOutput reversed(size_t k) const {
    auto last = at(static_cast<int64_t>(k - 1) * stride);
    last.stride = -stride;
    return last;
  }
};

/**
 * Returns whether copying a row in this order, or its reverse, could write
 * something else than a stable sort would: elements that tie change places.
 */
inline bool ties_matter(RowOrder order, bool writes_indices) {
  return order == RowOrder::best_last_with_ties ||
      (order == RowOrder::best_last_with_copies && writes_indices);
}

/**
 * Writes the k best elements, best first, of a row that is in an order.
 * ``order`` is not RowOrder::neither.
 */
template <typename T>
void copy_in_order(
    const Row<T>& row,
    RankOf<T> rank,
    RowOrder order,
    size_t k,
    const RowOutput<T>& best_first) {
  if (order == RowOrder::best_first) {
    return best_first.write_run(row, 0, k, 0);
  }
  // The elements from ``end`` on are written.
  auto end = row.size;
  if (ties_matter(order, best_first.indices != nullptr)) {
    for_each_tie_from_last(row, rank, k, [&](size_t first, size_t last) {
      best_first.write_reversed(row, last, end, row.size - end);
      auto place = row.size - last;
      auto written = std::min(last - first, k - place);
      best_first.write_run(row, first, first + written, place);
      end = first;
    });
  }
  if (end > row.size - k) {
    best_first.write_reversed(row, row.size - k, end, row.size - end);
  }
}

/**
 * The outputs of rows that are adjacent in the input, and in the output unless
 * the input is a transposed view. They are written to a tile first, in which
 * each row is contiguous, and from there to their places. Without it, each row
 * would write to as many cache lines as it has elements, and its neighbours
 * would write to the same lines again later.
 */
template <typename T>
class TiledOutput {
 public:
  /** ``all`` is the whole output, ``size`` the size of each of its rows. */
  TiledOutput(const RowOutput<T>& all, size_t size, const RowPlan& rows)
      : all_(all),
        size_(size),
        tiled_(
            rows_per_tile<T>(rows) >= min_rows && rows.out_strides.back() == 1),
        values_(tile_size<T>(all.values, rows)),
        indices_(tile_size<uint32_t>(all.indices, rows)) {}

  /** Returns where to write row ``i`` of a tile, whose place is ``offset``. */
  RowOutput<T> row(int64_t i, int64_t offset) const {
    if (!tiled_) {
      return {
          all_.values ? all_.values + offset : nullptr,
          all_.indices ? all_.indices + offset : nullptr,
          all_.stride};
    }
    return {
        all_.values ? row_of(values_, i) : nullptr,
        all_.indices ? row_of(indices_, i) : nullptr,
        1};
  }

  /** Moves ``count`` rows to their places, which begin at ``offset``. */
  void finish(int64_t offset, int64_t count) const {
    if (tiled_ && all_.values) {
      move_rows(values_, count, all_.values + offset);
    }
    if (tiled_ && all_.indices) {
      move_rows(indices_, count, all_.indices + offset);
    }
  }

 private:
  template <typename E>
  size_t tile_size(const E* wanted, const RowPlan& rows) const {
    return wanted && tiled_ ? rows_per_tile<T>(rows) * tile_pitch<E>(size_) : 0;
  }

  template <typename E>
  E* row_of(const Buffer<E>& tile, int64_t i) const {
    return tile.get() + i * tile_pitch<E>(size_);
  }

  template <typename E>
  void move_rows(const Buffer<E>& tile, int64_t count, E* to) const {
    auto pitch = tile_pitch<E>(size_);
    transpose<E>(tile.get(), pitch, count, size_, to, all_.stride);
  }

  // Fewer rows are written to their places directly: too few of them share a
  // cache line.
  static constexpr int64_t min_rows = 4;

  RowOutput<T> all_;
  size_t size_;
  bool tiled_;
  Buffer<T> values_;
  Buffer<uint32_t> indices_;
};

/**
 * Calls use(row, output) for the rows [first, last). ``all`` is the output of
 * all rows, in which a row has ``size`` elements.
 */
template <typename T, typename Use>
void for_each_row_and_output(
    const RowPlan& rows,
    const void* in,
    const RowOutput<T>& all,
    size_t size,
    int64_t first,
    int64_t last,
    Use&& use) {
  TiledOutput<T> output(all, size, rows);
  for_each_row_of_tiles<T>(
      rows,
      in,
      first,
      last,
      [&](const Row<T>& row, int64_t i, int64_t offset) {
        use(row, output.row(i, offset));
      },
      [&](int64_t offset, int64_t count) { output.finish(offset, count); });
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
