// Copyright © 2026 the mlx-topk authors. MIT licence.

// Walks over the rows of a plan. Rows that lie side by side in memory come in
// blocks: each cache line is read once. Included once per instruction set,
// inside its namespace.

/** So much of neighbouring rows is copied at a time, at the most. */
constexpr size_t tile_bytes = size_t(4) << 20;

/** An input of more than this is not in a cache, where fetching ahead costs. */
constexpr size_t cached_bytes = size_t(32) << 20;

/** How many neighbouring rows to copy at a time; 1 to leave them where they
 * are. */
template <typename T>
int64_t rows_of_tile(const RowPlan& rows) {
  bool adjacent = rows.in_axis_stride != 1 && !rows.shape.empty() &&
      rows.in_strides.back() == 1;
  if (!adjacent || rows.axis_size < 8) {
    return 1;
  }
  int64_t fit = tile_bytes / (rows.axis_size * sizeof(T));
  auto most = std::min<int64_t>({fit, 64 / sizeof(T), rows.shape.back()});
  return std::max<int64_t>(most, 1);
}

/** Rows of ``count`` neighbours, each in one piece, ``pitch`` apart. */
template <typename T>
void copy_tile(
    const T* from,
    int64_t stride,
    size_t size,
    size_t count,
    T* to,
    size_t pitch) {
  constexpr size_t block = 16;
  for (size_t j = 0; j < size; j += block) {
    auto end = std::min(j + block, size);
    for (size_t r = 0; r < count; ++r) {
      for (auto i = j; i < end; ++i) {
        to[r * pitch + i] = from[static_cast<int64_t>(i) * stride + r];
      }
    }
  }
}

/** use(row, offset in the output) for the rows [first, last). */
template <typename T, typename Use>
void for_each_row(
    const RowPlan& rows,
    const void* in,
    int64_t first,
    int64_t last,
    Use&& use) {
  auto data = static_cast<const T*>(in);
  auto size = static_cast<size_t>(rows.axis_size);
  auto most = rows_of_tile<T>(rows);
  // Not a power of two: rows would compete for the same lines of the cache.
  auto pitch = size + 64 / sizeof(T);
  Buffer<T> tile(most > 1 ? most * pitch : 0);
  bool from_memory = rows.in_axis_stride == 1 &&
      rows.rows * rows.axis_size * sizeof(T) > cached_bytes;
  RowCursor at(rows, first);
  for (auto r = first; r < last;) {
    auto count = most > 1 ? std::min({most, last - r, at.left_of_inner()}) : 1;
    if (count > 1) {
      copy_tile(
          data + at.in_offset,
          rows.in_axis_stride,
          size,
          count,
          tile.get(),
          pitch);
    }
    for (int64_t i = 0; i < count; ++i) {
      auto row = count > 1
          ? Row<T>{tile.get() + i * pitch, 1, size}
          : Row<T>{data + at.in_offset, rows.in_axis_stride, size};
      auto out = at.out_offset;
      at.next();
      if (++r < last && from_memory) {
        row.next = data + at.in_offset;
      }
      use(row, out);
    }
  }
}

/** use(block, offsets in the output, how many rows of the block are real). */
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
    auto valid = std::min(count, last - r);
    for (int64_t i = 0; i < valid; ++i, at.next()) {
      block.offset[i] = at.in_offset;
      out[i] = at.out_offset;
    }
    for (auto i = valid; i < count; ++i) {
      block.offset[i] = block.offset[0];
    }
    use(block, out, static_cast<size_t>(valid));
  }
}
