// Copyright © 2026 the mlx-topk authors. MIT licence.

// Where the best element of each row is. Included once per instruction set,
// inside its namespace.

/** The first of the ``size`` elements from ``first`` on that has ``wanted``. */
template <typename T>
size_t find_rank(
    const Row<T>& row,
    RankOf<T> rank,
    size_t first,
    size_t size,
    Rank<T> wanted) {
  auto i = first;
  while (i + 1 < first + size && rank(row[i]) != wanted) {
    ++i;
  }
  return i;
}

template <typename T>
uint32_t arg_best(const Row<T>& row, Ranking ranking) {
  using R = Rank<T>;
  constexpr size_t block = max_block_vectors * slots_of_block<T>;
  RankOf<T> rank(ranking);
  R best = worst<R>;
  size_t where = 0;
  size_t size = std::min(block, row.size);
  auto consider = [&](const R* ranks, size_t count, size_t first, size_t n) {
    auto low = range_of(ranks, count).low;
    if (low < best) {
      best = low;
      where = first;
      size = n;
    }
  };
  size_t first = 0;
  R slots[slots_of_block<T>];
  for (; first + block <= row.size; first += block) {
    rank_slots(row, first, max_block_vectors, ranking, rank, slots);
    consider(slots, slots_of_block<T>, first, block);
  }
  if (first < row.size) {
    R ranks[block];
    auto rest = row.size - first;
    load_ranks(row, rank, first, rest, ranks);
    consider(ranks, rest, first, rest);
  }
  return find_rank(row, rank, where, size, best);
}

template <typename T>
void arg_best_rows(const ArgBestJob& job, int64_t first, int64_t last) {
  auto& rows = *job.rows;
  auto ranking = job.mode == selection::TopKMode::largest
      ? Ranking::descending
      : Ranking::nan_then_ascending;
  RowCursor at(rows, first);
  for (auto r = first; r < last; ++r, at.next()) {
    Row<T> row{
        static_cast<const T*>(job.in) + at.in_offset,
        rows.in_axis_stride,
        static_cast<size_t>(rows.axis_size)};
    job.out[at.out_offset] = arg_best(row, ranking);
  }
}
