// Copyright © 2026 the mlx-topk authors. MIT licence.

// Part of the shim (metal.h): Metal's mathematical functions. The operands of
// one call must have one type, as in Metal, where min(1, 2u) is an error.

#pragma once
#pragma GCC system_header

#include "types.h"

namespace metal {

template <typename T>
using Number =
    std::enable_if_t<std::is_arithmetic_v<T> || std::is_same_v<T, half>, T>;
template <typename T>
using Integer =
    std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, T>;

// If one operand is NaN, min and max return the other.
template <typename T>
constexpr Number<T> min(T a, T b) {
  return b < a || a != a ? b : a;
}
template <typename T>
constexpr Number<T> max(T a, T b) {
  return a < b || a != a ? b : a;
}
template <typename T, int size>
vec<T, size> min(vec<T, size> a, vec<T, size> b) {
  for (int i = 0; i < size; ++i) {
    a[i] = metal::min(a[i], b[i]);
  }
  return a;
}
template <typename T, int size>
vec<T, size> max(vec<T, size> a, vec<T, size> b) {
  for (int i = 0; i < size; ++i) {
    a[i] = metal::max(a[i], b[i]);
  }
  return a;
}
template <typename T>
constexpr Number<T> clamp(T value, T low, T high) {
  return metal::min(metal::max(value, low), high);
}
template <typename T>
constexpr T select(T otherwise, T chosen, bool condition) {
  return condition ? chosen : otherwise;
}

template <typename T>
constexpr Integer<T> popcount(T value) {
  return static_cast<T>(
      __builtin_popcountll(static_cast<std::make_unsigned_t<T>>(value)));
}
template <typename T>
constexpr Integer<T> clz(T value) {
  constexpr int width = 8 * sizeof(T);
  auto bits = static_cast<std::make_unsigned_t<T>>(value);
  return static_cast<T>(bits ? __builtin_clzll(bits) - (64 - width) : width);
}
template <typename T>
constexpr Integer<T> ctz(T value) {
  constexpr int width = 8 * sizeof(T);
  auto bits = static_cast<std::make_unsigned_t<T>>(value);
  return static_cast<T>(bits ? __builtin_ctzll(bits) : width);
}
template <typename T>
constexpr Integer<T> reverse_bits(T value) {
  T reversed = 0;
  for (unsigned i = 0; i < 8 * sizeof(T); ++i) {
    reversed |= static_cast<T>((value >> i) & 1) << (8 * sizeof(T) - 1 - i);
  }
  return reversed;
}
template <typename T>
constexpr Integer<T> extract_bits(T value, uint offset, uint bits) {
  using Word = std::make_unsigned_t<T>;
  if (bits == 0) {
    return 0;
  }
  unsigned unused = 8 * sizeof(T) - bits;
  auto high = static_cast<Word>(static_cast<Word>(value) << (unused - offset));
  return static_cast<T>(static_cast<T>(high) >> unused);
}
template <typename T>
constexpr Number<T> abs(T value) {
  return value < T(0) ? static_cast<T>(-value) : value;
}

#define EMULATOR_PREDICATE(name, T)                     \
  inline bool name(T value) {                           \
    return __builtin_##name(static_cast<float>(value)); \
  }
EMULATOR_PREDICATE(isnan, float)
EMULATOR_PREDICATE(isnan, half)
EMULATOR_PREDICATE(isnan, bfloat)
EMULATOR_PREDICATE(isinf, float)
EMULATOR_PREDICATE(isinf, half)
EMULATOR_PREDICATE(isinf, bfloat)
EMULATOR_PREDICATE(isfinite, float)
EMULATOR_PREDICATE(isfinite, half)
EMULATOR_PREDICATE(signbit, float)
EMULATOR_PREDICATE(signbit, half)
#undef EMULATOR_PREDICATE

#define EMULATOR_MATH(name)                                    \
  inline float name(float value) {                             \
    return std::name(value);                                   \
  }                                                            \
  inline half name(half value) {                               \
    return static_cast<half>(name(static_cast<float>(value))); \
  }
EMULATOR_MATH(ceil)
EMULATOR_MATH(cos)
EMULATOR_MATH(exp)
EMULATOR_MATH(exp2)
EMULATOR_MATH(fabs)
EMULATOR_MATH(floor)
EMULATOR_MATH(log)
EMULATOR_MATH(log2)
EMULATOR_MATH(rint)
EMULATOR_MATH(round)
EMULATOR_MATH(sin)
EMULATOR_MATH(sqrt)
EMULATOR_MATH(tanh)
EMULATOR_MATH(trunc)
#undef EMULATOR_MATH

inline float fma(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline float pow(float base, float exponent) {
  return std::pow(base, exponent);
}

} // namespace metal
