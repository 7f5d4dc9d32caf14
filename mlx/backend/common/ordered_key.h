// Copyright © 2026 the mlx-topk authors. MIT licence.

// Defines the order of elements for all C++ code: maps each element to an
// unsigned integer, its key, so that keys compare as elements do. NaN is
// greatest whatever its sign and payload, the two zeros are equal, and complex
// numbers compare by their real parts, then by their imaginary parts.

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "mlx/types/complex.h"
#include "mlx/types/half_types.h"

namespace mlx::core {

template <size_t bytes>
struct UnsignedOfSize;
template <>
struct UnsignedOfSize<1> {
  using type = uint8_t;
};
template <>
struct UnsignedOfSize<2> {
  using type = uint16_t;
};
template <>
struct UnsignedOfSize<4> {
  using type = uint32_t;
};
template <>
struct UnsignedOfSize<8> {
  using type = uint64_t;
};

template <typename T>
using OrderedKey = typename UnsignedOfSize<sizeof(T)>::type;

/** Types with NaN and two zeros, so elements with equal keys may differ. */
template <typename T>
constexpr bool is_floating = std::is_floating_point_v<T> ||
    std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>;

template <typename T>
constexpr OrderedKey<T> infinity_bits() {
  if constexpr (std::is_same_v<T, float16_t>) {
    return 0x7c00;
  } else if constexpr (std::is_same_v<T, bfloat16_t>) {
    return 0x7f80;
  } else {
    return std::bit_cast<OrderedKey<T>>(std::numeric_limits<T>::infinity());
  }
}

/** Returns the key of every NaN, the greatest key. */
template <typename T>
constexpr OrderedKey<T> nan_key() {
  if constexpr (is_floating<T>) {
    return 2 * infinity_bits<T>() + 1;
  } else if constexpr (std::is_same_v<T, bool>) {
    return 1;
  } else {
    return std::numeric_limits<OrderedKey<T>>::max();
  }
}

/** Returns the key of ``value``. Has no branches, so loops are vectorised. */
template <typename T>
inline OrderedKey<T> ordered_key(T value) {
  using Key = OrderedKey<T>;
  constexpr int sign_bit = 8 * sizeof(Key) - 1;
  if constexpr (std::is_same_v<T, bool> || std::is_unsigned_v<T>) {
    return value;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<Key>(value) ^ (Key(1) << sign_bit);
  } else if constexpr (std::is_same_v<T, complex64_t>) {
    auto real = ordered_key(value.real());
    auto imag = ordered_key(value.imag());
    constexpr auto nan = nan_key<float>();
    return real == nan || imag == nan ? nan_key<T>() : (Key(real) << 32) | imag;
  } else {
    // Turns sign and magnitude into two's complement, which has one zero. Then
    // adds a constant that moves -infinity to 0. Negative NaNs are below
    // -infinity, so they wrap around to the greatest keys, where the other NaNs
    // are.
    auto bits = std::bit_cast<Key>(value);
    auto sign = static_cast<Key>(
        static_cast<std::make_signed_t<Key>>(bits) >> sign_bit);
    auto magnitude = static_cast<Key>(bits & (Key(-1) >> 1));
    auto key = static_cast<Key>(
        static_cast<Key>((magnitude ^ sign) - sign) + infinity_bits<T>());
    return key < nan_key<T>() ? key : nan_key<T>();
  }
}

/** Returns the element with this key: for zeros and NaNs, one of several. */
template <typename T>
inline T element_of_key(OrderedKey<T> key) {
  using Key = OrderedKey<T>;
  constexpr Key sign = Key(1) << (8 * sizeof(Key) - 1);
  if constexpr (std::is_same_v<T, bool> || std::is_unsigned_v<T>) {
    return key;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(key ^ sign);
  } else {
    auto number = static_cast<Key>(key - infinity_bits<T>());
    bool negative = key < infinity_bits<T>();
    auto bits = negative ? static_cast<Key>(Key(-number) | sign) : number;
    return std::bit_cast<T>(static_cast<Key>(bits));
  }
}

} // namespace mlx::core
