// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorting by rank, stable, in time that does not depend on the ranks: a network
// or counting for a few, by radix for many. Included once per instruction set,
// inside its namespace.

/** Up to so many words go through a network. */
constexpr size_t network_size = 1024;

/** Up to so many ranks that share no word with an index are sorted by counting.
 */
constexpr size_t few = 64;

/**
 * order[p] is the position of the p-th best of ``count`` <= few candidates.
 * ``ranks`` has room for a multiple of 16.
 */
template <typename R>
void sort_few(R* ranks, size_t count, uint32_t* order) {
  auto padded = round_up(count, 16);
  std::fill(ranks + count, ranks + padded, worst<R>);
  for (size_t first = 0; first < padded; first += 16) {
    auto block = ranks + first;
    R better[16] = {};
    // Those in front win ties, those behind lose them.
    for (size_t i = 0; i < first; ++i) {
      for (int l = 0; l < 16; ++l) {
        better[l] += ranks[i] <= block[l];
      }
    }
    for (size_t i = 0; i < 16; ++i) {
      for (size_t l = 0; l < 16; ++l) {
        better[l] += block[i] < block[l] || (block[i] == block[l] && i < l);
      }
    }
    for (size_t i = first + 16; i < padded; ++i) {
      for (int l = 0; l < 16; ++l) {
        better[l] += ranks[i] < block[l];
      }
    }
    for (size_t i = first; i < std::min(count, first + 16); ++i) {
      order[better[i - first]] = i;
    }
  }
}

template <typename R>
struct Ranked {
  R rank;
  uint32_t index;
};

template <typename R>
R rank_in(R rank) {
  return rank;
}

template <typename R>
R rank_in(const Ranked<R>& element) {
  return element.rank;
}

/**
 * Least significant digit first. ``other`` has room for as many; returns which
 * of the two holds the result.
 */
template <int bits, typename E>
E* radix_sort(E* elements, E* other, size_t count) {
  using R = decltype(rank_in(*elements));
  constexpr int digits = (8 * sizeof(R) + bits - 1) / bits;
  constexpr size_t buckets = size_t(1) << bits;
  auto digit = [](R rank, int d) { return (rank >> (d * bits)) % buckets; };

  uint32_t histogram[digits][buckets] = {};
  for (size_t i = 0; i < count; ++i) {
    for (int d = 0; d < digits; ++d) {
      ++histogram[d][digit(rank_in(elements[i]), d)];
    }
  }
  for (int d = 0; d < digits; ++d) {
    auto starts = histogram[d];
    if (starts[digit(rank_in(elements[0]), d)] == count) {
      continue;
    }
    uint32_t start = 0;
    for (size_t b = 0; b < buckets; ++b) {
      start += std::exchange(starts[b], start);
    }
    for (size_t i = 0; i < count; ++i) {
      other[starts[digit(rank_in(elements[i]), d)]++] = elements[i];
    }
    std::swap(elements, other);
  }
  return elements;
}

template <typename E>
E* sort_many(E* elements, E* other, size_t count) {
  return count < 4096 ? radix_sort<8>(elements, other, count)
                      : radix_sort<11>(elements, other, count);
}

/**
 * put(place, index) for the k best of ``count`` candidates, best first. Those
 * with equal ranks are in the order of their indices.
 */
template <typename R, typename Put>
void sort_candidates(Candidates<R> all, size_t count, size_t k, Put&& put) {
  if constexpr (sizeof(R) == 4) {
    if (count <= network_size) {
      alignas(64) uint64_t words[network_size];
      for (size_t i = 0; i < count; ++i) {
        words[i] = pack<uint64_t>(all.ranks[i], all.indices[i]);
      }
      network_sort(words, count);
      for (size_t i = 0; i < k; ++i) {
        put(i, index_of(words[i]));
      }
      return;
    }
  } else if (count <= few) {
    uint32_t order[few];
    sort_few(all.ranks, count, order);
    for (size_t i = 0; i < k; ++i) {
      put(i, all.indices[order[i]]);
    }
    return;
  }
  Buffer<Ranked<R>> elements(2 * count);
  for (size_t i = 0; i < count; ++i) {
    elements.get()[i] = {all.ranks[i], all.indices[i]};
  }
  auto ordered = sort_many(elements.get(), elements.get() + count, count);
  for (size_t i = 0; i < k; ++i) {
    put(i, ordered[i].index);
  }
}
