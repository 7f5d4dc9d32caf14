// Copyright © 2026 the mlx-topk authors. MIT licence.

// The k best of a long row, for k much less than its size. One pass finds the
// best score of each of some slots that share out the row; the k-th best of
// those bounds the selection. A second pass, over those chunks of the row only
// that have something to give, keeps what reaches the bound. Where too much
// does, the bound is raised to the k-th best so far: each time after at least
// as many elements as that costs, so that time is linear whatever the row.
// Included once per instruction set, inside its namespace.
//
// Memory: a bit more than 4 k candidates, 4 k to 8 k scores (for each part that
// a thread takes) and as many ranks, and a vector for each chunk, which is 1/64
// to 1/8 of the row. docs/topk.md has the sum.

template <typename T, Ranking ranking>
class BoundedSelection {
  using S = Score<T, ranking>;
  using Lane = typename S::Lane;
  using V = Vector<Lane>;
  using R = Rank<T>;
  static constexpr size_t width = lanes<Lane>;
  static constexpr size_t blocks_of_chunk = 8;
  // What is looked at between two looks at the candidates' number.
  static constexpr size_t step = 4 * width;

 public:
  BoundedSelection(size_t size, size_t k, Ties ties)
      : k_(k),
        ties_(ties),
        slot_vectors_(std::bit_ceil((4 * k + width - 1) / width)),
        block_vectors_(block_vectors(size)),
        chunk_(blocks_of_chunk * block_vectors_ * width),
        chunks_(size / chunk_),
        capacity_(2 * k + 256),
        best_of_chunks_(chunks_ * width),
        kept_(capacity_ + step),
        scratch_(capacity_ + step) {}

  /** The k best, by rising index, and perhaps more; returns how many. */
  size_t select(const Row<T>& row, int64_t threads) {
    find_bound(row, threads);
    count_ = 0;
    open_ = true;
    for (size_t c = 0; c < chunks_ && open_; ++c) {
      if (everything_ ||
          any_of(S::reaches(load(best_of_chunks_.get() + c * width), bound_))) {
        scan(row, c * chunk_, chunk_);
      }
    }
    for (auto i = chunks_ * chunk_; i < row.size && open_; i += chunk_) {
      scan(row, i, std::min(chunk_, row.size - i));
    }
    return count_;
  }

  Candidates<R> candidates() {
    return kept_.candidates();
  }

 private:
  // Few enough that every slot gets a block, and that there are some chunks.
  size_t block_vectors(size_t size) const {
    size_t vectors = 8;
    auto blocks = std::max(slot_vectors_, 4 * blocks_of_chunk);
    while (vectors > 1 && vectors * blocks * width > size) {
      vectors /= 2;
    }
    return vectors;
  }

  // ---- the bound -----------------------------------------------------------

  void find_bound(const Row<T>& row, int64_t threads) {
    // At least 4 k of them.
    auto of_part = slot_vectors_ * width;
    // Slots for each part, but no more of them than an eighth of the row.
    auto most_parts = std::min<int64_t>(2 * threads, row.size / (8 * of_part));
    auto parts = threads == 1
        ? 1
        : std::clamp<int64_t>(
              row.size >> 17, 1, std::max<int64_t>(most_parts, 1));
    slots_.reserve(of_part * parts);
    auto slots = slots_.get();
    std::fill(slots, slots + of_part * parts, S::lowest());
    auto part = [&](int64_t p) {
      auto first = p * chunks_ / parts;
      auto last = (p + 1) * chunks_ / parts;
      switch (block_vectors_) {
        case 8:
          return score_chunks<8>(row, first, last, slots + p * of_part);
        case 4:
          return score_chunks<4>(row, first, last, slots + p * of_part);
        case 2:
          return score_chunks<2>(row, first, last, slots + p * of_part);
        default:
          return score_chunks<1>(row, first, last, slots + p * of_part);
      }
    };
    run_parts(parts, threads, part);
    for (auto more = slots + of_part; more < slots + of_part * parts;
         more += of_part) {
      for (size_t i = 0; i < of_part; ++i) {
        slots[i] = more[i] > slots[i] ? more[i] : slots[i];
      }
    }
    ranks_.reserve(of_part);
    for (size_t i = 0; i < of_part; ++i) {
      ranks_.get()[i] = S::rank_of(slots[i]);
    }
    auto bound = bisect(ranks_.get(), of_part, k_, k_ / 16);
    // The score of a slot that has only NaN is that of +infinity.
    set_bound(compares_all(bound) ? worst<R> : bound);
  }

