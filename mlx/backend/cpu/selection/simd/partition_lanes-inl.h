// Copyright © 2026 the mlx-topk authors. MIT licence.

// Moves the lanes of a vector that a mask chooses to its front.

#pragma once

#include "mlx/backend/cpu/selection/simd/vector-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

#if defined(SELECTION_AVX512)

/**
 * Moves the lanes of ``v`` whose bit in ``mask`` is set to the front, in their
 * order, and sets the others to zero.
 */
template <typename E>
[[gnu::always_inline]] inline Vector<E> compress_lanes(
    Vector<E> v,
    uint64_t mask) {
  if constexpr (sizeof(E) == 4) {
    return (Vector<E>)_mm512_maskz_compress_epi32(mask, (__m512i)v);
  } else {
    return (Vector<E>)_mm512_maskz_compress_epi64(mask, (__m512i)v);
  }
}

#elif defined(SELECTION_AVX2) || defined(__aarch64__)

/**
 * For each mask of lanes, the permutation of the parts of a vector that moves
 * the lanes whose bit is ``front`` to the front, and the others behind them. A
 * part is what the instruction moves: 4 bytes with AVX2, 1 byte with NEON.
 */
template <typename E, typename Part, size_t front>
struct PartitionTable {
  static constexpr size_t masks = size_t(1) << lanes<E>;
  static constexpr size_t parts = sizeof(E) / sizeof(Part);

  constexpr PartitionTable() : from{} {
    for (size_t mask = 0; mask < masks; ++mask) {
      size_t to = 0;
      for (size_t bit : {front, 1 - front}) {
        for (size_t l = 0; l < lanes<E>; ++l) {
          for (size_t p = 0; p < parts && (mask >> l & 1) == bit; ++p) {
            from[mask][to++] = static_cast<Part>(l * parts + p);
          }
        }
      }
    }
  }

  alignas(vector_bytes) Part from[masks][lanes<Part>];
};

template <typename E, typename Part, size_t front>
constexpr PartitionTable<E, Part, front> partition_table;

#endif

/**
 * Moves the lanes of ``v`` whose bit in ``mask`` is ``front``, 0 or 1, to the
 * front, and the others to the back. Keeps the order on both sides.
 */
template <typename E, size_t front = 0>
[[gnu::always_inline]] inline Vector<E> partition_lanes(
    Vector<E> v,
    uint64_t mask) {
#if defined(SELECTION_AVX512)
  constexpr auto all = ~uint64_t(0) >> (64 - lanes<E>);
  auto chosen = front == 1 ? mask : mask ^ all;
  auto first = compress_lanes<E>(v, chosen);
  auto others = compress_lanes<E>(v, chosen ^ all);
  auto back = all << std::popcount(chosen);
  if constexpr (sizeof(E) == 4) {
    return (Vector<E>)_mm512_mask_expand_epi32(
        (__m512i)first, back, (__m512i)others);
  } else {
    return (Vector<E>)_mm512_mask_expand_epi64(
        (__m512i)first, back, (__m512i)others);
  }
#elif defined(SELECTION_AVX2)
  auto from = _mm256_load_si256(
      reinterpret_cast<const __m256i*>(
          partition_table<E, uint32_t, front>.from[mask]));
  return (Vector<E>)_mm256_permutevar8x32_epi32((__m256i)v, from);
#elif defined(__aarch64__)
  // In Clang vld1q_u8 is a macro, whose argument may have no comma.
  auto& table = partition_table<E, uint8_t, front>;
  auto from = vld1q_u8(table.from[mask]);
  return (Vector<E>)vqtbl1q_u8((uint8x16_t)v, from);
#else
  Vector<E> sorted{};
  size_t to = 0;
  for (size_t bit : {front, 1 - front}) {
    for (size_t l = 0; l < lanes<E>; ++l) {
      if ((mask >> l & 1) == bit) {
        sorted[to++] = v[l];
      }
    }
  }
  return sorted;
#endif
}

/** Whether front_lanes() takes few instructions. SSE2 cannot permute lanes. */
#if defined(SELECTION_AVX512) || defined(SELECTION_AVX2) || defined(__aarch64__)
constexpr bool front_lanes_is_fast = true;
#else
constexpr bool front_lanes_is_fast = false;
#endif

/**
 * Moves the lanes of ``v`` whose bit in ``mask`` is set to the front, in their
 * order. What is behind them is unspecified.
 */
template <typename E>
[[gnu::always_inline]] inline Vector<E> front_lanes(
    Vector<E> v,
    uint64_t mask) {
#if defined(SELECTION_AVX512)
  return compress_lanes<E>(v, mask);
#else
  return partition_lanes<E, 1>(v, mask);
#endif
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
