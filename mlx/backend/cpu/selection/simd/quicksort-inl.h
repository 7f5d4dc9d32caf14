#pragma once

#include "mlx/backend/cpu/selection/simd/sort_block-inl.h"
#include "mlx/backend/cpu/selection/simd/sort-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

#if defined(SELECTION_AVX2)

/**
 * For each mask of 32-bit lanes, the permutation that moves the lanes whose bit
 * is clear to the front, and the others to the back. Keeps the order on both
 * sides.
 */
template <typename E>
struct PartitionTable {
  static constexpr size_t masks = size_t(1) << lanes<E>;
  static constexpr size_t parts = sizeof(E) / 4;
  alignas(64) uint32_t lanes_of[masks][8];
  constexpr PartitionTable() : lanes_of{} {
    for (size_t mask = 0; mask < masks; ++mask) {
      size_t to = 0;
      for (size_t bit = 0; bit < 2; ++bit) {
        for (size_t l = 0; l < lanes<E>; ++l) {
          if ((mask >> l & 1) == bit) {
            for (size_t p = 0; p < parts; ++p) {
              lanes_of[mask][to++] = l * parts + p;
            }
          }
        }
      }
    }
  }
};

template <typename E>
constexpr PartitionTable<E> partition_table;

template <typename E>
[[gnu::always_inline]] inline Vector<E> partition_lanes(Vector<E> v, uint64_t mask) {
  auto lanes_of = _mm256_load_si256(reinterpret_cast<const __m256i*>(
      partition_table<E>.lanes_of[mask]));
  return (Vector<E>)_mm256_permutevar8x32_epi32((__m256i)v, lanes_of);
}
#endif

template <bool or_equal, typename E>
[[gnu::noinline]] size_t partition_keys(E* keys, E* other, size_t count, E pivot) {
  auto low = keys;
  auto high = other + count;
  auto p = broadcast(pivot);
  size_t i = 0;
#pragma GCC unroll 4
  for (; i + lanes<E> <= count; i += lanes<E>) {
    auto v = load(keys + i);
    auto mask = or_equal ? mask_bits(v >= p) : mask_bits(v > p);
    auto sorted = partition_lanes<E>(v, mask);
    auto high_count = std::popcount(mask);
    store(low, sorted);
    store(high - lanes<E>, sorted);
    low += lanes<E> - high_count;
    high -= high_count;
  }
  for (; i < count; ++i) {
    auto key = keys[i];
    bool is_high = or_equal ? key >= pivot : key > pivot;
    *low = key;
    high[-1] = key;
    low += !is_high;
    high -= is_high;
  }
  return low - keys;
}

template <typename E>
[[gnu::noinline]] E pick_pivot(const E* keys, size_t count) {
  constexpr auto width = lanes<E>;
  if (count < 1024) {
    Vector<E> a = load(keys), b = load(keys + count / 2), c = load(keys + count - width);
    order(a, b);
    order(b, c);
    order(a, b);
    merge_runs<E, 1, 1>(&b);
    return b[width / 2 - 1];
  }
  Vector<E> v[8];
  auto step = (count - width) / 7;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    v[i] = load(keys + i * step);
  }
  sort_rows_of_keys<E, 8>(v);
  return v[3][width - 1];
}

template <typename E>
void quicksort(E* keys, E* other, size_t count, bool at_home, E upper, int budget) {
  while (count > block_size<E>) {
    if (--budget < 0) {
      auto sorted = radix_sort<8>(keys, other, count);
      auto to = at_home ? keys : other;
      if (sorted != to) std::copy(sorted, sorted + count, to);
      return;
    }
    auto pivot = pick_pivot(keys, count);
    if (pivot == upper) {
      auto left = partition_keys<true>(keys, other, count, pivot);
      auto to = at_home ? keys : other;
      std::fill(to + left, to + count, pivot);
      count = left;
      if (count == 0) return;
      continue;
    }
    auto left = partition_keys<false>(keys, other, count, pivot);
    quicksort(other + left, keys + left, count - left, !at_home, upper, budget);
    count = left;
    upper = pivot;
  }
  sort_block(keys, at_home ? keys : other, count);
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
