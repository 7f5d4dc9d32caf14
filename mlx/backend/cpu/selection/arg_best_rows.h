// Copyright © 2026 the mlx-topk authors. MIT licence.

// Where the best element of each row is, or the first NaN. Included once per
// instruction set, inside its namespace.

/** Up to so many elements of a row go through lanes. */
constexpr size_t arg_best_lanes = wide_lanes_size > 32 ? 32 : 8;

template <typename T, Ranking ranking>
class ArgBestOfRow {
  using S = Score<T, ranking>;
  using Lane = typename S::Lane;
  using V = Vector<Lane>;
  static constexpr size_t width = lanes<Lane>;
  static constexpr size_t chunk = 64 * width;

 public:
  /** For rows of at least one vector. */
  static uint32_t find(const Row<T>& row) {
    T copy[chunk];
    auto best = broadcast(S::lowest());
    size_t where = 0;
    for (size_t first = 0; first < row.size; first += chunk) {
      // A last vector that is not whole begins earlier: what it sees again is
      // no better than the best.
      auto size = std::min(chunk, row.size - first);
      auto from = size < width ? row.size - width : first;
      size = std::max(size, width);
      auto data = row.span(from, size, copy);
      V seen{};
      auto best_of_chunk = best_of(data, size, seen);
      if (S::has_nan && any_of(S::may_have_nan(seen))) {
        auto i = first_of(data, size, IsNaN{});
        if (i < size) {
          return from + i;
        }
      }
      if (any_of(best_of_chunk > best)) {
        auto greatest = greatest_lane(best_of_chunk);
        // A zero that only scores better than one before it is no better.
        if (S::rank_of(greatest) < S::rank_of(best[0])) {
          where = from;
        }
        best = broadcast(greatest);
      }
    }
    auto size = std::min(chunk, row.size - where);
    auto data = row.span(where, size, copy);
    auto bound = broadcast(S::bound_of(S::rank_of(best[0])));
    return where + first_of(data, size, Reaches{bound});
  }

 private:
  struct IsNaN {
    auto operator()(V score) const {
      return S::is_nan(score);
    }
  };

  struct Reaches {
    V bound;

    auto operator()(V score) const {
      return S::reaches(score, bound);
    }
  };

  static V best_of(const T* data, size_t size, V& seen) {
    constexpr size_t accumulators = 4;
    V best[accumulators], seen_by[accumulators] = {};
    for (auto& b : best) {
      b = broadcast(S::lowest());
    }
    size_t i = 0;
    for (; i + accumulators * width <= size; i += accumulators * width) {
#pragma GCC unroll 4
      for (size_t a = 0; a < accumulators; ++a) {
        take(data + i + a * width, best[a], seen_by[a]);
      }
    }
    for (; i + width <= size; i += width) {
      take(data + i, best[0], seen_by[0]);
    }
    if (i < size) {
      take(data + size - width, best[0], seen_by[0]);
    }
    seen = merge_seen(seen_by[0], seen_by[1], seen_by[2], seen_by[3]);
    return greater_of(
        greater_of(best[0], best[1]), greater_of(best[2], best[3]));
  }

  static void take(const T* from, V& best, V& seen) {
    auto score = S::load_scores(from);
    best = greater_of(score, best);
    S::watch_for_nan(seen, score);
  }

  static V merge_seen(V a, V b, V c, V d) {
    if constexpr (S::native) {
      return (a + b) + (c + d);
    } else {
      return (a | b) | (c | d);
    }
  }

  static Lane greatest_lane(V v) {
    Lane best = v[0];
    for (size_t l = 1; l < width; ++l) {
      best = v[l] > best ? v[l] : best;
    }
    return best;
  }

  /** The first element whose score is as ``wanted``; ``size`` if none is. */
  template <typename Wanted>
  static size_t first_of(const T* data, size_t size, Wanted&& wanted) {
    for (size_t i = 0; i < size; i += width) {
      auto from = std::min(i, size - width);
      auto mask = wanted(S::load_scores(data + from));
      if (any_of(mask)) {
        return from + std::countr_zero(bits_of(mask));
      }
    }
    return size;
  }
};

template <typename T>
void arg_best_lanes_of_rows(
    const ArgBestJob& job,
    Ranking ranking,
    int64_t first,
    int64_t last) {
  WordOf<T> words[RowBlock<T>::count];
  for_each_block<T>(
      *job.rows,
      job.in,
      first,
      last,
      [&](const RowBlock<T>& rows, const int64_t* out, size_t valid) {
        select_lanes(rows, RankOf<T>(ranking), 1, words);
        for (size_t r = 0; r < valid; ++r) {
          job.out[out[r]] = index_of(words[r]);
        }
      });
}

template <typename T>
uint32_t arg_best_one_by_one(const Row<T>& row, RankOf<T> rank) {
  uint32_t best = 0;
  for (size_t i = 1; i < row.size; ++i) {
    best = rank(row[i]) < rank(row[best]) ? i : best;
  }
  return best;
}

template <typename T>
void arg_best_rows(const ArgBestJob& job, int64_t first, int64_t last) {
  bool largest = job.mode == TopKMode::largest;
  auto ranking = largest ? Ranking::descending : Ranking::nan_then_ascending;
  auto size = static_cast<size_t>(job.rows->axis_size);
  if constexpr (sizeof(T) <= 4) {
    if (size <= arg_best_lanes) {
      return arg_best_lanes_of_rows<T>(job, ranking, first, last);
    }
  }
  for_each_row<T>(
      *job.rows, job.in, first, last, [&](const Row<T>& row, int64_t out) {
        if (size < lanes<T>) {
          job.out[out] = arg_best_one_by_one(row, RankOf<T>(ranking));
        } else if (largest) {
          job.out[out] = ArgBestOfRow<T, Ranking::descending>::find(row);
        } else {
          job.out[out] = ArgBestOfRow<T, Ranking::ascending>::find(row);
        }
      });
}
