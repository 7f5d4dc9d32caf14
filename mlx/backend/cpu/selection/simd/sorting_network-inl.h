// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorting networks: sequences of compare-exchanges that do not depend on the
// elements, so that no branch is mispredicted. They sort n elements in
// O(n log(n)^2) compare-exchanges, and are not stable. A sequence is bitonic if
// it rises and then falls, or is a rotation of one that does.
//
// Both kinds of merges are from K. E. Batcher, Sorting networks and their
// applications, AFIPS 1968. sort_lanes() uses odd-even merges. All other
// functions use bitonic merges.

#pragma once

#include "mlx/backend/cpu/selection/simd/rank-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * Compare-exchange: the lesser of each two lanes goes to ``a``. ``rows`` is the
 * number of vectors that the network around it has.
 */
template <int rows = 1, typename V>
[[gnu::always_inline]] inline void exchange(V& a, V& b) {
#if defined(SELECTION_AVX512)
  // XOR is faster than a maximum of 64-bit lanes, but waits for the minimum.
  // Exchanges of many other vectors fill that time.
  if constexpr (sizeof(a[0]) == 8 && rows >= 16) {
    auto lesser = min_of(a, b);
    constexpr int xor_all = 0x96;
    b = (V)_mm512_ternarylogic_epi64(
        (__m512i)a, (__m512i)b, (__m512i)lesser, xor_all);
    a = lesser;
    return;
  }
#else
  // There is no instruction for a minimum, so the lanes are compared once.
  if constexpr (std::is_same_v<V, Vector<int64_t>>) {
    auto swapped = a > b;
    auto lesser = swapped ? b : a;
    b = swapped ? a : b;
    a = lesser;
    return;
  }
#endif
  auto lesser = min_of(a, b);
  b = max_of(a, b);
  a = lesser;
}

// ---- each lane sorted on its own, across several vectors -------------------

/**
 * Merges, in each lane, the elements first, first + step, ... of v[first ..
 * first + count), whose two halves are each sorted.
 */
template <int first, int count, int step, int rows, typename V>
[[gnu::always_inline]] inline void odd_even_merge(V* v) {
  if constexpr (2 * step < count) {
    odd_even_merge<first, count, 2 * step, rows>(v);
    odd_even_merge<first + step, count, 2 * step, rows>(v);
#pragma GCC unroll 32
    for (int i = first + step; i + step < first + count; i += 2 * step) {
      exchange<rows>(v[i], v[i + step]);
    }
  } else {
    exchange<rows>(v[first], v[first + step]);
  }
}

/** Sorts each lane of v[first .. first + count); count is a power of two. */
template <int first, int count, int rows = count, typename V>
[[gnu::always_inline]] inline void sort_lanes(V* v) {
  if constexpr (count > 1) {
    sort_lanes<first, count / 2, rows>(v);
    sort_lanes<first + count / 2, count / 2, rows>(v);
    odd_even_merge<first, count, 1, rows>(v);
  }
}

/** Sorts each lane of v[first .. first + count), which is bitonic. */
template <int first, int count, int rows = count, typename V>
[[gnu::always_inline]] inline void bitonic_merge_lanes(V* v) {
  if constexpr (count > 1) {
#pragma GCC unroll 32
    for (int i = first; i < first + count / 2; ++i) {
      exchange<rows>(v[i], v[i + count / 2]);
    }
    bitonic_merge_lanes<first, count / 2, rows>(v);
    bitonic_merge_lanes<first + count / 2, count / 2, rows>(v);
  }
}

/**
 * Keeps in ``best``, sorted, the ``count`` least elements of each lane of
 * ``best`` and ``more``, which are both sorted.
 */
template <int count, typename V>
[[gnu::always_inline]] inline void merge_lanes(V* best, const V* more) {
#pragma GCC unroll 32
  for (int i = 0; i < count; ++i) {
    best[i] = min_of(best[i], more[count - 1 - i]);
  }
  bitonic_merge_lanes<0, count>(best);
}

