// Copyright © 2026 the mlx-topk authors. MIT licence.

// Filters candidates by a range of ranks. Compilers do not vectorise the loop
// of filter(), so most of it is also written in AVX-512 instructions.

#pragma once

#include "mlx/backend/cpu/selection/simd/buffer-inl.h"
#include "mlx/backend/cpu/selection/simd/rank-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** The ranks from ``low`` to ``low + width``, both included. */
template <typename R>
struct Range {
  R low;
  R width;

  bool contains(R rank) const {
    return static_cast<R>(rank - low) <= width;
  }
};

template <typename R>
Range<R> up_to(R rank) {
  return {0, rank};
}

template <typename R>
Range<R> from(R rank) {
  return {rank, static_cast<R>(worst<R> - rank)};
}

#if defined(SELECTION_AVX512)

// Filters as many elements as fill whole vectors, adds the number kept to
// ``kept``, and returns how many elements it has read.
inline size_t filter_vectors(
    const uint32_t* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<uint32_t> range,
    Candidates<uint32_t> out,
    size_t& kept) {
  auto low = _mm512_set1_epi32(range.low);
  auto width = _mm512_set1_epi32(range.width);
  auto index = _mm512_add_epi32(
      _mm512_set1_epi32(base),
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    auto rank = _mm512_loadu_si512(ranks + i);
    if (indices) {
      index = _mm512_loadu_si512(indices + i);
    }
    auto keep = _mm512_cmple_epu32_mask(_mm512_sub_epi32(rank, low), width);
    _mm512_storeu_si512(
        out.ranks + kept, _mm512_maskz_compress_epi32(keep, rank));
    _mm512_storeu_si512(
        out.indices + kept, _mm512_maskz_compress_epi32(keep, index));
    kept += std::popcount(static_cast<uint32_t>(keep));
    index = _mm512_add_epi32(index, _mm512_set1_epi32(16));
  }
  return i;
}

inline size_t filter_vectors(
    const uint64_t* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<uint64_t> range,
    Candidates<uint64_t> out,
    size_t& kept) {
  auto low = _mm512_set1_epi64(range.low);
  auto width = _mm512_set1_epi64(range.width);
  auto index = _mm256_add_epi32(
      _mm256_set1_epi32(base), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    auto rank = _mm512_loadu_si512(ranks + i);
    if (indices) {
      index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indices + i));
    }
    auto keep = _mm512_cmple_epu64_mask(_mm512_sub_epi64(rank, low), width);
    _mm512_storeu_si512(
        out.ranks + kept, _mm512_maskz_compress_epi64(keep, rank));
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out.indices + kept),
        _mm256_maskz_compress_epi32(keep, index));
    kept += std::popcount(static_cast<uint32_t>(keep));
    index = _mm256_add_epi32(index, _mm256_set1_epi32(8));
  }
  return i;
}

#endif

// Copies the elements whose rank is in ``range`` to ``out``, in their order,
// and returns how many they are. Element i has the index ``indices[i]``, or
// ``base + i`` if ``indices`` is null. May write up to one vector past the last
// element copied. ``out`` may alias the input or start before it.
template <typename R>
size_t filter(
    const R* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<R> range,
    Candidates<R> out) {
  size_t kept = 0;
  size_t i = 0;
#if defined(SELECTION_AVX512)
  i = filter_vectors(ranks, indices, base, count, range, out, kept);
#endif
  for (; i < count; ++i) {
    auto rank = ranks[i];
    auto index = indices ? indices[i] : static_cast<uint32_t>(base + i);
    out.ranks[kept] = rank;
    out.indices[kept] = index;
    kept += range.contains(rank);
  }
  return kept;
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
