// Copyright © 2026 the mlx-topk authors. MIT licence.

// Part of the shim (metal.h): Metal's scalar and vector types, type traits and
// numeric limits.

#pragma once
#pragma GCC system_header

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#define METAL_FUNC inline

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef _Float16 half;

constexpr half operator""h(long double value) {
  return static_cast<half>(value);
}

/** A 16-bit float with the exponent of float. Converts to float implicitly,
 * from other types only explicitly, as in Metal. */
struct bfloat {
  uint16_t bits;

  bfloat() = default;
  template <
      typename T,
      typename =
          std::enable_if_t<std::is_arithmetic_v<T> || std::is_same_v<T, half>>>
  constexpr explicit bfloat(T value)
      : bits(rounded(__builtin_bit_cast(uint32_t, static_cast<float>(value)))) {
  }
  constexpr operator float() const {
    return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
  }

 private:
  // Rounds a float's bits to nearest, ties to even. A NaN becomes a quiet NaN.
  static constexpr uint16_t rounded(uint32_t word) {
    if ((word & 0x7fffffffu) > 0x7f800000u) {
      return static_cast<uint16_t>((word >> 16) | 64);
    }
    return static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1)) >> 16);
  }
};

#define EMULATOR_BFLOAT_OPERATOR(op)                               \
  constexpr bfloat operator op(bfloat a, bfloat b) {               \
    return bfloat(static_cast<float>(a) op static_cast<float>(b)); \
  }                                                                \
  constexpr bfloat& operator op## = (bfloat & a, bfloat b) {       \
    return a = a op b;                                             \
  }
EMULATOR_BFLOAT_OPERATOR(+)
EMULATOR_BFLOAT_OPERATOR(-)
EMULATOR_BFLOAT_OPERATOR(*)
EMULATOR_BFLOAT_OPERATOR(/)
#undef EMULATOR_BFLOAT_OPERATOR

constexpr bfloat operator-(bfloat a) {
  return bfloat(-static_cast<float>(a));
}

template <typename To, typename From>
constexpr To as_type(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "as_type: sizes differ");
  return __builtin_bit_cast(To, from);
}

namespace metal {

using ::as_type;

// ---- vectors ----------------------------------------------------------------

template <typename T, int size>
struct Components;
template <typename T>
struct Components<T, 2> {
  T x, y;
};
template <typename T>
struct Components<T, 3> {
  T x, y, z, padding; // Metal's vectors of three have the size of four
};
template <typename T>
struct Components<T, 4> {
  T x, y, z, w;
};

template <typename T, int size>
struct alignas(sizeof(T) * (size == 3 ? 4 : size)) vec : Components<T, size> {
  vec() = default;
  explicit vec(T value) {
    for (int i = 0; i < size; ++i) {
      (*this)[i] = value;
    }
  }
  template <
      typename... Values,
      typename = std::enable_if_t<sizeof...(Values) == size>>
  vec(Values... values) {
    T all[] = {static_cast<T>(values)...};
    for (int i = 0; i < size; ++i) {
      (*this)[i] = all[i];
    }
  }
  template <
      typename Other,
      typename = std::enable_if_t<!std::is_same_v<Other, T>>>
  explicit vec(const vec<Other, size>& other) {
    for (int i = 0; i < size; ++i) {
      (*this)[i] = static_cast<T>(other[i]);
    }
  }
  T& operator[](int i) {
    return (&this->x)[i];
  }
  const T& operator[](int i) const {
    return (&this->x)[i];
  }
};

#define EMULATOR_VECTOR_OPERATOR(op)                                  \
  template <typename T, int size>                                     \
  vec<T, size> operator op(vec<T, size> a, vec<T, size> b) {          \
    for (int i = 0; i < size; ++i) {                                  \
      a[i] = static_cast<T>(a[i] op b[i]);                            \
    }                                                                 \
    return a;                                                         \
  }                                                                   \
  template <typename T, int size>                                     \
  vec<T, size> operator op(vec<T, size> a, std::common_type_t<T> b) { \
    return a op vec<T, size>(b);                                      \
  }
EMULATOR_VECTOR_OPERATOR(+)
EMULATOR_VECTOR_OPERATOR(-)
EMULATOR_VECTOR_OPERATOR(*)
EMULATOR_VECTOR_OPERATOR(/)
EMULATOR_VECTOR_OPERATOR(>>)
#undef EMULATOR_VECTOR_OPERATOR

// ---- traits -----------------------------------------------------------------

using std::bool_constant;
using std::conditional;
using std::conditional_t;
using std::enable_if;
using std::enable_if_t;
using std::false_type;
using std::integral_constant;
using std::is_convertible_v;
using std::is_integral;
using std::is_integral_v;
using std::is_same;
using std::is_same_v;
using std::is_signed_v;
using std::is_unsigned_v;
using std::make_signed;
using std::make_signed_t;
using std::make_unsigned;
using std::make_unsigned_t;
using std::remove_cv_t;
using std::true_type;

template <typename T>
constexpr bool is_floating_point_v = std::is_floating_point_v<T> ||
    std::is_same_v<T, half> || std::is_same_v<T, bfloat>;
template <typename T>
struct is_floating_point : bool_constant<is_floating_point_v<T>> {};
template <typename T>
constexpr bool is_arithmetic_v = is_floating_point_v<T> || is_integral_v<T>;

template <typename T>
struct numeric_limits : std::numeric_limits<T> {};

/** numeric_limits of a 16-bit float type, given as bits. */
template <typename T, uint16_t least, uint16_t most, uint16_t inf, uint16_t nan>
struct SmallFloatLimits {
  static constexpr bool is_integer = false;
  static constexpr bool has_infinity = true;
  static constexpr T from(uint16_t bits) {
    return __builtin_bit_cast(T, bits);
  }
  static constexpr T min() {
    return from(least);
  }
  static constexpr T max() {
    return from(most);
  }
  static constexpr T lowest() {
    return from(most | 0x8000);
  }
  static constexpr T infinity() {
    return from(inf);
  }
  static constexpr T quiet_NaN() {
    return from(nan);
  }
};
template <>
struct numeric_limits<half>
    : SmallFloatLimits<half, 0x0400, 0x7bff, 0x7c00, 0x7e00> {};
template <>
struct numeric_limits<bfloat>
    : SmallFloatLimits<bfloat, 0x0080, 0x7f7f, 0x7f80, 0x7fc0> {};

} // namespace metal

#define EMULATOR_VECTORS(T)      \
  typedef metal::vec<T, 2> T##2; \
  typedef metal::vec<T, 3> T##3; \
  typedef metal::vec<T, 4> T##4;
EMULATOR_VECTORS(char)
EMULATOR_VECTORS(uchar)
EMULATOR_VECTORS(short)
EMULATOR_VECTORS(ushort)
EMULATOR_VECTORS(int)
EMULATOR_VECTORS(uint)
EMULATOR_VECTORS(long)
EMULATOR_VECTORS(ulong)
EMULATOR_VECTORS(half)
EMULATOR_VECTORS(float)
#undef EMULATOR_VECTORS
