// Copyright © 2026 the mlx-topk authors. MIT licence.

// Calls a function for each row of a plan.
//
// Rows are called adjacent if their first elements are next to each other in
// memory, and so are their second elements, and so on. Adjacent rows are copied
// in tiles before they are used, so that each cache line is read once.

#pragma once

#include "mlx/backend/cpu/selection/simd/buffer-inl.h"
#include "mlx/backend/cpu/selection/simd/lanes-inl.h"
#include "mlx/backend/cpu/selection/simd/transpose-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** The greatest size of a tile, which is a copy of several adjacent rows. */
constexpr size_t max_tile_bytes = size_t(4) << 20;

/**
 * A larger input is taken to be in main memory, not in a cache. Only then does
 * prefetching pay.
 */
constexpr size_t max_cached_bytes = size_t(32) << 20;

/** Returns how many adjacent rows to copy at a time; 1 to copy none. */
template <typename T>
int64_t rows_per_tile(const RowPlan& rows) {
  bool adjacent = rows.in_axis_stride != 1 && !rows.shape.empty() &&
      rows.in_strides.back() == 1;
  if (!adjacent || rows.axis_size < 8) {
    return 1;
  }
  // The output may be indices, which have 4 bytes.
  constexpr auto bytes = std::max(sizeof(T), sizeof(uint32_t));
  int64_t fit = max_tile_bytes / (rows.axis_size * bytes);
  auto most = std::min<int64_t>({fit, 64 / sizeof(T), rows.shape.back()});
  return std::max<int64_t>(most, 1);
}

/**
 * Returns how far apart rows of ``size`` elements start in a tile. One cache
 * line is added, so that the pitch is not a power of two. Otherwise all rows of
 * a tile would compete for the same sets of the cache.
 */
template <typename T>
size_t tile_pitch(size_t size) {
  return size + 64 / sizeof(T);
}

/**
 * Calls use(row, i, offset) for the rows [first, last). ``offset`` is that of
 * the row's first element in the output. Rows come in tiles, and ``i`` is the
 * number of the row in its tile. After each tile, calls finish(offset, count)
 * with the offset of its first row and the number of its rows.
 */
template <typename T, typename Use, typename Finish>
void for_each_row_of_tiles(
    const RowPlan& rows,
    const void* in,
    int64_t first,
    int64_t last,
    Use&& use,
    Finish&& finish) {
  auto data = static_cast<const T*>(in);
  auto size = static_cast<size_t>(rows.axis_size);
  auto most = rows_per_tile<T>(rows);
  auto pitch = tile_pitch<T>(size);
  Buffer<T> tile(most > 1 ? most * pitch : 0);
  bool from_memory = rows.in_axis_stride == 1 &&
      rows.rows * rows.axis_size * sizeof(T) > max_cached_bytes;
  RowCursor at(rows, first);
  for (auto r = first; r < last;) {
    auto count = most > 1 ? std::min({most, last - r, at.left_of_inner()}) : 1;
    if (count > 1) {
      transpose(
          data + at.in_offset,
          rows.in_axis_stride,
          rows.axis_size,
          count,
          tile.get(),
          pitch);
    }
    auto first_out = at.out_offset;
    for (int64_t i = 0; i < count; ++i) {
      auto row = count > 1
          ? Row<T>{tile.get() + i * pitch, 1, size}
          : Row<T>{data + at.in_offset, rows.in_axis_stride, size};
      auto out = at.out_offset;
      at.next();
      if (++r < last && from_memory) {
        row.next = data + at.in_offset;
      }
      use(row, i, out);
    }
    finish(first_out, count);
  }
}

/** As for_each_row_of_tiles, but calls only use(row, offset). */
template <typename T, typename Use>
void for_each_row(
    const RowPlan& rows,
    const void* in,
    int64_t first,
    int64_t last,
    Use&& use) {
  for_each_row_of_tiles<T>(
      rows,
      in,
      first,
      last,
      [&](const Row<T>& row, int64_t, int64_t offset) { use(row, offset); },
      [](int64_t, int64_t) {});
}

/**
 * Sets in[i] and, unless ``out`` is null, out[i] to the offsets of the first
 * elements of the next rows: ``count`` rows, or ``left`` if that is less. Moves
 * ``at`` on by as many rows. Returns how many they are.
 */
[[gnu::always_inline]] inline int64_t next_offsets(
    const RowPlan& rows,
    RowCursor& at,
    int64_t left,
    int64_t count,
    int64_t* in,
    int64_t* out) {
  auto valid = std::min(count, left);
  if (valid <= at.left_of_inner()) {
    // The rows are equally far apart.
    auto step = rows.shape.empty() ? 0 : rows.in_strides.back();
    for (int64_t i = 0; i < valid; ++i) {
      in[i] = at.in_offset + i * step;
    }
    if (out) {
      step = rows.shape.empty() ? 0 : rows.out_strides.back();
      for (int64_t i = 0; i < valid; ++i) {
        out[i] = at.out_offset + i * step;
      }
    }
    at.advance(valid);
    return valid;
  }
  for (int64_t i = 0; i < valid; ++i, at.next()) {
    in[i] = at.in_offset;
    if (out) {
      out[i] = at.out_offset;
    }
  }
  return valid;
}

/**
 * Calls use(block, offsets, valid) for the rows [first, last), in blocks of as
 * many rows as there are lanes. ``offsets`` are those of the rows' first
 * elements in the output. Only the first ``valid`` rows of a block are rows of
 * the range; the others repeat the first.
 */
template <typename T, typename Use>
void for_each_block(
    const RowPlan& rows,
    const void* in,
    int64_t first,
    int64_t last,
    Use&& use) {
  constexpr int64_t count = RowBlock<T>::count;
  RowBlock<T> block;
  block.data = static_cast<const T*>(in);
  block.stride = rows.in_axis_stride;
  block.size = rows.axis_size;
  block.last = rows.last_in_offset;
  int64_t out[count];
  RowCursor at(rows, first);
  for (auto r = first; r < last; r += count) {
    auto valid = next_offsets(rows, at, last - r, count, block.offset, out);
    for (auto i = valid; i < count; ++i) {
      block.offset[i] = block.offset[0];
    }
    use(block, out, static_cast<size_t>(valid));
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
