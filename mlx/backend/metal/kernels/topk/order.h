// Copyright © 2026 the mlx-topk authors. MIT licence.

// How elements compare: each has a key, and a greater key is a better element.
// Elements are read as words, so that denormals and the payloads of NaNs keep
// their bits.
//
// The key is complemented to select the smallest elements: `flip` is then ~0,
// otherwise 0. A loose key takes fewer instructions. It equals key(word) ^ flip
// except for NaNs, which have several loose keys. These are all at least as
// far from the other keys as the key of NaN. exact_key() makes them equal.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/pairs.h"

template <typename W>
struct Unsigned {
  typedef W Word;
  typedef conditional_t<sizeof(W) == 8, ulong, uint> Key;

  static METAL_FUNC Key key(W word) {
    return Key(word);
  }

  /** Returns a word whose key ^ flip is the least. */
  static METAL_FUNC W worst(Key flip) {
    return W(flip);
  }

  static METAL_FUNC Key loose_key(W word, Key flip) {
    return Key(word) ^ flip;
  }

  static METAL_FUNC Key exact_key(Key loose, Key) {
    return loose;
  }

  /** Returns the low 16 bits of the loose keys of a pair of words. */
  static METAL_FUNC uint loose_pair(uint words, uint flip) {
    return words ^ flip;
  }
};

template <typename W>
struct Signed {
  typedef W Word;
  typedef typename Unsigned<W>::Key Key;

  static METAL_FUNC Key key(W word) {
    return Key(word) ^ (Key(1) << (8 * sizeof(W) - 1));
  }

  static METAL_FUNC W worst(Key flip) {
    return W(key(W(flip)));
  }

  static METAL_FUNC Key loose_key(W word, Key flip) {
    return key(word) ^ flip;
  }

  static METAL_FUNC Key exact_key(Key loose, Key) {
    return loose;
  }

  static METAL_FUNC uint loose_pair(uint words, uint flip) {
    return words ^ flip ^ pair_of(uint(key(0)));
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
    uint signs = signs_of(word);
    uint number = (extended(word) ^ (signs & magnitudes)) - signs;
    return min(number + infinity, 2u * infinity + 1u);
  }

  static METAL_FUNC W worst(uint flip) {
    return flip != 0 ? W(~0u) : W(infinity | ~magnitudes);
  }

  // Without its sign, a word is either the magnitude or magnitudes - magnitude.
  // The complement of a sum a + b is ~a - b.
  static METAL_FUNC uint loose_key(W word, uint flip) {
    uint signs = signs_of(word);
    uint added = either(
        signs,
        negated_by(flip, infinity - magnitudes),
        negated_by(flip, infinity));
    return (extended(word) ^ signs ^ flip) + added;
  }

  static METAL_FUNC uint exact_key(uint loose, uint flip) {
    return min(loose ^ flip, 2u * infinity + 1u) ^ flip;
  }

  static METAL_FUNC uint loose_pair(uint words, uint flip) {
    uint signs = pair_signs(words);
    uint added = either(
        signs,
        pair_of(negated_by(flip, infinity - magnitudes)),
        pair_of(negated_by(flip, infinity)));
    return pair_sum(words ^ signs ^ flip, added);
  }

 private:
  enum : uint { magnitudes = (1u << (8 * sizeof(W) - 1)) - 1u };

  /** Returns the word with copies of its sign bit above it. */
  static METAL_FUNC uint extended(W word) {
    constexpr uint above = 32 - 8 * sizeof(W);
    return uint(int(uint(word) << above) >> above);
  }

  /** Returns ~0 if the sign bit of `word` is set, else 0. */
  static METAL_FUNC uint signs_of(W word) {
    return uint(int(extended(word)) >> 31);
  }

  /** Returns the bits of `a` where `mask` has ones, else those of `b`. */
  static METAL_FUNC uint either(uint mask, uint a, uint b) {
    return b ^ (mask & (a ^ b));
  }

  /** Returns -a if `flip` is ~0, a if it is 0. */
  static METAL_FUNC uint negated_by(uint flip, uint a) {
    return (a ^ flip) - flip;
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