// ---- all elements of one or more vectors, sorted together ------------------

/**
 * Compare-exchanges lane l with lane l ^ flip. The lesser goes to the lane
 * whose number has ``bit`` clear.
 */
template <typename E, size_t flip, size_t bit>
[[gnu::always_inline]] inline Vector<E> exchange_within(Vector<E> v) {
  auto other = shuffle<E>(v, v, [](size_t l) constexpr { return l ^ flip; });
  return shuffle<E>(min_of(v, other), max_of(v, other), [](size_t l) constexpr {
    return l & bit ? l + lanes<E> : l;
  });
}

/** Sorts runs of 2 * stride lanes, which are each bitonic. */
template <typename E, size_t stride>
[[gnu::always_inline]] inline Vector<E> bitonic_merge_within(Vector<E> v) {
  if constexpr (stride > 0) {
    v = exchange_within<E, stride, stride>(v);
    v = bitonic_merge_within<E, stride / 2>(v);
  }
  return v;
}

/** Sorts the lanes of a vector, whose runs of size / 2 are sorted. */
template <typename E, size_t size = 2>
[[gnu::always_inline]] inline Vector<E> sort_within(Vector<E> v) {
  if constexpr (size <= lanes<E>) {
    v = exchange_within<E, size - 1, size / 2>(v);
    v = bitonic_merge_within<E, size / 4>(v);
    v = sort_within<E, 2 * size>(v);
  }
  return v;
}

template <typename E>
Vector<E> reverse(Vector<E> v) {
  return shuffle<E>(v, v, [](size_t l) constexpr { return lanes<E> - 1 - l; });
}

/** Sorts v[0 .. count) as one sequence, which is bitonic. */
template <typename E, int count>
[[gnu::always_inline]] inline void bitonic_merge_vectors(Vector<E>* v) {
  if constexpr (count > 1) {
#pragma GCC unroll 8
    for (int i = 0; i < count / 2; ++i) {
      exchange(v[i], v[i + count / 2]);
    }
    bitonic_merge_vectors<E, count / 2>(v);
    bitonic_merge_vectors<E, count / 2>(v + count / 2);
  } else {
    v[0] = bitonic_merge_within<E, lanes<E> / 2>(v[0]);
  }
}

/** Sorts v[0 .. count) as one sequence; count is a power of two. */
template <typename E, int count>
[[gnu::always_inline]] inline void sort_vectors(Vector<E>* v) {
  if constexpr (count == 1) {
    v[0] = sort_within<E>(v[0]);
  } else {
    sort_vectors<E, count / 2>(v);
    sort_vectors<E, count / 2>(v + count / 2);
#pragma GCC unroll 8
    for (int i = 0; i < count / 2; ++i) {
      auto high = reverse<E>(v[count - 1 - i]);
      exchange(v[i], high);
      v[count - 1 - i] = reverse<E>(high);
    }
    bitonic_merge_vectors<E, count / 2>(v);
    bitonic_merge_vectors<E, count / 2>(v + count / 2);
  }
}

// ---- elements in memory ----------------------------------------------------

template <typename E>
void exchange_in_memory(E* a, E* b) {
  auto low = load(a);
  auto high = load(b);
  exchange(low, high);
  store(a, low);
  store(b, high);
}

/** Compare-exchanges lane l of ``a`` with the l-th last lane of ``b``. */
template <typename E>
void exchange_reversed_in_memory(E* a, E* b) {
  auto low = load(a);
  auto high = reverse<E>(load(b));
  exchange(low, high);
  store(a, low);
  store(b, reverse<E>(high));
}

template <typename E, int vectors>
void sort_in_registers(E* elements) {
  Vector<E> v[vectors];
#pragma GCC unroll 8
  for (int i = 0; i < vectors; ++i) {
    v[i] = load(elements + i * lanes<E>);
  }
  sort_vectors<E, vectors>(v);
#pragma GCC unroll 8
  for (int i = 0; i < vectors; ++i) {
    store(elements + i * lanes<E>, v[i]);
  }
}

