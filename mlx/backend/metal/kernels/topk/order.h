// Copyright © 2026 the mlx-topk authors. MIT licence.

// How elements compare: each has a key, and a greater key is a better element.
// Elements are read as words, so that denormals and the payloads of NaNs keep
// their bits.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"

template <typename W>
struct Unsigned {
  typedef W Word;
  typedef conditional_t<sizeof(W) == 8, ulong, uint> Key;

  static METAL_FUNC Key key(W word) {
    return Key(word);
  }
};

template <typename W>
struct Signed {
  typedef W Word;
  typedef typename Unsigned<W>::Key Key;

  static METAL_FUNC Key key(W word) {
    return Key(word) ^ (Key(1) << (8 * sizeof(W) - 1));
  }
};

template <typename W, uint infinity>
struct Floating {
  typedef W Word;
  typedef uint Key;

  // Turns sign and magnitude into two's complement, which has one zero. Then
  // adds what moves -infinity to 0. Negative NaNs are below -infinity, so they
  // wrap around to the greatest keys, where the other NaNs are.
  static METAL_FUNC uint key(W word) {
    constexpr uint sign = 1u << (8 * sizeof(W) - 1);
    uint magnitude = uint(word) & (sign - 1u);
    uint number = (uint(word) & sign) != 0 ? 0u - magnitude : magnitude;
    return min(number + infinity, 2u * infinity + 1u);
  }
};

typedef Unsigned<uchar> order_uint8;
typedef Unsigned<ushort> order_uint16;
typedef Unsigned<uint> order_uint32;
typedef Unsigned<ulong> order_uint64;
typedef Signed<uchar> order_int8;
typedef Signed<ushort> order_int16;
typedef Signed<uint> order_int32;
typedef Signed<ulong> order_int64;
typedef Floating<ushort, 0x7c00u> order_float16;
typedef Floating<ushort, 0x7f80u> order_bfloat16;
typedef Floating<uint, 0x7f800000u> order_float32;

/** Returns the greatest key of the simdgroup. */
METAL_FUNC uint simd_greatest(uint key) {
  return simd_max(key);
}

METAL_FUNC ulong simd_greatest(ulong key) {
  uint high = uint(key >> 32);
  uint top = simd_max(high);
  uint low = simd_max(high == top ? uint(key) : 0u);
  return (ulong(top) << 32) | ulong(low);
}
