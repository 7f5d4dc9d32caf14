// Copyright © 2026 the mlx-topk authors. MIT licence.

// Rows in order, whole or up to one place. Included once per instruction set,
// inside its namespace.

template <typename T>
struct OrderScratch {
  using R = Rank<T>;

  explicit OrderScratch(size_t size)
      : elements(std::make_unique_for_overwrite<Ranked<R>[]>(2 * size)) {}

  std::unique_ptr<Ranked<R>[]> elements;
};

/** order(place, index) for every place of the row. */
template <typename T, typename Put>
void argsort_row(const Row<T>& row, OrderScratch<T>& scratch, Put&& put) {
  using R = Rank<T>;
  RankOf<T> rank(Ranking::ascending);
  auto n = row.size;
  if (n <= few) {
    R ranks[few];
    uint32_t order[few];
    load_ranks(row, rank, 0, n, ranks);
    sort_few(ranks, n, order);
    for (size_t i = 0; i < n; ++i) {
      put(i, order[i]);
    }
    return;
  }
  auto elements = scratch.elements.get();
  for (size_t i = 0; i < n; ++i) {
    elements[i] = {rank(row[i]), static_cast<uint32_t>(i)};
  }
  auto ordered = sort_many(elements, elements + n, n);
  for (size_t i = 0; i < n; ++i) {
    put(i, ordered[i].index);
  }
}

/** The elements of a rank, in the row's order: their bits may differ. */
template <typename T>
void restore_bits(
    const Row<T>& row,
    Rank<T> rank_of_all,
    const Rank<T>* sorted,
    T* out,
    int64_t stride) {
  auto [begin, end] = std::equal_range(sorted, sorted + row.size, rank_of_all);
  auto to = begin - sorted;
  RankOf<T> rank(Ranking::ascending);
  for (size_t i = 0; begin != end; ++i) {
    if (rank(row[i]) == rank_of_all) {
      out[to++ * stride] = row[i];
      ++begin;
    }
  }
}

/** Values alone: half of the memory that moves. */
template <typename T>
void sort_row(
    const Row<T>& row,
    OrderScratch<T>& scratch,
    T* out,
    int64_t stride) {
  using R = Rank<T>;
  auto ranks = reinterpret_cast<R*>(scratch.elements.get());
  load_ranks(row, RankOf<T>(Ranking::ascending), 0, row.size, ranks);
  auto sorted = sort_many(ranks, ranks + row.size, row.size);
  for (size_t i = 0; i < row.size; ++i) {
    out[static_cast<int64_t>(i) * stride] = element_of_key<T>(sorted[i]);
  }
  if constexpr (is_floating<T>) {
    restore_bits<T>(row, ordered_key(T(0.0f)), sorted, out, stride);
    restore_bits<T>(row, nan_key<T>(), sorted, out, stride);
  }
}

/** Before ``kth`` what is not after it in a stable sort, then the others. */
template <typename T, typename Put>
void argpartition_row(
    const Row<T>& row,
    size_t kth,
    Scratch<Rank<T>>& all,
    Scratch<Rank<T>>& scratch,
    Put&& put) {
  using R = Rank<T>;
  auto ranks = all.candidates().ranks;
  load_ranks(row, RankOf<T>(Ranking::ascending), 0, row.size, ranks);
  auto found = split<R>(ranks, row.size, kth + 1, scratch.candidates());
  auto ties = kth - found.better;
  size_t ends[2] = {0, kth + 1};
  for (size_t i = 0; i < row.size; ++i) {
    auto rank = ranks[i];
    if (rank == found.rank) [[unlikely]] {
      if (ties-- == 0) {
        put(kth, i);
        continue;
      }
    }
    bool behind = rank > found.rank ||
        (rank == found.rank && static_cast<int64_t>(ties) < 0);
    put(ends[behind]++, i);
  }
}

template <typename T>
void order_rows(const OrderJob& job, int64_t first, int64_t last) {
  using R = Rank<T>;
  auto& rows = *job.rows;
  auto size = static_cast<size_t>(rows.axis_size);
  auto partitions = job.kth.has_value();
  OrderScratch<T> order(partitions || size <= few ? 0 : size);
  Scratch<R> all(partitions ? size : 0), scratch(partitions ? size : 0);
  RowCursor at(rows, first);
  for (auto r = first; r < last; ++r, at.next()) {
    Row<T> row{
        static_cast<const T*>(job.in) + at.in_offset,
        rows.in_axis_stride,
        size};
    auto stride = rows.out_axis_stride;
    auto each = [&](auto&& put) {
      if (partitions) {
        argpartition_row(row, *job.kth, all, scratch, put);
      } else {
        argsort_row(row, order, put);
      }
    };
    if (job.result == OrderResult::indices) {
      auto out = static_cast<uint32_t*>(job.out) + at.out_offset;
      each([&](size_t place, uint32_t index) {
        out[static_cast<int64_t>(place) * stride] = index;
      });
      continue;
    }
    auto out = static_cast<T*>(job.out) + at.out_offset;
    if constexpr (sizeof(T) <= 4) {
      if (!partitions && size > few) {
        sort_row(row, order, out, stride);
        continue;
      }
    }
    each([&](size_t place, uint32_t index) {
      out[static_cast<int64_t>(place) * stride] = row[index];
    });
  }
}
