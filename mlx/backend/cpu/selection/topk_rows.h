// Copyright © 2026 the mlx-topk authors. MIT licence.

// The k best of each row. Included once per instruction set, inside its
// namespace.

/** Where a row's results go. */
template <typename T>
struct TopKOutput {
  T* values;
  uint32_t* indices;
  int64_t stride;

  void put(size_t place, uint32_t index, const Row<T>& row) const {
    auto to = static_cast<int64_t>(place) * stride;
    values[to] = row[index];
    indices[to] = index;
  }
};

/** Whatever was asked: so few are put in order in no time. */
constexpr size_t always_sorted = 64;

// ``all`` holds the k best and perhaps others, and is spent.
template <typename T>
void finish(
    Candidates<Rank<T>> all,
    size_t count,
    size_t k,
    bool sorted,
    const Row<T>& row,
    const TopKOutput<T>& out) {
  using R = Rank<T>;
  sorted |= k <= always_sorted;
  // What is not much more than k is sorted with it.
  if (count > (sorted ? 2 * k + 64 : k)) {
    Scratch<R> scratch(count > 1024 ? count : 0);
    auto found = split<R>(all.ranks, count, k, scratch.candidates());
    keep_best(all.ranks, all.indices, count, k, found, Ties::first, all);
    count = k;
  }
  if (sorted) {
    auto put = [&](size_t place, uint32_t index) {
      out.put(place, index, row);
    };
    sort_candidates(all, count, k, put);
  } else {
    for (size_t i = 0; i < k; ++i) {
      out.put(i, all.indices[i], row);
    }
  }
}

// ---- large k: the whole row as ranks, then a split -------------------------

template <typename T>
void select_large(
    const Row<T>& row,
    RankOf<T> rank,
    size_t k,
    bool sorted,
    Scratch<Rank<T>>& all,
    Scratch<Rank<T>>& scratch,
    const TopKOutput<T>& out) {
  using R = Rank<T>;
  auto kept = all.candidates();
  load_ranks(row, rank, 0, row.size, kept.ranks);
  if (k < row.size) {
    auto found = split(kept.ranks, row.size, k, scratch.candidates());
    keep_best<R>(kept.ranks, nullptr, row.size, k, found, Ties::first, kept);
  } else {
    std::iota(kept.indices, kept.indices + row.size, 0);
  }
  finish(kept, k, k, sorted, row, out);
}

// ---- rows ------------------------------------------------------------------

template <typename T>
class TopKRows {
  using R = Rank<T>;

 public:
  TopKRows(const TopKJob& job, int64_t first, int64_t last)
      : job_(job),
        first_(first),
        last_(last),
        k_(job.plan->k),
        size_(job.plan->rows.axis_size),
        ranking_(
            job.mode == TopKMode::largest ? Ranking::descending
                                          : Ranking::ascending) {}

  void run() {
    switch (job_.plan->algorithm) {
      case TopKAlgorithm::whole_row:
        return each([&](const auto& row, const auto& out) {
          for (size_t i = 0; i < k_; ++i) {
            out.put(i, i, row);
          }
        });
      case TopKAlgorithm::lanes:
        if constexpr (sizeof(T) <= 4) {
          if (is_for_lanes<T>(size_)) {
            return run_lanes();
          }
        }
        // Which gives the same: so few are always in order.
        [[fallthrough]];
      case TopKAlgorithm::short_row:
        return run_short();
      case TopKAlgorithm::bounded:
        return ranking_ == Ranking::descending
            ? run_bounded<Ranking::descending>()
            : run_bounded<Ranking::ascending>();
      case TopKAlgorithm::select: {
        Scratch<R> all(size_), scratch(size_);
        return each([&](const auto& row, const auto& out) {
          select_large(
              row, RankOf<T>(ranking_), k_, job_.sorted, all, scratch, out);
        });
      }
    }
  }

 private:
  TopKOutput<T> output(int64_t offset) const {
    return {
        static_cast<T*>(job_.values) + offset,
        job_.indices + offset,
        job_.plan->rows.out_axis_stride};
  }

  template <typename Select>
  void each(Select&& select) {
    for_each_row<T>(
        job_.plan->rows,
        job_.in,
        first_,
        last_,
        [&](const auto& row, auto offset) { select(row, output(offset)); });
  }

  void run_short() {
    alignas(64) R ranks[TopKTuning::short_row_size + 2 * lanes<R>];
    alignas(64) uint32_t indices[TopKTuning::short_row_size + 2 * lanes<R>];
    Candidates<R> kept{ranks, indices};
    each([&](const auto& row, const auto& out) {
      auto count = select_short(row, RankOf<T>(ranking_), k_, kept);
      finish(kept, count, k_, job_.sorted, row, out);
    });
  }

  template <Ranking ranking>
  void run_bounded() {
    BoundedSelection<T, ranking> selection(size_, k_, Ties::first);
    each([&](const auto& row, const auto& out) {
      auto count = selection.select(row, job_.threads_of_a_row);
      finish(selection.candidates(), count, k_, job_.sorted, row, out);
    });
  }

  void run_lanes() {
    constexpr auto count = RowBlock<T>::count;
    WordOf<T> words[16 * count];
    for_each_block<T>(
        job_.plan->rows,
        job_.in,
        first_,
        last_,
        [&](const RowBlock<T>& rows, const int64_t* out, size_t valid) {
          select_lanes(rows, RankOf<T>(ranking_), k_, words);
          for (size_t r = 0; r < valid; ++r) {
            Row<T> row{rows.data + rows.offset[r], rows.stride, rows.size};
            auto to = output(out[r]);
            for (size_t i = 0; i < k_; ++i) {
              to.put(i, index_of(words[i * count + r]), row);
            }
          }
        });
  }

  const TopKJob& job_;
  int64_t first_;
  int64_t last_;
  size_t k_;
  size_t size_;
  Ranking ranking_;
};

template <typename T>
void topk_rows(const TopKJob& job, int64_t first, int64_t last) {
  TopKRows<T>(job, first, last).run();
}
