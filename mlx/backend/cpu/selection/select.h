// Copyright © 2026 the mlx-topk authors. MIT licence.

// Which rank is the k-th best of many. Linear whatever the input: a sample cuts
// the work while it halves it, then the range of ranks is bisected, at most
// once per bit. Included once per instruction set, inside its namespace.

/** Which of the elements that tie with the k-th best are chosen. */
enum class Ties { first, last };

template <typename R>
size_t count_up_to(const R* ranks, size_t count, R rank) {
  R up_to = 0;
  for (size_t i = 0; i < count; ++i) {
    up_to += ranks[i] <= rank;
  }
  return up_to;
}

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

/** A rank that at least k are up to, and not many more unless they tie. */
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

/** The k-th best rank, how many are better, and how many are as good. */
template <typename R>
struct Split {
  R rank;
  size_t better;
  size_t equal;
};

template <typename R>
Split<R> split_by_bisection(const R* ranks, size_t count, size_t k) {
  auto bound = bisect(ranks, count, k, 0);
  R kth = 0;
  for (size_t i = 0; i < count; ++i) {
    auto rank = ranks[i] <= bound ? ranks[i] : R(0);
    kth = rank > kth ? rank : kth;
  }
  auto better = kth == 0 ? 0 : count_up_to<R>(ranks, count, kth - 1);
  return {kth, better, count_up_to(ranks, count, kth) - better};
}

/** Ranks between which the k-th of ``count`` probably is. */
template <typename R>
Range<R> guess(const R* ranks, size_t count, size_t k) {
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

// ``scratch`` has room for ``count`` and one vector more, of both kinds.
template <typename R>
Split<R> split(const R* ranks, size_t count, size_t k, Candidates<R> scratch) {
  size_t better = 0;
  while (count > 1024) {
    auto range = guess(ranks, count, k);
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

/** Where the ranks end of which ``wanted`` are equal to ``rank``. */
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
 * The k best of ``count``, in their order, to ``out``, which may be where they
 * are. Without ``indices``, their places are.
 */
template <typename R>
void keep_best(
    const R* ranks,
    const uint32_t* indices,
    size_t count,
    size_t k,
    Split<R> found,
    Ties ties,
    Candidates<R> out) {
  auto chosen = k - found.better;
  auto front = ties == Ties::first ? chosen : found.equal - chosen;
  auto cut = end_of_equal(ranks, found.rank, front);
  auto keep = [&](size_t first, size_t last, bool equal) {
    if (!equal && found.rank == 0) {
      return;
    }
    auto kept = filter<R>(
        ranks + first,
        indices ? indices + first : nullptr,
        first,
        last - first,
        up_to<R>(found.rank - !equal),
        out);
    out = {out.ranks + kept, out.indices + kept};
  };
  keep(0, cut, ties == Ties::first);
  keep(cut, count, ties == Ties::last);
}
