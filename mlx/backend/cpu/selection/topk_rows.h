// Copyright © 2026 the mlx-topk authors. MIT licence.

// The k best of each row. Included once per instruction set, inside its
// namespace.

template <typename R>
struct Scratch {
  // For filter's whole vectors and sort_few's padding.
  static constexpr size_t spare = 2 * lanes<R> + 16;

  explicit Scratch(size_t size)
      : ranks(std::make_unique_for_overwrite<R[]>(size + spare)),
        indices(std::make_unique_for_overwrite<uint32_t[]>(size + spare)) {}

  Candidates<R> candidates() {
    return {ranks.get(), indices.get()};
  }

  std::unique_ptr<R[]> ranks;
  std::unique_ptr<uint32_t[]> indices;
};

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
  if (count > few && count > k) {
    Scratch<R> scratch(count > 1024 ? count : 0);
    auto found = split<R>(all.ranks, count, k, scratch.candidates());
    keep_best(all, count, k, found);
    count = k;
  }
  if (count <= few && (sorted || count > k)) {
    uint32_t order[few];
    sort_few(all.ranks, count, order);
    for (size_t i = 0; i < k; ++i) {
      out.put(i, all.indices[order[i]], row);
    }
  } else if (sorted) {
    auto elements = std::make_unique_for_overwrite<Ranked<R>[]>(2 * count);
    for (size_t i = 0; i < count; ++i) {
      elements[i] = {all.ranks[i], all.indices[i]};
    }
    auto ordered = sort_many(elements.get(), elements.get() + count, count);
    for (size_t i = 0; i < k; ++i) {
      out.put(i, ordered[i].index, row);
    }
  } else {
    for (size_t i = 0; i < k; ++i) {
      out.put(i, all.indices[i], row);
    }
  }
}

// ---- short rows: the whole row as ranks, on the stack
// ------------------------

constexpr size_t short_row = 1024;

/** The best rank of each of some slots that share out the ranks evenly. */
template <typename R>
R bound_of_slots(const R* ranks, size_t padded, size_t vectors, size_t k) {
  constexpr size_t width = lanes<R>;
  R slots[short_row / 2 + width];
  auto size = vectors * width;
  std::copy(ranks, ranks + size, slots);
  for (size_t first = size; first < padded; first += size) {
    auto end = std::min(size, padded - first);
    for (size_t i = 0; i < end; i += width) {
      for (size_t l = 0; l < width; ++l) {
        auto rank = ranks[first + i + l];
        slots[i + l] = rank < slots[i + l] ? rank : slots[i + l];
      }
    }
  }
  if (size > 32) {
    return bisect(slots, size, k, k / 4);
  }
  R better[32] = {};
  for (size_t i = 0; i < size; ++i) {
    for (size_t l = 0; l < size; ++l) {
      better[l] += slots[i] < slots[l];
    }
  }
  R bound = 0;
  for (size_t l = 0; l < size; ++l) {
    auto rank = better[l] < k ? slots[l] : R(0);
    bound = rank > bound ? rank : bound;
  }
  return bound;
}

template <typename T>
void select_short(
    const Row<T>& row,
    RankOf<T> rank,
    size_t k,
    bool sorted,
    const TopKOutput<T>& out) {
  using R = Rank<T>;
  alignas(64) R ranks[short_row + lanes<R>];
  alignas(64) R kept_ranks[short_row + 2 * lanes<R>];
  alignas(64) uint32_t kept_indices[short_row + 2 * lanes<R>];
  Candidates<R> kept{kept_ranks, kept_indices};

  load_ranks(row, rank, 0, row.size, ranks);
  auto padded = pad_ranks(ranks, row.size);
  // Twice as many slots as k make the k-th best slot a close bound.
  auto vectors = (2 * k + lanes<R> - 1) / lanes<R>;
  auto bound = worst<R>;
  if (2 * vectors * lanes<R> <= padded) {
    bound = bound_of_slots(ranks, padded, vectors, k);
  }
  auto count = filter<R>(ranks, nullptr, 0, padded, up_to(bound), kept);
  if (bound == worst<R>) {
    count = row.size;
  }
  finish(kept, count, k, sorted, row, out);
}

// ---- long rows, small k: a bound from one pass, then what is up to it
// --------

/** Blocks of ``vectors`` vectors of T; a slot is one lane of one block. */
template <typename T>
constexpr size_t slots_of_block = vector_bytes / sizeof(T);