  template <size_t vectors>
  void score_chunks(const Row<T>& row, size_t first, size_t last, Lane* slots) {
    constexpr size_t size = blocks_of_chunk * vectors * width;
    T copy[size];
    size_t slot = 0;
    for (auto c = first; c < last; ++c) {
      auto data = row.span(c * size, size, copy);
      auto best = broadcast(S::lowest());
      V nan_seen{};
      for (size_t b = 0; b < blocks_of_chunk; ++b) {
        auto of_block = broadcast(S::lowest());
#pragma GCC unroll 8
        for (size_t i = 0; i < vectors; ++i, data += width) {
          auto score = S::load_scores(data);
          of_block = greater_of(score, of_block);
          if constexpr (S::native) {
            S::watch_for_nan(nan_seen, score);
          }
        }
        auto to = slots + slot * width;
        store(to, greater_of(of_block, load(to)));
        best = greater_of(of_block, best);
        slot = (slot + 1) & (slot_vectors_ - 1);
      }
      if constexpr (S::native) {
        best =
            S::may_have_nan(nan_seen) ? broadcast(S::always_reaches()) : best;
      }
      store(best_of_chunks_.get() + c * width, best);
    }
  }

  // For the smallest of floats: scores that are NaN compare with nothing.
  static bool compares_all(R bound) {
    if constexpr (S::native && !S::descending) {
      RankOf<T> rank(ranking);
      return bound >= rank(std::numeric_limits<T>::infinity());
    } else {
      return false;
    }
  }

  void set_bound(R bound) {
    rank_bound_ = std::min<R>(bound, worst<OrderedKey<T>>);
    everything_ = compares_all(bound);
    if (!everything_) {
      bound_ = broadcast(S::bound_of(rank_bound_));
    }
  }

  // ---- what reaches it -----------------------------------------------------

  void scan(const Row<T>& row, size_t first, size_t size) {
    T copy[blocks_of_chunk * 8 * width];
    auto data = row.span(first, size, copy);
    auto whole = size / step * step;
    if (row.next) {
      scan_steps<true>(row, data, first, whole);
    } else {
      scan_steps<false>(row, data, first, whole);
    }
    if (open_ && whole < size) {
      add_all(data, first, whole, size);
      if (count_ > capacity_) {
        tighten();
      }
    }
  }

  template <bool fetch_ahead>
  void scan_steps(const Row<T>& row, const T* data, size_t first, size_t size) {
    for (size_t i = 0; i < size && open_; i += step) {
      if constexpr (fetch_ahead) {
        row.prefetch_next(first + i, step);
      }
      uint64_t bits[4];
      if (everything_) {
        add_all(data, first, i, i + step);
      } else if (S::reaching(data + i, bound_, bits)) {
        add(data, first, i, bits[0]);
        add(data, first, i + width, bits[1]);
        add(data, first, i + 2 * width, bits[2]);
        add(data, first, i + 3 * width, bits[3]);
      } else {
        continue;
      }
      if (count_ > capacity_) {
        tighten();
      }
    }
  }

  void add(const T* data, size_t first, size_t i, uint64_t bits) {
    for (; bits != 0; bits &= bits - 1) {
      auto at = i + std::countr_zero(bits);
      put(data[at], first + at);
    }
  }

  void add_all(const T* data, size_t first, size_t i, size_t end) {
    for (; i < end; ++i) {
      put(data[i], first + i);
      count_ -= kept_.candidates().ranks[count_ - 1] > rank_bound_;
    }
  }

  void put(T element, size_t index) {
    auto kept = kept_.candidates();
    kept.ranks[count_] = RankOf<T>(ranking)(element);
    kept.indices[count_] = index;
    ++count_;
  }

  // From now on only what is better than the k-th best so far can be chosen,
  // and what is as good if the last of those are.
  void tighten() {
    auto kept = kept_.candidates();
    auto found = split<R>(kept.ranks, count_, k_, scratch_.candidates());
    keep_best(kept.ranks, kept.indices, count_, k_, found, ties_, kept);
    count_ = k_;
    if (ties_ == Ties::first) {
      open_ = found.rank > RankOf<T>(ranking).best();
      found.rank -= open_;
    }
    set_bound(found.rank);
  }

  size_t k_;
  Ties ties_;
  size_t slot_vectors_;
  size_t block_vectors_;
  size_t chunk_;
  size_t chunks_;
  size_t capacity_;
  Buffer<Lane> best_of_chunks_;
  Buffer<Lane> slots_;
  Buffer<R> ranks_;
  Scratch<R> kept_;
  Scratch<R> scratch_;
  V bound_{};
  R rank_bound_{0};
  bool everything_{false};
  size_t count_{0};
  bool open_{true};
};
