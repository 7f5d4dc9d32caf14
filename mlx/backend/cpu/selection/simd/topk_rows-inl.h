// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs a TopKJob: writes the k best of each row, which it finds by the
// algorithm of the job's plan. Among ties the lower index is better, in both
// directions. NaN is greatest.
//
// k is from 1 to the size of the row: jobs with k = 0 never get here.

#pragma once

#include "mlx/backend/cpu/selection/simd/k_best-inl.h"
#include "mlx/backend/cpu/selection/simd/lanes_output-inl.h"
#include "mlx/backend/cpu/selection/simd/ordered_rows-inl.h"
#include "mlx/backend/cpu/selection/simd/partition_row-inl.h"
#include "mlx/backend/cpu/selection/simd/row_output-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_indices-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_values-inl.h"
#include "mlx/backend/cpu/selection/simd/topk_output-inl.h"
#include "mlx/backend/cpu/selection/simd/wide_lanes-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

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
    const RowOutput<T>& out) {
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
    auto chosen = algorithm();
    // The other algorithms call each_unordered(), which sees whether a single
    // row is in order.
    bool several = last_ - first_ > 1;
    bool looks_for_order = chosen == TopKAlgorithm::lanes
        ? job_.plan->rows.in_axis_stride != 1 ||
            !lanes_are_faster_than_copying<T>(size_)
        : several && copies() && chosen != TopKAlgorithm::whole_row;
    if (looks_for_order) {
      auto best_first = job_.sorted ? output(0) : output(0).reversed(k_);
      OrderedRows<T> ordered(
          job_.plan->rows, job_.in, RankOf<T>(ranking_), k_, best_first);
      first_ = ordered.copy(first_, last_);
    }
    if (first_ < last_) {
      run(chosen);
    }
  }

 private:
  void run(TopKAlgorithm chosen) {
    switch (chosen) {
      case TopKAlgorithm::whole_row:
        return each([&](const auto& row, const auto& out) {
          write_whole_row(row, RankOf<T>(ranking_), out);
        });
      case TopKAlgorithm::lanes:
        return run_lanes();
      case TopKAlgorithm::short_row:
        return run_short();
      case TopKAlgorithm::bounded:
        return ranking_ == Ranking::descending
            ? run_bounded<Ranking::descending>()
            : run_bounded<Ranking::ascending>();
      case TopKAlgorithm::select:
        return run_select();
    }
  }

  // Returns the algorithm of the plan, or one that has the same results and is
  // faster with this instruction set or this type.
  TopKAlgorithm algorithm() const {
    using enum TopKAlgorithm;
    auto planned = job_.plan->algorithm;
    if (planned == lanes && sizeof(T) > 4 &&
        !is_fast_in_wide_lanes(size_, k_)) {
      planned = short_row;
    }
    if (planned == short_row || planned == bounded) {
      // Candidates of 8 bytes take longer to choose from.
      size_t elements_per_k = planned == bounded && sizeof(T) > 4
          ? 14
          : TopKTuning::bounded_elements_per_k;
      bool many = k_ * elements_per_k > size_;
      if (many && (sorts_whole_row() || quicksort_is_fast)) {
        return select;
      }
    }
    return planned;
  }

  // Whether it is the fastest to sort a row and to drop what is not chosen.
  bool sorts_whole_row() const {
    return size_ <= TopKTuning::sorted_selection_size &&
        IndexSort<T>::supports(size_);
  }

  void run_select() {
    if (sorts_whole_row()) {
      if constexpr (quicksort_is_fast && !std::is_same_v<T, complex64_t>) {
        if (!job_.indices) {
          return sort_values();
        }
      }
      IndexSort<T> indices(size_, ranking_);
      return each_unordered([&](const auto& row, const auto& out) {
        auto sorted = indices.sort(row);
        auto best_first = job_.sorted ? out : out.reversed(k_);
        for (size_t i = 0; i < k_; ++i) {
          best_first.write(i, sorted[i], row);
        }
      });
    }
    if (drops_few()) {
      return ranking_ == Ranking::descending
          ? run_all_but_few<Ranking::descending>()
          : run_all_but_few<Ranking::ascending>();
    }
    if (quickselect_is_fast(size_)) {
      RowPartition<T> partition(size_, k_ - 1, ranking_);
      return each_unordered([&](const auto& row, const auto& out) {
        partition.divide(row);
        write_k_best(partition.up_to_kth(), k_, k_, job_.sorted, row, out);
      });
    }
    CandidateBuffer<R> all(size_), scratch(size_);
    each_unordered([&](const auto& row, const auto& out) {
      split_row(row, RankOf<T>(ranking_), k_, job_.sorted, all, scratch, out);
    });
  }

  // Sorts the values of each row, and writes the first k.
  void sort_values() {
    using Key = ShortRowKey<T>;
    ValueSort<T, Key> values(size_, ranking_, 1);
    T copy[TopKTuning::sorted_selection_size];
    T sorted[TopKTuning::sorted_selection_size];
    // In registers elements that tie are copies, so their order is the same if
    // a row is sorted in the order of the output.
    bool best_first = job_.sorted;
    bool descends = best_first == (ranking_ == Ranking::descending);
    auto flip = descends ? ~Key(0) : Key(0);
    auto first = sorted + (best_first ? 0 : size_ - k_);
    each_unordered([&](const auto& row, const auto& out) {
      Row<T> contiguous{row.contiguous(0, size_, copy), 1, size_};
      if (sort_values_in_registers<T, Key>(contiguous, flip, sorted)) {
        return out.write_values(first, k_);
      }
      values.sort_in_memory(contiguous, sorted, 1);
      (best_first ? out : out.reversed(k_)).write_values(sorted, k_);
    });
  }

  // Whether it is the fastest to find the elements that are not chosen.
  bool drops_few() const {
    return !job_.sorted && k_ < size_ &&
        is_small_side(
            size_ - k_ + 1,
            size_,
            job_.indices ? SortOutput::indices : SortOutput::values);
  }

  // Finds the elements that are not chosen, and the worst one that is: together
  // they are the best in the reverse ranking.
  template <Ranking ranking>
  void run_all_but_few() {
    constexpr auto reverse = ranking == Ranking::descending
        ? Ranking::ascending
        : Ranking::descending;
    auto dropped = size_ - k_;
    KBestOfRow<T, reverse> worst(
        size_, dropped + 1, Ties::last, job_.threads_per_row);
    KBestOfRow<T, ranking> best(size_, 1, Ties::first, job_.threads_per_row);
    bool is_short = size_ <= TopKTuning::short_row_size;
    each_unordered([&](const auto& row, const auto& out) {
      auto indices = worst.find(row).indices;
      auto place = indices + worst.worst_position();
      auto worst_chosen = *place;
      std::copy(place + 1, indices + dropped + 1, place);
      auto best_chosen = is_short ? index_of_best(row, RankOf<T>(ranking))
                                  : best.find(row).indices[0];
      write_all_but(indices, dropped, worst_chosen, best_chosen, row, out);
    });
  }

  RowOutput<T> output(int64_t offset) const {
    return {
        static_cast<T*>(job_.values) + offset,
        job_.indices ? job_.indices + offset : nullptr,
        job_.plan->rows.out_axis_stride};
  }

  // Calls use(row, output of the row) for each row of the range.
  template <typename Use>
  void each(Use&& use) {
    for_each_row_and_output<T>(
        job_.plan->rows, job_.in, output(0), k_, first_, last_, use);
  }

  // Returns whether to look for rows that are in order already.
  bool copies() const {
    return size_ <= TopKTuning::short_row_size ||
        k_ * TopKTuning::order_check_elements_per_k >= size_;
  }

  // As each(), but copies rows that are in order already if copies(), and does
  // not call ``use`` for them.
  template <typename Use>
  void each_unordered(Use&& use) {
    RankOf<T> rank(ranking_);
    each([&](const auto& row, const auto& out) {
      auto order = copies() ? order_of(row, rank) : RowOrder::neither;
      if (order == RowOrder::neither) {
        return use(row, out);
      }
      auto best_first = job_.sorted ? out : out.reversed(k_);
      copy_in_order(row, rank, order, k_, best_first);
    });
  }

  void run_short() {
    alignas(64) R ranks[TopKTuning::short_row_size + 2 * lanes<R>];
    alignas(64) uint32_t indices[TopKTuning::short_row_size + 2 * lanes<R>];
    Candidates<R> kept{ranks, indices};
    each_unordered([&](const auto& row, const auto& out) {
      auto count = short_row_candidates(row, RankOf<T>(ranking_), k_, kept);
      write_k_best(kept, count, k_, job_.sorted, row, out);
    });
  }

  template <Ranking ranking>
  void run_bounded() {
    BoundedTopK<T, ranking> bounded(size_, k_, Ties::first);
    each_unordered([&](const auto& row, const auto& out) {
      auto count = bounded.find(row, job_.threads_per_row);
      write_k_best(bounded.candidates(), count, k_, job_.sorted, row, out);
    });
  }

  void run_lanes() {
    constexpr auto count = RowBlock<T>::count;
    WordOf<T> words[TopKTuning::lanes_k * count];
    auto best_first = job_.sorted ? output(0) : output(0).reversed(k_);
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
          BlockOutput<T>{rows, words, k_, out, valid}.write(best_first);
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