/** The best rank in each lane of a block. */
template <typename T>
void rank_slots(
    const T* data,
    size_t vectors,
    Ranking ranking,
    RankOf<T> rank,
    Rank<T>* slots) {
  constexpr size_t width = slots_of_block<T>;
  if constexpr (std::is_floating_point_v<T>) {
    // Compared as they are, NaNs apart: two instructions a vector, not seven.
    using V [[gnu::vector_size(vector_bytes)]] = T;
    using M [[gnu::vector_size(vector_bytes)]] =
        std::make_signed_t<OrderedKey<T>>;
    constexpr auto infinity = std::numeric_limits<T>::infinity();
    V best = V{} + (ranking == Ranking::descending ? -infinity : infinity);
    M any_nan{}, all_nan = ~M{};
    for (size_t i = 0; i < vectors; ++i, data += width) {
      V x;
      std::memcpy(&x, data, sizeof(x));
      M nan = x != x;
      if (ranking == Ranking::descending) {
        best = x > best ? x : best;
        any_nan |= nan;
      } else {
        best = x < best ? x : best;
        any_nan |= nan;
        all_nan &= nan;
      }
    }
    M is_nan = ranking == Ranking::ascending ? all_nan : any_nan;
    for (size_t l = 0; l < width; ++l) {
      slots[l] =
          rank(is_nan[l] ? std::numeric_limits<T>::quiet_NaN() : T(best[l]));
    }
  } else {
    using Key = OrderedKey<T>;
    Key best[width];
    std::fill(best, best + width, worst<Key>);
    for (size_t i = 0; i < vectors; ++i, data += width) {
      for (size_t l = 0; l < width; ++l) {
        auto key = rank(data[l]);
        best[l] = key < best[l] ? key : best[l];
      }
    }
    std::copy(best, best + width, slots);
  }
}

template <typename T>
void rank_slots(
    const Row<T>& row,
    size_t first,
    size_t vectors,
    Ranking ranking,
    RankOf<T> rank,
    Rank<T>* slots) {
  constexpr size_t width = slots_of_block<T>;
  auto data = row.data + static_cast<int64_t>(first) * row.stride;
  if (row.stride == 1) {
    rank_slots(data, vectors, ranking, rank, slots);
    return;
  }
  T block[max_block_vectors * width];
  for (size_t i = 0; i < vectors * width; ++i) {
    block[i] = data[static_cast<int64_t>(i) * row.stride];
  }
  rank_slots(block, vectors, ranking, rank, slots);
}

/** A rank that at least k slots are up to. Folds ``slots`` first. */
template <typename R>
R bound_of_many(const R* slots, size_t count, size_t k, R* folded) {
  auto folds = std::max<size_t>(1, count / (4 * k));
  auto size = round_up((count + folds - 1) / folds, lanes<R>);
  size = std::min(size, count);
  std::copy(slots, slots + size, folded);
  for (size_t first = size; first < count; first += size) {
    auto end = std::min(size, count - first);
    for (size_t i = 0; i < end; ++i) {
      auto rank = slots[first + i];
      folded[i] = rank < folded[i] ? rank : folded[i];
    }
  }
  return bisect(folded, size, k, k / 8);
}

template <typename T>
class BoundedSelection {
  using R = Rank<T>;
  static constexpr size_t width = slots_of_block<T>;

 public:
  BoundedSelection(size_t size, size_t k, size_t vectors)
      : k_(k),
        vectors_(vectors),
        block_(vectors * width),
        blocks_(size / block_),
        capacity_(2 * k + 256),
        slots_(std::make_unique_for_overwrite<R[]>(blocks_ * width)),
        folded_(std::make_unique_for_overwrite<R[]>(8 * k + width + lanes<R>)),
        kept_(capacity_ + block_),
        scratch_(capacity_ + block_) {}

  void run(
      const Row<T>& row,
      Ranking ranking,
      bool sorted,
      int64_t threads,
      const TopKOutput<T>& out) {
    RankOf<T> rank(ranking);
    split_work(blocks_, 65536 / block_ + 1, threads, [&](auto from, auto to) {
      for (auto b = from; b < to; ++b) {
        rank_slots(
            row, b * block_, vectors_, ranking, rank, slots_.get() + b * width);
      }
    });
    auto slots = blocks_ * width;
    bound_ = slots < k_ ? worst<R>
                        : bound_of_many(slots_.get(), slots, k_, folded_.get());
    count_ = 0;
    open_ = true;
    for (size_t b = 0; b < blocks_ && open_; ++b) {
      if (reaches_bound(slots_.get() + b * width)) {
        add(row, rank, b * block_, block_);
      }
    }
    if (open_) {
      add(row, rank, blocks_ * block_, row.size - blocks_ * block_);
    }
    finish(kept_.candidates(), count_, k_, sorted, row, out);
  }

