// Copyright © 2026 the mlx-topk authors. MIT licence.

// The functions that turn logits into scores, for vectors.
//
// They give the bits that MLX's ops give on Linux, which compute one element
// after the other. Their exponential is exp2f of the Cephes library, with fused
// multiply-adds. tests/test_route.py compares the bits with stock MLX, so it
// notices a version of MLX that computes these functions in another way. Files
// that include this are compiled with -ffp-contract=off, because the compiler
// must not fuse other multiplications and additions.

#pragma once

#include "mlx/backend/cpu/selection/simd/vector-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

using Floats = Vector<float>;
using Ints = Vector<int32_t>;

constexpr float infinity = std::numeric_limits<float>::infinity();

/** Returns a * b + c, rounded once. */
inline Floats multiply_add(Floats a, Floats b, Floats c) {
#if defined(SELECTION_AVX512)
  return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(SELECTION_AVX2)
  return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (Floats)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  // SSE2 has no such instruction. The library function uses one if there is.
  Floats result;
  for (size_t l = 0; l < lanes<float>; ++l) {
    result[l] = std::fma(a[l], b[l], c[l]);
  }
  return result;
#endif
}

/** Returns the greatest integers that are at most ``a``, for |a| < 2^31. */
inline Floats floor_of(Floats a) {
#if defined(SELECTION_AVX512)
  // GCC 12 warns of an uninitialised variable in the functions without a mask.
  return (Floats)_mm512_maskz_roundscale_ps(
      0xffff, (__m512)a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(SELECTION_AVX2)
  return (Floats)_mm256_floor_ps((__m256)a);
#elif defined(__aarch64__)
  return (Floats)vrndmq_f32((float32x4_t)a);
#else
  auto truncated =
      __builtin_convertvector(__builtin_convertvector(a, Ints), Floats);
  return truncated > a ? truncated - 1 : truncated;
#endif
}

/** Returns e^x = 2^(x / ln 2) by Cephes' polynomial for 2^fraction. */
inline Floats exponential(Floats x) {
  // Beyond these limits the results are replaced below. NaN stays NaN.
  auto limited = x > 90 ? broadcast(90.0f) : x;
  limited = limited < -90 ? broadcast(-90.0f) : limited;
  auto power = limited * 1.442695f;
  auto whole = floor_of(power + 0.5f);
  auto fraction = power - whole;
  auto p = broadcast(1.535336188319500e-4f);
  for (float c :
       {1.339887440266574e-3f,
        9.618437357674640e-3f,
        5.550332471162809e-2f,
        2.402264791363012e-1f,
        6.931472028550421e-1f,
        1.0f}) {
    p = multiply_add(p, fraction, broadcast(c));
  }
  auto exponent = (__builtin_convertvector(whole, Ints) + 127) << 23;
  auto result = (Floats)exponent * p;
  result = x > 88 ? broadcast(infinity) : result;
  result = x < -88 ? broadcast(0.0f) : result;
  return x != x ? x : result;
}

inline Floats magnitude(Floats x) {
  return (Floats)((Ints)x & 0x7fffffff);
}

inline Floats sigmoid(Floats x) {
  auto y = 1.0f / (1.0f + exponential(magnitude(x)));
  return x < 0 ? y : 1.0f - y;
}

inline Floats square_root(Floats x) {
#if defined(SELECTION_AVX512)
  return (Floats)_mm512_maskz_sqrt_ps(0xffff, (__m512)x);
#elif defined(SELECTION_AVX2)
  return (Floats)_mm256_sqrt_ps((__m256)x);
#else
  for (size_t l = 0; l < lanes<float>; ++l) {
    x[l] = std::sqrt(x[l]);
  }
  return x;
#endif
}

/** Returns sqrt(log(1 + e^x)). */
inline Floats root_of_softplus(Floats x) {
  auto high = x > 0 ? x : broadcast(0.0f);
  auto low = x > 0 ? broadcast(0.0f) : x;
  auto small = exponential(low - high);
  for (size_t l = 0; l < lanes<float>; ++l) {
    small[l] = std::log1p(small[l]);
  }
  auto sum = high + small;
  sum = low == -infinity || high == infinity ? high : sum;
  return x != x ? x : square_root(sum);
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
