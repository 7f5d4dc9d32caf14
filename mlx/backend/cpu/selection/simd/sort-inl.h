// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts candidates by rank. The sort is stable. Whatever the ranks are, the
// time has the same upper limit. Few candidates are sorted on the stack, by a
// sorting network or by counting. Many are sorted by radix in linear time,
// which takes two arrays of ranks and indices.

#pragma once

#include "mlx/backend/cpu/selection/simd/buffer-inl.h"
#include "mlx/backend/cpu/selection/simd/sorting_network-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** At most this many words are sorted by a network. */
constexpr size_t network_size = 1024;

/** At most this many 64-bit ranks are sorted by counting. */
constexpr size_t counting_size = 64;

/**
 * Sorts by counting: sets positions[p] to the position of the p-th best of
 * ``count`` ranks. ``count`` is at most counting_size. Fills ``ranks`` up to a
 * multiple of 16. Compares each rank with each, without branches.
 */
template <typename R>
void counting_sort(R* ranks, size_t count, uint32_t* positions) {
  auto padded = round_up(count, 16);
  std::fill(ranks + count, ranks + padded, worst<R>);
  for (size_t first = 0; first < padded; first += 16) {
    auto block = ranks + first;
    // better[l] counts the ranks that precede block[l] in the sorted order.
    // Among equal ranks, the earlier one precedes.
    R better[16] = {};
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
      positions[better[i - first]] = i;
    }
  }
}

template <typename R>
struct RankAndIndex {
  R rank;
  uint32_t index;
};

inline uint32_t rank_in(uint32_t rank) {
  return rank;
}

inline uint64_t rank_in(uint64_t rank) {
  return rank;
}

inline uint32_t rank_in(int32_t key) {
  return static_cast<uint32_t>(key) ^ (uint32_t(1) << 31);
}

inline uint64_t rank_in(int64_t key) {
  return static_cast<uint64_t>(key) ^ (uint64_t(1) << 63);
}

/** A key that is a double is positive (sort_key-inl.h). */
inline uint64_t rank_in(double key) {
  return std::bit_cast<uint64_t>(key);
}

template <typename R>
R rank_in(const RankAndIndex<R>& element) {
  return element.rank;
}

/**
 * Sorts by digits of ``bits`` bits, the least significant first. Stable, linear
 * time. ``other`` has room for ``count`` elements. Returns the array of the two
 * that holds the result.
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
    // All elements have the same digit: this pass would change nothing.
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

/** As radix_sort, with the digits that are fastest for ``count``. */
template <typename E>
E* sort_many(E* elements, E* other, size_t count) {
  return count < 4096 ? radix_sort<8>(elements, other, count)
                      : radix_sort<11>(elements, other, count);
}

/**
 * Calls write(place, index) for the k best of ``count`` candidates, best first,
 * with places from 0. Candidates with equal ranks keep their order, which is
 * that of their indices. Overwrites the candidates.
 */
template <typename R, typename Write>
void sort_candidates(Candidates<R> all, size_t count, size_t k, Write&& write) {
  if constexpr (sizeof(R) == 4) {
    if (count <= network_size) {
      alignas(64) LongWord words[network_size];
      for (size_t i = 0; i < count; ++i) {
        words[i] = pack<LongWord>(all.ranks[i], i);
      }
      network_sort(words, count);
      for (size_t i = 0; i < k; ++i) {
        write(i, all.indices[index_of(words[i])]);
      }
      return;
    }
  } else if (count <= counting_size) {
    uint32_t positions[counting_size];
    counting_sort(all.ranks, count, positions);
    for (size_t i = 0; i < k; ++i) {
      write(i, all.indices[positions[i]]);
    }
    return;
  }
  Buffer<RankAndIndex<R>> elements(2 * count);
  for (size_t i = 0; i < count; ++i) {
    elements.get()[i] = {all.ranks[i], all.indices[i]};
  }
  auto sorted = sort_many(elements.get(), elements.get() + count, count);
  for (size_t i = 0; i < k; ++i) {
    write(i, sorted[i].index);
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
