// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds the k-th best of many ranks, and copies the k best. Takes linear time
// whatever the ranks are. As long as a sample of the ranks at least halves the
// candidates, sampling is repeated. A few are sorted by a network. If a sample
// does not help, the range of ranks is bisected, which takes at most one pass
// for each bit of a rank. Memory: as many ranks as there are.
//
// k is from 1 to the number of ranks. Elements that tie have equal ranks; all
// NaNs have one rank. copy_k_best() decides which of the ties are chosen.

#pragma once

#include "mlx/backend/cpu/selection/simd/filter-inl.h"
#include "mlx/backend/cpu/selection/simd/sorting_network-inl.h"

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

/** At most this many ranks are sorted to find the k-th best. */
constexpr size_t split_by_network_size = 128;

template <typename R>
Split<R> split_by_network(const R* ranks, size_t count, size_t k) {
  alignas(64) R sorted[split_by_network_size];
  std::copy(ranks, ranks + count, sorted);
  network_sort(sorted, count);
  auto kth = sorted[k - 1];
  size_t better = 0;
  size_t up_to = 0;
  for (size_t i = 0; i < count; ++i) {
    better += sorted[i] < kth;
    up_to += sorted[i] <= kth;
  }
  return {kth, better, up_to - better};
}

/**
 * A sorted sample of ``count`` ranks, which are more than
 * split_by_network_size.
 */
template <typename R>
class RankSample {
 public:
  RankSample(const R* ranks, size_t count)
      : count_(count),
        size_(
            count > 4096      ? 256
                : count > 512 ? 128
                              : 64) {
    auto step = count / size_;
    for (size_t i = 0; i < size_; ++i) {
      sorted_[i] = ranks[step * i + i % step];
    }
    network_sort(sorted_, size_);
  }

  /** Returns a range that probably holds the k-th best of all ranks. */
  Range<R> around(size_t k) const {
    auto [first, last] = window(k);
    R low = first == 0 ? 0 : sorted_[first];
    R high = last == size_ ? worst<R> : sorted_[last];
    return {low, static_cast<R>(high - low)};
  }

  /** Returns the rank that is most frequent in the sample of that range. */
  R most_frequent(size_t k) const {
    auto [first, last] = window(k);
    last = std::min(last, size_ - 1);
    auto most = sorted_[first];
    size_t longest = 0;
    for (auto run = first; first <= last; ++first) {
      run = sorted_[first] == sorted_[run] ? run : first;
      if (first - run + 1 > longest) {
        longest = first - run + 1;
        most = sorted_[first];
      }
    }
    return most;
  }

 private:
  // Returns the positions in the sample between which the k-th best of all
  // ranks probably is. The first is at least 0, the last at most size_.
  std::pair<size_t, size_t> window(size_t k) const {
    // The standard deviation of the position of the k-th best is at most half
    // the square root of the size: 4 to 8.
    size_t margin = size_ == 256 ? 20 : size_ == 128 ? 14 : 10;
    auto middle = k * size_ / count_;
    return {
        middle < margin ? 0 : middle - margin,
        std::min(middle + margin, size_)};
  }

  size_t count_;
  size_t size_;
  alignas(64) R sorted_[256];
};

/** Returns how many ranks are below ``range``, and how many below or in it. */
template <typename R>
std::pair<size_t, size_t>
count_range(const R* ranks, size_t count, Range<R> range) {
  R below = 0;
  R up_to = 0;
  for (size_t i = 0; i < count; ++i) {
    below += ranks[i] < range.low;
    up_to += ranks[i] <= static_cast<R>(range.low + range.width);
  }
  return {below, up_to};
}

/**
 * Finds the k-th best of ``count`` ranks in linear time. ``scratch`` has room
 * for ``count`` ranks and one vector more.
 *
 * Invariant: the result is the k-th best of the ``count`` ranks in ``ranks``.
 * Each round drops ranks and adjusts k. Ranks that were dropped are either
 * better than all of ``ranks``, and ``better`` counts these, or worse than all
 * of ``ranks``.
 */
template <typename R>
Split<R> split(const R* ranks, size_t count, size_t k, Candidates<R> scratch) {
  size_t better = 0;
  bool halved = true;
  while (halved && count > split_by_network_size) {
    RankSample<R> sample(ranks, count);
    auto range = sample.around(k);
    auto [lower, upper] = count_range(ranks, count, range);
    if (upper - lower > count / 2) {
      // Many ranks in the range are equal. Leave them out of it, unless the
      // k-th best is one of them.
      auto tied = sample.most_frequent(k);
      auto [less, up_to] = count_range<R>(ranks, count, {tied, 0});
      if (less < k && k <= up_to) {
        return {tied, better + less, up_to - less};
      }
      if (lower < k && k <= less) {
        range.width = tied - 1 - range.low;
        upper = less;
      } else if (up_to < k && k <= upper) {
        range.width -= tied + 1 - range.low;
        range.low = tied + 1;
        lower = up_to;
      }
    }
    if (k <= lower) {
      range = {0, static_cast<R>(range.low - 1)};
      upper = lower;
      lower = 0;
    } else if (k > upper) {
      range = from<R>(range.low + range.width + 1);
      lower = upper;
      upper = count;
    }
    if (range.width == 0) {
      return {range.low, better + lower, upper - lower};
    }
    halved = upper - lower <= count / 2;
    if (halved) {
      Candidates<R> kept{scratch.ranks, nullptr};
      count = filter<R>(ranks, nullptr, 0, count, range, kept);
      better += lower;
      k -= lower;
      ranks = kept.ranks;
    }
  }
  auto found = halved ? split_by_network(ranks, count, k)
                      : split_by_bisection(ranks, count, k);
  found.better += better;
  return found;
}

/**
 * Does the same as split(), for ranks that were kept because they are at most
 * some bound, and that are many because many tie at the bound. The k-th best is
 * then probably the greatest of them.
 */
template <typename R>
Split<R> split_up_to_bound(
    const R* ranks,
    size_t count,
    size_t k,
    Candidates<R> scratch) {
  auto [least, width] = range_of(ranks, count);
  R greatest = least + width;
  auto better = greatest == 0 ? 0 : count_up_to<R>(ranks, count, greatest - 1);
  return better < k ? Split<R>{greatest, better, count - better}
                    : split(ranks, count, k, scratch);
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
