// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds the k-th best of many ranks, and copies the k best. Takes linear time
// whatever the ranks are. As long as a sample of the ranks at least halves the
// candidates, sampling is repeated. Then the range of ranks is bisected, which
// takes at most one pass for each bit of a rank. Memory: as many candidates as
// there are ranks.
//
// k is from 1 to the number of ranks. Elements that tie have equal ranks; all
// NaNs have one rank. copy_k_best() decides which of the ties are chosen.

#pragma once

#include "mlx/backend/cpu/selection/simd/filter-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * Which of the elements that tie with the k-th best are chosen: those with the
 * lowest or those with the highest indices.
 */
enum class Ties { first, last };

/** Returns how many ranks are at most ``rank``. */
template <typename R>
size_t count_up_to(const R* ranks, size_t count, R rank) {
  R up_to = 0;
  for (size_t i = 0; i < count; ++i) {
    up_to += ranks[i] <= rank;
  }
  return up_to;
}

/** Returns the range from the least to the greatest rank. */
template <typename R>
Range<R> range_of(const R* ranks, size_t count) {
  R low = worst<R>;
  R high = 0;
  for (size_t i = 0; i < count; ++i) {
    low = ranks[i] < low ? ranks[i] : low;
    high = ranks[i] > high ? ranks[i] : high;
  }
  return {low, static_cast<R>(high - low)};
}

/**
 * Returns a bound such that at least k ranks are <= the bound. At most k +
 * ``slack`` ranks are <= the bound, unless ties at the bound make them more.
 * Takes no extra memory.
 *
 * Invariant: fewer than k ranks are below ``low``, and at least k are at most
 * ``high``.
 */
template <typename R>
R bisect(const R* ranks, size_t count, size_t k, size_t slack) {
  auto [low, width] = range_of(ranks, count);
  R high = low + width;
  while (low < high) {
    R middle = low + (high - low) / 2;
    auto up_to = count_up_to(ranks, count, middle);
    if (up_to >= k) {
      high = middle;
      if (up_to <= k + slack) {
        break;
      }
    } else {
      low = middle + 1;
    }
  }
  return high;
}

/** The k-th best rank, how many ranks are better, and how many equal it. */
template <typename R>
struct Split {
  R rank;
  size_t better;
  size_t equal;
};

template <typename R>
Split<R> split_by_bisection(const R* ranks, size_t count, size_t k) {
  // The bound may lie between two ranks. The k-th best is the greatest rank
  // that is at most the bound.
  auto bound = bisect(ranks, count, k, 0);
  R kth = 0;
  for (size_t i = 0; i < count; ++i) {
    auto rank = ranks[i] <= bound ? ranks[i] : R(0);
    kth = rank > kth ? rank : kth;
  }
  auto better = kth == 0 ? 0 : count_up_to<R>(ranks, count, kth - 1);
  return {kth, better, count_up_to(ranks, count, kth) - better};
}

/** Returns a range that probably holds the k-th best, from a sorted sample. */
template <typename R>
Range<R> guess_range(const R* ranks, size_t count, size_t k) {
  constexpr int size = 128;
  constexpr int margin = 12;
  R sample[size];
  for (int i = 0; i < size; ++i) {
    sample[i] = ranks[count / size * i + i % (count / size)];
  }
  std::sort(sample, sample + size);
  auto middle = static_cast<int>(k * size / count);
  R low = middle < margin ? 0 : sample[middle - margin];
  R high = middle + margin >= size ? worst<R> : sample[middle + margin];
  return {low, static_cast<R>(high - low)};
}

/**
 * Finds the k-th best of ``count`` ranks in linear time. ``scratch`` has room
 * for ``count`` candidates and one vector more.
 *
 * Invariant: the result is the k-th best of the ``count`` ranks in ``ranks``.
 * Each round drops ranks and adjusts k. Ranks that were dropped are either
 * better than all of ``ranks``, and ``better`` counts these, or worse than all
 * of ``ranks``.
 */
template <typename R>
Split<R> split(const R* ranks, size_t count, size_t k, Candidates<R> scratch) {
  size_t better = 0;
  while (count > 1024) {
    auto range = guess_range(ranks, count, k);
    R below = range.low == 0 ? 0 : range.low - 1;
    auto lower = range.low == 0 ? 0 : count_up_to(ranks, count, below);
    auto upper = count_up_to<R>(ranks, count, range.low + range.width);
    if (k <= lower) {
      range = {0, below};
      upper = lower;
      lower = 0;
    } else if (k > upper) {
      range = {
          static_cast<R>(range.low + range.width + 1),
          static_cast<R>(worst<R> - range.low - range.width - 1)};
      lower = upper;
      upper = count;
    }
    if (range.width == 0 && lower < k && k <= upper) {
      return {range.low, better + lower, upper - lower};
    }
    if (upper - lower > count / 2) {
      break;
    }
    count = filter(ranks, nullptr, 0, count, range, scratch);
    better += lower;
    k -= lower;
    ranks = scratch.ranks;
  }
  auto found = split_by_bisection(ranks, count, k);
  found.better += better;
  return found;
}

/**
 * Returns the length of the shortest prefix of ``ranks`` that contains
 * ``wanted`` ranks equal to ``rank``.
 */
template <typename R>
size_t end_of_equal(const R* ranks, R rank, size_t wanted) {
  constexpr size_t block = 256;
  size_t i = 0;
  while (wanted > 0) {
    size_t equal = 0;
    if (wanted > block) {
      for (size_t b = 0; b < block; ++b) {
        equal += ranks[i + b] == rank;
      }
      i += block;
    } else {
      equal = ranks[i++] == rank;
    }
    wanted -= equal;
  }
  return i;
}

/**
 * Copies the k best of ``count`` candidates to ``out``, in their order. If
 * ``indices`` is null, candidate i has the index i. ``found`` is the split at
 * the k-th best. ``out`` may alias the input.
 */
template <typename R>
void copy_k_best(
    const R* ranks,
    const uint32_t* indices,
    size_t count,
    size_t k,
    Split<R> found,
    Ties ties,
    Candidates<R> out) {
  // Ties are chosen on one side of ``cut`` only.
  auto chosen_ties = k - found.better;
  auto ties_before_cut =
      ties == Ties::first ? chosen_ties : found.equal - chosen_ties;
  auto cut = end_of_equal(ranks, found.rank, ties_before_cut);
  auto copy = [&](size_t first, size_t last, bool with_ties) {
    if (!with_ties && found.rank == 0) {
      return;
    }
    auto kept = filter<R>(
        ranks + first,
        indices ? indices + first : nullptr,
        first,
        last - first,
        up_to<R>(found.rank - !with_ties),
        out);
    out = {out.ranks + kept, out.indices + kept};
  };
  copy(0, cut, ties == Ties::first);
  copy(cut, count, ties == Ties::last);
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
