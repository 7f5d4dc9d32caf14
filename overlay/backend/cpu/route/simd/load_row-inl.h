// Copyright © 2026 the mlx-topk authors. MIT licence.

// Copies a row of logits of any type and layout to float32.

#pragma once

#include "overlay/backend/cpu/route/simd/scores-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

inline void load_contiguous(float* to, const float* from, size_t size) {
  std::memcpy(to, from, size * sizeof(float));
}

/** A bfloat16 has the upper half of the bits of a float32. */
inline void load_contiguous(float* to, const bfloat16_t* from, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    to[i] = std::bit_cast<float>(
        static_cast<uint32_t>(std::bit_cast<uint16_t>(from[i])) << 16);
  }
}

inline void load_contiguous(float* to, const float16_t* from, size_t size) {
  size_t i = 0;
#if defined(SELECTION_AVX512) || defined(SELECTION_AVX2)
  for (; i + 8 <= size; i += 8) {
    auto half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(half));
  }
#endif
  for (; i < size; ++i) {
    to[i] = static_cast<float>(from[i]);
  }
}

template <typename T>
void load_row(float* to, const T* from, int64_t stride, size_t size) {
  if (stride == 1) {
    return load_contiguous(to, from, size);
  }
  for (size_t i = 0; i < size; ++i) {
    to[i] = static_cast<float>(from[static_cast<int64_t>(i) * stride]);
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
