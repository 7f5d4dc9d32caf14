// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs a TopKJob: writes the k best of each row, which it finds by the
// algorithm of the job's plan. Among ties the lower index is better, in both
// directions. NaN is greatest.
//
// k is from 1 to the size of the row: jobs with k = 0 never get here.

#pragma once

#include "mlx/backend/cpu/selection/simd/k_best-inl.h"
#include "mlx/backend/cpu/selection/simd/rows-inl.h"
#include "mlx/backend/cpu/selection/simd/wide_lanes-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * The outputs of one row, whose elements are ``stride`` apart. ``indices`` may
 * be null.
 */
template <typename T>
struct TopKOutput {
  T* values;
  uint32_t* indices;
  int64_t stride;

  void write(size_t place, uint32_t index, const Row<T>& row) const {
    auto to = static_cast<int64_t>(place) * stride;
    values[to] = row[index];
    if (indices) {
      indices[to] = index;
    }
  }

  /** Returns the same k places, counted from the last to the first. */
  TopKOutput reversed(size_t k) const {
    auto last = static_cast<int64_t>(k - 1) * stride;
    return {values + last, indices ? indices + last : nullptr, -stride};
  }
};

/**
 * Finds the positions of the best and the worst of many ranks, which are added
 * in blocks. Among equal ranks, the first is better.
 */
template <typename R>
class EndsOfRanks {
 public:
  static constexpr size_t block = 512;

  /** Adds up to ``block`` ranks, the first of which is at ``position``. */
  void add(const R* ranks, size_t count, size_t position) {
    auto [low, width] = range_of(ranks, count);
    R high = low + width;
    if (position == 0 || low < best_rank_) {
      best_rank_ = low;
      best = position + (std::find(ranks, ranks + count, low) - ranks);
    }
    if (position == 0 || high >= worst_rank_) {
      worst_rank_ = high;
      auto last = count - 1;
      while (ranks[last] != high) {
        --last;
      }
      worst = position + last;
    }
  }

  size_t best{0};
  size_t worst{0};

 private:
  R best_rank_{0};
  R worst_rank_{0};
};

/**
 * Puts the index of the worst of k candidates first and that of the best last.
 * Does not move the ranks.
 */
template <typename R>
void put_ends(Candidates<R> chosen, size_t k) {
  EndsOfRanks<R> ends;
  for (size_t i = 0; i < k; i += ends.block) {
    ends.add(chosen.ranks + i, std::min(ends.block, k - i), i);
  }
  std::swap(chosen.indices[0], chosen.indices[ends.worst]);
  auto best = ends.best == 0 ? ends.worst : ends.best;
  std::swap(chosen.indices[k - 1], chosen.indices[best]);
}

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
  bool in_order = sorted || k <= TopKTuning::ordered_k;
  // A few more than k are cheaper to sort than to drop.
  if (count > (in_order ? 2 * k + 64 : k)) {
    CandidateBuffer<R> scratch(count);
    auto found = split<R>(all.ranks, count, k, scratch.candidates());
    copy_k_best(all.ranks, all.indices, count, k, found, Ties::first, all);
    count = k;
  }
  if (in_order) {
    auto best_first = sorted ? out : out.reversed(k);
    auto write = [&](size_t place, uint32_t index) {
      best_first.write(place, index, row);
    };
    sort_candidates(all, count, k, write);
  } else {
    put_ends(all, k);
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

/**
 * Writes every element of a row in the order of the row, then exchanges the
 * first with the worst and the last with the best.
 */
template <typename T>
void write_whole_row(
    const Row<T>& row,
    RankOf<T> rank,
    const TopKOutput<T>& out) {
  EndsOfRanks<Rank<T>> ends;
  Rank<T> ranks[ends.block];
  for (size_t first = 0; first < row.size; first += ends.block) {
    auto count = std::min(ends.block, row.size - first);
    load_ranks(row, rank, first, count, ranks);
    ends.add(ranks, count, first);
    for (auto i = first; i < first + count; ++i) {
      out.write(i, i, row);
    }
  }
  auto last = row.size - 1;
  out.write(ends.worst, 0, row);
  auto at_last = ends.worst == last ? 0 : last;
  auto place_of_best = ends.best == 0 ? ends.worst : ends.best;
  out.write(place_of_best, at_last, row);
  out.write(last, ends.best, row);
  out.write(0, ends.worst, row);
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
          write_whole_row(row, RankOf<T>(ranking_), out);
        });
      case TopKAlgorithm::lanes:
        if (sizeof(T) <= 4 || is_fast_in_wide_lanes(size_, k_)) {
          return run_lanes();
        }
        // short_row has the same result: it also sorts, since k is at most
        // ordered_k.
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
        job_.indices ? job_.indices + offset : nullptr,
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
          if constexpr (sizeof(T) <= 4) {
            k_best_in_lanes(rows, RankOf<T>(ranking_), k_, words);
          } else {
            k_best_in_wide_lanes(rows, RankOf<T>(ranking_), k_, words);
          }
          for (size_t r = 0; r < valid; ++r) {
            Row<T> row{rows.data + rows.offset[r], rows.stride, rows.size};
            auto to = output(out[r]);
            to = job_.sorted ? to : to.reversed(k_);
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
