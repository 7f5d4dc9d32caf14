// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs a TopKJob: writes the k best of each row, which it finds by the
// algorithm of the job's plan.
// Among ties the lower index is better, in both directions. NaN is greatest.
//
// k is from 1 to the size of the row: jobs with k = 0 never get here.

#pragma once

#include "mlx/backend/cpu/selection/simd/k_best-inl.h"
#include "mlx/backend/cpu/selection/simd/rows-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** The outputs of one row, whose elements are ``stride`` apart. */
template <typename T>
struct TopKOutput {
  T* values;
  uint32_t* indices;
  int64_t stride;

  void write(size_t place, uint32_t index, const Row<T>& row) const {
    auto to = static_cast<int64_t>(place) * stride;
    values[to] = row[index];
    indices[to] = index;
  }
};

/**
 * Up to this k, results are sorted even if the job does not ask for that: the
 * sort costs nothing.
 */
constexpr size_t always_sorted = 64;

/**
 * Writes the k best of ``count`` candidates, which hold the k best of the row
 * and perhaps others. Overwrites the candidates.
 */
template <typename T>
void write_k_best(
    Candidates<Rank<T>> all,
    size_t count,
    size_t k,
    bool sorted,
    const Row<T>& row,
    const TopKOutput<T>& out) {
  using R = Rank<T>;
  sorted |= k <= always_sorted;
  // A few more than k are cheaper to sort than to drop.
  if (count > (sorted ? 2 * k + 64 : k)) {
    CandidateBuffer<R> scratch(count > 1024 ? count : 0);
    auto found = split<R>(all.ranks, count, k, scratch.candidates());
    copy_k_best(all.ranks, all.indices, count, k, found, Ties::first, all);
    count = k;
  }
  if (sorted) {
    auto write = [&](size_t place, uint32_t index) {
      out.write(place, index, row);
    };
    sort_candidates(all, count, k, write);
  } else {
    for (size_t i = 0; i < k; ++i) {
      out.write(i, all.indices[i], row);
    }
  }
}

/**
 * Writes the k best of a row, for large k. Converts the whole row to ranks and
 * splits the ranks at the k-th best. Takes linear time, and the time of sorting
 * k elements if ``sorted``. ``all`` and ``scratch`` each need room for one
 * candidate for each element of the row.
 */
template <typename T>
void split_row(
    const Row<T>& row,
    RankOf<T> rank,
    size_t k,
    bool sorted,
    CandidateBuffer<Rank<T>>& all,
    CandidateBuffer<Rank<T>>& scratch,
    const TopKOutput<T>& out) {
  using R = Rank<T>;
  auto kept = all.candidates();
  load_ranks(row, rank, 0, row.size, kept.ranks);
  if (k < row.size) {
    auto found = split(kept.ranks, row.size, k, scratch.candidates());
    copy_k_best<R>(kept.ranks, nullptr, row.size, k, found, Ties::first, kept);
  } else {
    std::iota(kept.indices, kept.indices + row.size, 0);
  }
  write_k_best(kept, k, k, sorted, row, out);
}

/** Writes the k best of each of the rows [first, last) of a job. */
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
            out.write(i, i, row);
          }
        });
      case TopKAlgorithm::lanes:
        if constexpr (sizeof(T) <= 4) {
          if (is_fast_in_lanes<T>(size_)) {
            return run_lanes();
          }
        }
        // The lanes would be slower, or T is too wide for them. short_row has
        // the same result: it also sorts, since k is at most always_sorted.
        [[fallthrough]];
      case TopKAlgorithm::short_row:
        return run_short();
      case TopKAlgorithm::bounded:
        return ranking_ == Ranking::descending
            ? run_bounded<Ranking::descending>()
            : run_bounded<Ranking::ascending>();
      case TopKAlgorithm::select: {
        CandidateBuffer<R> all(size_), scratch(size_);
        return each([&](const auto& row, const auto& out) {
          split_row(
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

  // Calls use(row, output of the row) for each row of the range.
  template <typename Use>
  void each(Use&& use) {
    for_each_row<T>(
        job_.plan->rows,
        job_.in,
        first_,
        last_,
        [&](const auto& row, auto offset) { use(row, output(offset)); });
  }

  void run_short() {
    alignas(64) R ranks[TopKTuning::short_row_size + 2 * lanes<R>];
    alignas(64) uint32_t indices[TopKTuning::short_row_size + 2 * lanes<R>];
    Candidates<R> kept{ranks, indices};
    each([&](const auto& row, const auto& out) {
      auto count = short_row_candidates(row, RankOf<T>(ranking_), k_, kept);
      write_k_best(kept, count, k_, job_.sorted, row, out);
    });
  }

  template <Ranking ranking>
  void run_bounded() {
    BoundedTopK<T, ranking> bounded(size_, k_, Ties::first);
    each([&](const auto& row, const auto& out) {
      auto count = bounded.find(row, job_.threads_per_row);
      write_k_best(bounded.candidates(), count, k_, job_.sorted, row, out);
    });
  }

  void run_lanes() {
    constexpr auto count = RowBlock<T>::count;
    WordOf<T> words[TopKTuning::lanes_k * count];
    for_each_block<T>(
        job_.plan->rows,
        job_.in,
        first_,
        last_,
        [&](const RowBlock<T>& rows, const int64_t* out, size_t valid) {
          k_best_in_lanes(rows, RankOf<T>(ranking_), k_, words);
          for (size_t r = 0; r < valid; ++r) {
            Row<T> row{rows.data + rows.offset[r], rows.stride, rows.size};
            auto to = output(out[r]);
            for (size_t i = 0; i < k_; ++i) {
              to.write(i, index_of(words[i * count + r]), row);
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

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