 private:
  bool reaches_bound(const R* slots) const {
    R any = 0;
    for (size_t l = 0; l < width; ++l) {
      any |= slots[l] <= bound_;
    }
    return any;
  }

  void add(const Row<T>& row, RankOf<T> rank, size_t first, size_t size) {
    alignas(64) R ranks[max_block_vectors * width + lanes<R>];
    load_ranks(row, rank, first, size, ranks);
    auto padded = pad_ranks(ranks, size);
    auto kept = kept_.candidates();
    auto added = filter<R>(
        ranks,
        nullptr,
        first,
        padded,
        up_to(bound_),
        {kept.ranks + count_, kept.indices + count_});
    // Padding is kept if everything is, and then it is at the end.
    count_ += bound_ == worst<R> ? size : added;
    if (count_ > capacity_) {
      tighten();
    }
  }

  // From now on only what is better than the k-th best so far can be chosen: as
  // good as it would have to have a lower index.
  void tighten() {
    auto kept = kept_.candidates();
    auto found = split<R>(kept.ranks, count_, k_, scratch_.candidates());
    keep_best(kept, count_, k_, found);
    count_ = k_;
    open_ = found.rank > 0;
    bound_ = found.rank - open_;
  }

  size_t k_;
  size_t vectors_;
  size_t block_;
  size_t blocks_;
  size_t capacity_;
  std::unique_ptr<R[]> slots_;
  std::unique_ptr<R[]> folded_;
  Scratch<R> kept_;
  Scratch<R> scratch_;
  R bound_{0};
  size_t count_{0};
  bool open_{true};
};

/** As few vectors as keep both passes cheap: one over all, one over hits. */
inline size_t block_vectors(size_t size, size_t k) {
  size_t vectors = 2;
  while (vectors < max_block_vectors &&
         4 * vectors * vectors * 32 * k <= size) {
    vectors *= 2;
  }
  return vectors;
}

// ---- large k: the whole row as ranks, then a split
// ---------------------------

template <typename T>
void select_large(
    const Row<T>& row,
    RankOf<T> rank,
    size_t k,
    bool sorted,
    Scratch<Rank<T>>& all,
    Scratch<Rank<T>>& scratch,
    const TopKOutput<T>& out) {
  auto kept = all.candidates();
  load_ranks(row, rank, 0, row.size, kept.ranks);
  if (k < row.size) {
    auto found = split(kept.ranks, row.size, k, scratch.candidates());
    auto padded = pad_ranks(kept.ranks, row.size);
    if (found.better + found.equal == k && found.rank != worst<Rank<T>>) {
      filter(kept.ranks, nullptr, 0, padded, up_to(found.rank), kept);
    } else {
      std::iota(kept.indices, kept.indices + row.size, 0);
      keep_best(kept, row.size, k, found);
    }
  } else {
    std::iota(kept.indices, kept.indices + row.size, 0);
  }
  finish(kept, k, k, sorted, row, out);
}

// ---- rows
// --------------------------------------------------------------------

template <typename T>
void topk_rows(const TopKJob& job, int64_t first, int64_t last) {
  auto& rows = job.plan->rows;
  auto k = static_cast<size_t>(job.plan->k);
  auto size = static_cast<size_t>(rows.axis_size);
  auto ranking = job.mode == selection::TopKMode::largest ? Ranking::descending
                                                          : Ranking::ascending;
  auto each = [&](auto&& select) {
    RowCursor at(rows, first);
    for (auto r = first; r < last; ++r, at.next()) {
      Row<T> row{
          static_cast<const T*>(job.in) + at.in_offset,
          rows.in_axis_stride,
          size};
      TopKOutput<T> out{
          static_cast<T*>(job.values) + at.out_offset,
          job.indices + at.out_offset,
          rows.out_axis_stride};
      select(row, out);
    }
  };
  switch (job.plan->algorithm) {
    case TopKAlgorithm::whole_row:
      return each([&](auto& row, auto& out) {
        for (size_t i = 0; i < k; ++i) {
          out.put(i, i, row);
        }
      });
    case TopKAlgorithm::short_row:
      return each([&](auto& row, auto& out) {
        select_short<T>(row, RankOf<T>(ranking), k, job.sorted, out);
      });
    case TopKAlgorithm::bounded: {
      BoundedSelection<T> selection(size, k, block_vectors(size, k));
      return each([&](auto& row, auto& out) {
        selection.run(row, ranking, job.sorted, job.threads_of_a_row, out);
      });
    }
    case TopKAlgorithm::select: {
      Scratch<Rank<T>> all(size), scratch(size);
      return each([&](auto& row, auto& out) {
        select_large<T>(
            row, RankOf<T>(ranking), k, job.sorted, all, scratch, out);
      });
    }
  }
}
