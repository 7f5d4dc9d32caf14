// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs an ArgReduceJob: finds the index of the best element of each row. Among
// ties the lower index is better. NaN is best for both modes, so the result is
// the index of the first NaN if the row has a NaN. Takes linear time, and no
// memory that depends on the input. Rows have at least one element.

#pragma once

#include "mlx/backend/cpu/selection/simd/best_of_rows-inl.h"
#include "mlx/backend/cpu/selection/simd/rows-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

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
uint32_t arg_reduce_one_by_one(const Row<T>& row, RankOf<T> rank) {
  uint32_t best = 0;
  for (size_t i = 1; i < row.size; ++i) {
    best = rank(row[i]) < rank(row[best]) ? i : best;
  }
  return best;
}

/** Finds the best element of the rows [first, last) of a job. */
template <typename T, Ranking ranking>
class ArgReduceRows {
 public:
  ArgReduceRows(const ArgReduceJob& job, int64_t first, int64_t last)
      : rows_(*job.rows),
        data_(static_cast<const T*>(job.in)),
        out_(job.out),
        first_(first),
        last_(last) {}

  void run() {
    auto size = rows_.axis_size;
    auto stride = rows_.in_axis_stride;
    if (size == 1 || stride == 0) {
      std::fill(out_ + first_, out_ + last_, 0);
      return;
    }
    if constexpr (has_exact_scores) {
      using Narrow = ExactScore<T, ranking, typename ExactLaneOf<T>::type>;
      using Wide = ExactScore<T, ranking, WideLane<T>>;
      auto row_stride = rows_.shape.empty() ? 0 : rows_.in_strides.back();
      if (row_stride == 1 && stride != 1 &&
          rows_.shape.back() >= static_cast<int64_t>(Narrow::width)) {
        return run_adjacent<Narrow, Wide>();
      }
      constexpr int64_t short_size = Narrow::width > 32 ? Narrow::width : 32;
      // Two or three long adjacent rows are copied in a tile instead.
      bool tiled = row_stride == 1 && size >= 64;
      bool several = last_ - first_ >= 4 ||
          (last_ > first_ + 1 && !tiled &&
           std::abs(row_stride) < std::abs(stride));
      if (size < short_size || (stride != 1 && several)) {
        return run_in_lanes<Wide>();
      }
      // Vectors of 16 bytes have no quick shuffle of single bytes.
      constexpr bool shuffles = vector_bytes > 16 || sizeof(T) > 1;
      if (shuffles && stride == 1 &&
          size <= static_cast<int64_t>(BestOfRow<Narrow>::max_size)) {
        return run_each<BestOfRow<Narrow>>();
      }
    }
    run_long();
  }

 private:
  // Two lanes of 8 bytes are slower than one element after the other.
  static constexpr bool has_exact_scores =
      !std::is_same_v<T, complex64_t> && (vector_bytes > 16 || sizeof(T) < 8);

  // Does rows whose neighbours are adjacent, in groups of whole vectors. The
  // few that are left at the end of a group go to run_in_lanes().
  template <typename S, typename Wide>
  void run_adjacent() {
    constexpr int64_t width = S::width;
    auto size = static_cast<size_t>(rows_.axis_size);
    auto stride = rows_.in_axis_stride;
    RowCursor at(rows_, first_);
    for (auto row = first_; row < last_;) {
      auto count = std::min(last_ - row, at.left_of_inner());
      auto from = data_ + at.in_offset;
      int64_t done = 0;
      for (; done + 4 * width <= count; done += 4 * width) {
        best_of_adjacent_rows<S, 4>(
            from + done, stride, size, out_ + row + done);
      }
      for (; done + width <= count; done += width) {
        best_of_adjacent_rows<S, 1>(
            from + done, stride, size, out_ + row + done);
      }
      if (done < count && count >= width) {
        // Repeats rows of the vector before.
        done = count - width;
        best_of_adjacent_rows<S, 1>(
            from + done, stride, size, out_ + row + done);
      } else if (done < count) {
        ArgReduceRows rest(*this);
        rest.first_ = row;
        rest.last_ = row + count;
        rest.template run_in_lanes<Wide>();
      }
      at.advance(count);
      row += count;
    }
  }

  template <typename S>
  void run_in_lanes() {
    constexpr int64_t count = S::width;
    int64_t in[count];
    RowCursor at(rows_, first_);
    for (auto row = first_; row < last_; row += count) {
      auto valid = next_offsets(rows_, at, last_ - row, count, in, nullptr);
      BestOfRowsInLanes<S>::find(
          {data_,
           in,
           static_cast<size_t>(valid),
           rows_.in_axis_stride,
           static_cast<size_t>(rows_.axis_size),
           rows_.last_in_offset},
          out_ + row);
    }
  }

  // Does contiguous rows one by one.
  template <typename Find>
  void run_each() {
    auto size = static_cast<size_t>(rows_.axis_size);
    RowCursor at(rows_, first_);
    auto step = rows_.shape.empty() ? 0 : rows_.in_strides.back();
    for (auto row = first_; row < last_;) {
      auto count = std::min(last_ - row, at.left_of_inner());
      for (int64_t i = 0; i < count; ++i) {
        out_[row + i] = Find::find(data_ + at.in_offset + i * step, size);
      }
      at.advance(count);
      row += count;
    }
  }

  void run_long() {
    bool by_vectors = rows_.axis_size >= static_cast<int64_t>(lanes<T>);
    for_each_row<T>(
        rows_, data_, first_, last_, [&](const Row<T>& row, int64_t out) {
          // NaN comes first in both directions, so the ranking for ranks
          // differs from that for scores.
          constexpr auto by_rank = ranking == Ranking::descending
              ? Ranking::descending
              : Ranking::nan_then_ascending;
          out_[out] = by_vectors
              ? ArgReduceOfRow<T, ranking>::find(row)
              : arg_reduce_one_by_one(row, RankOf<T>(by_rank));
        });
  }

  const RowPlan& rows_;
  const T* data_;
  uint32_t* out_;
  int64_t first_;
  int64_t last_;
};

template <typename T>
void arg_reduce_rows(const ArgReduceJob& job, int64_t first, int64_t last) {
  if (job.mode == TopKMode::largest) {
    ArgReduceRows<T, Ranking::descending>(job, first, last).run();
  } else {
    ArgReduceRows<T, Ranking::ascending>(job, first, last).run();
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
