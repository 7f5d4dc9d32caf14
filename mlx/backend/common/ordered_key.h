// Copyright © 2026 the mlx-topk authors. MIT licence.

// The order of selection, once for all C++: unsigned integers that compare as
// the contract says elements do. NaN is greatest whatever its sign and payload,
// the two zeros are equal, complex numbers compare by real, then by imaginary
// part.

#pragma once

#include <bit>
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

template <typename T>
OrderedKey<T> ordered_key(T value) {
  using Key = OrderedKey<T>;
  constexpr Key sign = Key(1) << (8 * sizeof(Key) - 1);
  constexpr Key greatest = std::numeric_limits<Key>::max();
  if constexpr (std::is_same_v<T, bool> || std::is_unsigned_v<T>) {
    return value;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<Key>(value) ^ sign;
  } else if constexpr (std::is_same_v<T, complex64_t>) {
    auto real = ordered_key(value.real());
    auto imag = ordered_key(value.imag());
    constexpr auto nan = std::numeric_limits<uint32_t>::max();
    return real == nan || imag == nan ? greatest : (Key(real) << 32) | imag;
  } else {
    if (value != value) {
      return greatest;
    }
    auto bits = std::bit_cast<Key>(value);
    if (bits == sign) {
      bits = 0;
    }
    return bits & sign ? static_cast<Key>(~bits)
                       : static_cast<Key>(bits | sign);
  }
}

} // namespace mlx::core
