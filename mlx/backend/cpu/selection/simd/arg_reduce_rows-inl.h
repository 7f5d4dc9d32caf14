// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs an ArgReduceJob: finds the index of the best element of each row. Among
// ties the lower index is better. NaN is best for both modes, so the result is
// the index of the first NaN if the row has a NaN. Takes linear time, and no
// memory that depends on the input. Rows have at least one element.

#pragma once

#include "mlx/backend/cpu/selection/simd/rows-inl.h"
#include "mlx/backend/cpu/selection/simd/score-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** The size of the longest rows for which k_best_in_lanes() is the fastest. */
constexpr size_t arg_reduce_lanes_size = vector_bytes == 64 ? 32 : 8;

/**
 * Finds the best element of rows of at least one vector. Finds the best score
 * of each chunk of the row and remembers the first chunk with the best rank.
 * Then searches that chunk for the first element with that rank.
 */
template <typename T, Ranking ranking>
class ArgReduceOfRow {
  using S = Score<T, ranking>;
  using Lane = typename S::Lane;
  using V = Vector<Lane>;
  static constexpr size_t width = lanes<Lane>;
  static constexpr size_t chunk = 64 * width;

 public:
  /** Returns the index of the first NaN, or else of the first best element. */
  static uint32_t find(const Row<T>& row) {
    T copy[chunk];
    auto best = broadcast(S::lowest());
    size_t best_chunk = 0;
    for (size_t first = 0; first < row.size; first += chunk) {
      // A last chunk of less than one vector starts earlier, to fill a vector.
      // The elements that it reads twice are no better than the best.
      auto size = std::min(chunk, row.size - first);
      auto from = size < width ? row.size - width : first;
      size = std::max(size, width);
      auto data = row.contiguous(from, size, copy);
      V nan_seen{};
      auto best_of_chunk = best_of(data, size, nan_seen);
      if (S::has_nan && any_of(S::may_have_nan(nan_seen))) {
        auto i = first_of(data, size, IsNaN{});
        if (i < size) {
          return from + i;
        }
      }
      if (any_of(best_of_chunk > best)) {
        auto greatest = greatest_lane(best_of_chunk);
        // +0 and -0 differ in score but tie in rank: keep the first.
        if (S::rank_of(greatest) < S::rank_of(best[0])) {
          best_chunk = from;
        }
        best = broadcast(greatest);
      }
    }
    auto size = std::min(chunk, row.size - best_chunk);
    auto data = row.contiguous(best_chunk, size, copy);
    auto bound = broadcast(S::bound_of(S::rank_of(best[0])));
    return best_chunk + first_of(data, size, Reaches{bound});
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

  // Returns the best score in each lane, and notes NaNs in ``nan_seen``.
  static V best_of(const T* data, size_t size, V& nan_seen) {
    constexpr size_t accumulators = 4;
    V best[accumulators], nan_seen_by[accumulators] = {};
    for (auto& b : best) {
      b = broadcast(S::lowest());
    }
    size_t i = 0;
    for (; i + accumulators * width <= size; i += accumulators * width) {
#pragma GCC unroll 4
      for (size_t a = 0; a < accumulators; ++a) {
        update(data + i + a * width, best[a], nan_seen_by[a]);
      }
    }
    for (; i + width <= size; i += width) {
      update(data + i, best[0], nan_seen_by[0]);
    }
    if (i < size) {
      update(data + size - width, best[0], nan_seen_by[0]);
    }
    nan_seen = merge_nan_seen(
        nan_seen_by[0], nan_seen_by[1], nan_seen_by[2], nan_seen_by[3]);
    return max_of(max_of(best[0], best[1]), max_of(best[2], best[3]));
  }

  static void update(const T* from, V& best, V& nan_seen) {
    auto score = S::load_scores(from);
    best = max_of(score, best);
    S::note_nan(nan_seen, score);
  }

  static V merge_nan_seen(V a, V b, V c, V d) {
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

  // Returns the position of the first element whose score satisfies the
  // predicate ``wanted``, or ``size`` if none does.
  template <typename Wanted>
  static size_t first_of(const T* data, size_t size, Wanted&& wanted) {
    for (size_t i = 0; i < size; i += width) {
      auto from = std::min(i, size - width);
      auto mask = wanted(S::load_scores(data + from));
      if (any_of(mask)) {
        return from + std::countr_zero(mask_bits(mask));
      }
    }
    return size;
  }
};

template <typename T>
void arg_reduce_in_lanes(
    const ArgReduceJob& job,
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
        k_best_in_lanes(rows, RankOf<T>(ranking), 1, words);
        for (size_t r = 0; r < valid; ++r) {
          job.out[out[r]] = index_of(words[r]);
        }
      });
}

template <typename T>
uint32_t arg_reduce_one_by_one(const Row<T>& row, RankOf<T> rank) {
  uint32_t best = 0;
  for (size_t i = 1; i < row.size; ++i) {
    best = rank(row[i]) < rank(row[best]) ? i : best;
  }
  return best;
}

template <typename T>
void arg_reduce_rows(const ArgReduceJob& job, int64_t first, int64_t last) {
  bool largest = job.mode == TopKMode::largest;
  auto ranking = largest ? Ranking::descending : Ranking::nan_then_ascending;
  auto size = static_cast<size_t>(job.rows->axis_size);
  if constexpr (sizeof(T) <= 4) {
    if (size <= arg_reduce_lanes_size) {
      return arg_reduce_in_lanes<T>(job, ranking, first, last);
    }
  }
  for_each_row<T>(
      *job.rows, job.in, first, last, [&](const Row<T>& row, int64_t out) {
        if (size < lanes<T>) {
          job.out[out] = arg_reduce_one_by_one(row, RankOf<T>(ranking));
        } else if (largest) {
          job.out[out] = ArgReduceOfRow<T, Ranking::descending>::find(row);
        } else {
          job.out[out] = ArgReduceOfRow<T, Ranking::ascending>::find(row);
        }
      });
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
