// Copyright © 2026 the mlx-topk authors. MIT licence.

// Filters candidates by a range of ranks. Compilers do not vectorise the loop
// of filter(), so most of it is also written in the instructions that move the
// chosen lanes of a vector to its front. SSE2 has none.

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

/**
 * Row m holds the positions of the bits that are set in m, in ascending order,
 * and then zeros.
 */
template <size_t bits>
struct SetBits {
  constexpr SetBits() {
    for (size_t m = 0; m < rows; ++m) {
      for (size_t bit = 0, to = 0; bit < bits; ++bit) {
        if (m >> bit & 1) {
          positions[m][to++] = bit;
        }
      }
    }
  }

  static constexpr size_t rows = size_t(1) << bits;
  alignas(64) uint8_t positions[rows][bits]{};
};

template <size_t bits>
constexpr SetBits<bits> set_bits;

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
    if (out.indices) {
      _mm512_storeu_si512(
          out.indices + kept, _mm512_maskz_compress_epi32(keep, index));
    }
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
    if (out.indices) {
      _mm256_storeu_si256(
          reinterpret_cast<__m256i*>(out.indices + kept),
          _mm256_maskz_compress_epi32(keep, index));
    }
    kept += std::popcount(static_cast<uint32_t>(keep));
    index = _mm256_add_epi32(index, _mm256_set1_epi32(8));
  }
  return i;
}

#elif defined(SELECTION_AVX2)

// As the function for AVX-512.
inline size_t filter_vectors(
    const uint32_t* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<uint32_t> range,
    Candidates<uint32_t> out,
    size_t& kept) {
  auto low = _mm256_set1_epi32(range.low);
  auto width = _mm256_set1_epi32(range.width);
  auto index = _mm256_add_epi32(
      _mm256_set1_epi32(base), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    auto rank = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ranks + i));
    if (indices) {
      index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indices + i));
    }
    auto distance = _mm256_sub_epi32(rank, low);
    auto keep = _mm256_movemask_ps(_mm256_castsi256_ps(
        _mm256_cmpeq_epi32(_mm256_min_epu32(distance, width), distance)));
    auto lanes_kept = _mm256_cvtepu8_epi32(_mm_loadl_epi64(
        reinterpret_cast<const __m128i*>(set_bits<8>.positions[keep])));
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out.ranks + kept),
        _mm256_permutevar8x32_epi32(rank, lanes_kept));
    if (out.indices) {
      _mm256_storeu_si256(
          reinterpret_cast<__m256i*>(out.indices + kept),
          _mm256_permutevar8x32_epi32(index, lanes_kept));
    }
    kept += std::popcount(static_cast<uint32_t>(keep));
    index = _mm256_add_epi32(index, _mm256_set1_epi32(8));
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
  // AVX2 compares signed integers only.
  auto sign = _mm256_set1_epi64x(std::numeric_limits<int64_t>::min());
  auto low = _mm256_set1_epi64x(range.low);
  auto width = _mm256_xor_si256(_mm256_set1_epi64x(range.width), sign);
  auto index = _mm_add_epi32(_mm_set1_epi32(base), _mm_setr_epi32(0, 1, 2, 3));
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    auto rank = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ranks + i));
    if (indices) {
      index = _mm_loadu_si128(reinterpret_cast<const __m128i*>(indices + i));
    }
    auto distance = _mm256_xor_si256(_mm256_sub_epi64(rank, low), sign);
    auto drop = _mm256_movemask_pd(
        _mm256_castsi256_pd(_mm256_cmpgt_epi64(distance, width)));
    auto keep = ~drop & 15;
    int32_t positions;
    std::memcpy(&positions, set_bits<4>.positions[keep], sizeof(positions));
    auto lanes_kept = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(positions));
    // Each 64-bit lane is two lanes of 32 bits.
    auto lower = _mm256_cvtepu32_epi64(_mm_slli_epi32(lanes_kept, 1));
    auto upper =
        _mm256_slli_epi64(_mm256_add_epi64(lower, _mm256_set1_epi64x(1)), 32);
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out.ranks + kept),
        _mm256_permutevar8x32_epi32(rank, _mm256_or_si256(lower, upper)));
    if (out.indices) {
      _mm_storeu_si128(
          reinterpret_cast<__m128i*>(out.indices + kept),
          _mm_castps_si128(
              _mm_permutevar_ps(_mm_castsi128_ps(index), lanes_kept)));
    }
    kept += std::popcount(static_cast<uint32_t>(keep));
    index = _mm_add_epi32(index, _mm_set1_epi32(4));
  }
  return i;
}

#elif defined(__aarch64__)

// As the function for AVX-512.
inline size_t filter_vectors(
    const uint32_t* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<uint32_t> range,
    Candidates<uint32_t> out,
    size_t& kept) {
  constexpr uint32_t lane_bits[4] = {1, 2, 4, 8};
  constexpr uint32_t lane_numbers[4] = {0, 1, 2, 3};
  auto bits = vld1q_u32(lane_bits);
  auto index = vaddq_u32(vdupq_n_u32(base), vld1q_u32(lane_numbers));
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    auto rank = vld1q_u32(ranks + i);
    if (indices) {
      index = vld1q_u32(indices + i);
    }
    auto keep = vcleq_u32(
        vsubq_u32(rank, vdupq_n_u32(range.low)), vdupq_n_u32(range.width));
    auto mask = vaddvq_u32(vandq_u32(keep, bits));
    uint32_t positions;
    std::memcpy(&positions, set_bits<4>.positions[mask], sizeof(positions));
    // Byte b of lane l comes from byte 4 * positions[l] + b.
    auto lanes_kept = vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(positions))));
    auto bytes = vreinterpretq_u8_u32(vaddq_u32(
        vmulq_n_u32(lanes_kept, 0x04040404), vdupq_n_u32(0x03020100)));
    vst1q_u32(
        out.ranks + kept,
        vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(rank), bytes)));
    if (out.indices) {
      vst1q_u32(
          out.indices + kept,
          vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(index), bytes)));
    }
    kept += std::popcount(mask);
    index = vaddq_u32(index, vdupq_n_u32(4));
  }
  return i;
}

inline size_t filter_vectors(
    const uint64_t*,
    const uint32_t*,
    uint32_t,
    size_t,
    Range<uint64_t>,
    Candidates<uint64_t>,
    size_t&) {
  return 0;
}

#else

// There are no such instructions.
template <typename R>
size_t filter_vectors(
    const R*,
    const uint32_t*,
    uint32_t,
    size_t,
    Range<R>,
    Candidates<R>,
    size_t&) {
  return 0;
}

#endif

// Copies the elements whose rank is in ``range`` to ``out``, in their order,
// and returns how many they are. Element i has the index ``indices[i]``, or
// ``base + i`` if ``indices`` is null. May write up to one vector past the last
// element copied. ``out`` may alias the input or start before it. If
// ``out.indices`` is null, copies the ranks alone.
template <typename R>
size_t filter(
    const R* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<R> range,
    Candidates<R> out) {
  size_t kept = 0;
  auto i = filter_vectors(ranks, indices, base, count, range, out, kept);
  for (; i < count; ++i) {
    auto rank = ranks[i];
    auto index = indices ? indices[i] : static_cast<uint32_t>(base + i);
    out.ranks[kept] = rank;
    if (out.indices) {
      out.indices[kept] = index;
    }
    kept += range.contains(rank);
  }
  return kept;
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
