// Copyright © 2026 the mlx-topk authors. MIT licence.

// Writes the outputs of one row of a TopKJob: the values and the indices of the
// k best elements, in the order that the job asks for.

#pragma once

#include "mlx/backend/cpu/selection/simd/row_output-inl.h"
#include "mlx/backend/cpu/selection/simd/row_writer-inl.h"
#include "mlx/backend/cpu/selection/simd/sort-inl.h"
#include "mlx/backend/cpu/selection/simd/split-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

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
 * Returns the index of the first of the best elements of a row, which has at
 * most TopKTuning::short_row_size elements.
 */
template <typename T>
size_t index_of_best(const Row<T>& row, RankOf<T> rank) {
  Rank<T> ranks[TopKTuning::short_row_size];
  load_ranks(row, rank, 0, row.size, ranks);
  auto best = range_of(ranks, row.size).low;
  return std::find(ranks, ranks + row.size, best) - ranks;
}

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
    const RowOutput<T>& out) {
  using R = Rank<T>;
  bool in_order = sorted || k <= TopKTuning::ordered_k;
  // A few more than k are cheaper to sort than to drop.
  if (count > (in_order ? 2 * k + 64 : k)) {
    CandidateBuffer<R> scratch(count);
    auto found =
        split_up_to_bound<R>(all.ranks, count, k, scratch.candidates());
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
    out.write_all(all.indices, k, row);
  }
}

/**
 * Writes every element of a row but those at the ``count`` indices in
 * ``dropped``, which are ascending, in the order of the row. Then exchanges the
 * first with the worst, which is at the index ``worst``, and the last with the
 * best, which is at ``best``.
 */
template <typename T>
void write_all_but(
    const uint32_t* dropped,
    size_t count,
    size_t worst,
    size_t best,
    const Row<T>& row,
    const RowOutput<T>& out) {
  ValueWriter<T>(out.values, out.stride, row).write_others(dropped, count, 0);
  if (out.indices) {
    IndexWriter(out.indices, out.stride, row.size)
        .write_others(dropped, count, 0);
  }
  auto place_of = [&](size_t index) {
    return index -
        (std::lower_bound(dropped, dropped + count, index) - dropped);
  };
  auto place_of_worst = place_of(worst);
  auto place_of_best = place_of(best);
  out.exchange(0, place_of_worst);
  out.exchange(
      row.size - count - 1,
      place_of_best == 0 ? place_of_worst : place_of_best);
}

/**
 * Writes every element of a row in the order of the row, then exchanges the
 * first with the worst and the last with the best.
 */
template <typename T>
void write_whole_row(
    const Row<T>& row,
    RankOf<T> rank,
    const RowOutput<T>& out) {
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

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
