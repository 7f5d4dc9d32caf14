// Copyright © 2026 the mlx-topk authors. MIT licence.

// The k best of a row, exactly, by rising index: for those who go on to put all
// of the row in its place. Included once per instruction set, inside its
// namespace.

template <typename T, Ranking ranking>
class Selection {
  using R = Rank<T>;

 public:
  Selection(size_t size, size_t k, Ties ties)
      : k_(k),
        ties_(ties),
        short_(is_short_row(size, k)),
        kept_(size * short_) {
    if (!short_) {
      bounded_.emplace(size, k, ties);
    }
  }

  Candidates<R> select(const Row<T>& row) {
    auto kept = short_ ? kept_.candidates() : bounded_->candidates();
    auto count = short_ ? select_short(row, RankOf<T>(ranking), k_, kept)
                        : bounded_->select(row, 1);
    if (sizeof(R) == 4 && count <= network_size) {
      keep_by_words(kept, count);
    } else {
      keep_by_split(kept, count);
    }
    return kept;
  }

  /** Which of the selected is worst: between ties, the last to be chosen. */
  size_t worst_of_selected() const {
    return worst_;
  }

 private:
  uint64_t word_of(R rank, uint32_t index) const {
    return pack<uint64_t>(rank, ties_ == Ties::first ? index : ~index);
  }

  void keep_by_words(Candidates<R> all, size_t count) {
    alignas(64) uint64_t words[network_size];
    for (size_t i = 0; i < count; ++i) {
      words[i] = word_of(all.ranks[i], all.indices[i]);
    }
    network_sort(words, count);
    auto kth = words[k_ - 1];
    size_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
      auto word = word_of(all.ranks[i], all.indices[i]);
      all.indices[kept] = all.indices[i];
      worst_ = word == kth ? kept : worst_;
      kept += word <= kth;
    }
  }

  void keep_by_split(Candidates<R> all, size_t count) {
    scratch_.reserve(count);
    auto found = split<R>(all.ranks, count, k_, scratch_.candidates());
    keep_best(all.ranks, all.indices, count, k_, found, ties_, all);
    auto end = all.ranks + k_;
    worst_ = std::find(all.ranks, end, found.rank) - all.ranks;
    if (ties_ == Ties::first) {
      for (size_t i = worst_; i < k_; ++i) {
        worst_ = all.ranks[i] == found.rank ? i : worst_;
      }
    }
  }

  size_t k_;
  Ties ties_;
  bool short_;
  size_t worst_{0};
  Scratch<R> kept_;
  Scratch<R> scratch_{0};
  std::optional<BoundedSelection<T, ranking>> bounded_;
};