template <typename E, int vectors>
void merge_in_registers(E* elements) {
  Vector<E> v[vectors];
#pragma GCC unroll 8
  for (int i = 0; i < vectors; ++i) {
    v[i] = load(elements + i * lanes<E>);
  }
  bitonic_merge_vectors<E, vectors>(v);
#pragma GCC unroll 8
  for (int i = 0; i < vectors; ++i) {
    store(elements + i * lanes<E>, v[i]);
  }
}

/** How many vectors are sorted in registers at a time. */
constexpr size_t network_block = 8;

/**
 * Returns the size, in elements, of the array that network_sort() needs to sort
 * ``count`` elements.
 */
template <typename E>
size_t network_padded(size_t count) {
  auto vectors = vectors_of<E>(count);
  return lanes<E> *
      (vectors <= network_block ? std::bit_ceil(vectors)
                                : round_up(vectors, network_block / 2));
}

/**
 * Begins to merge two sorted runs of vectors: [first, first + run) and
 * [first + run, end), which is at most as long. ``run`` is ``block`` times a
 * power of two. Afterwards the elements of each block are bitonic, and none of
 * them is greater than an element of a later block.
 */
template <typename E>
void merge_down_to_blocks(
    E* elements,
    size_t first,
    size_t run,
    size_t end,
    size_t block) {
  auto at = [&](size_t v) { return elements + v * lanes<E>; };
  for (auto b = first + run; b < end; ++b) {
    exchange_reversed_in_memory(at(2 * (first + run) - 1 - b), at(b));
  }
  for (auto step = run / 2; step >= block; step /= 2) {
    for (auto pair = first; pair + step < end; pair += 2 * step) {
      for (auto a = pair; a < pair + step && a + step < end; ++a) {
        exchange_in_memory(at(a), at(a + step));
      }
    }
  }
}

/**
 * Sorts all elements of ``vectors`` vectors. ``vectors`` is a multiple of half
 * a block. The network is the one for the next power of two: imagine that
 * padding follows the vectors and is greater than every element. Exchanges with
 * padding would change nothing, so they are left out.
 */
template <typename E>
void sort_in_memory(E* elements, size_t vectors) {
  constexpr int block = network_block;
  auto at = [&](size_t v) { return elements + v * lanes<E>; };
  auto whole = vectors / block * block;
  for (size_t v = 0; v < whole; v += block) {
    sort_in_registers<E, block>(at(v));
  }
  if (whole < vectors) {
    sort_in_registers<E, block / 2>(at(whole));
  }
  for (size_t run = block; run < vectors; run *= 2) {
    for (size_t first = 0; first + run < vectors; first += 2 * run) {
      auto end = std::min(first + 2 * run, vectors);
      merge_down_to_blocks(elements, first, run, end, block);
    }
    for (size_t v = 0; v < whole; v += block) {
      merge_in_registers<E, block>(at(v));
    }
    if (whole < vectors) {
      merge_in_registers<E, block / 2>(at(whole));
    }
  }
}

/**
 * Sorts the first ``count`` elements. Fills the rest, up to
 * network_padded(count), with padding.
 */
template <typename E>
void network_sort(E* elements, size_t count) {
  auto padded = network_padded<E>(count);
  std::fill(elements + count, elements + padded, worst<E>);
  switch (padded / lanes<E>) {
    case 0:
      return;
    case 1:
      return sort_in_registers<E, 1>(elements);
    case 2:
      return sort_in_registers<E, 2>(elements);
    case 4:
      return sort_in_registers<E, 4>(elements);
    case 8:
      return sort_in_registers<E, 8>(elements);
    default:
      return sort_in_memory(elements, padded / lanes<E>);
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
