// Copyright © 2026 the mlx-topk authors. MIT licence.

// Loose keys take fewer instructions to compute than the keys of order.h, but
// those of NaNs differ. A thread keeps the loose keys of its elements, and the
// greatest of them, in registers.
//
// `flip` is ~0 to select the smallest elements, otherwise 0. The loose key of a
// number equals key(word) ^ flip. That of a NaN is at least the key of NaN if
// `flip` is 0, otherwise at most key(NaN) ^ flip.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/pairs.h"

/**
 * Loose keys of the elements of an order:
 *   worst(flip)            a word whose key is the least
 *   key(word, flip)        the loose key of a word
 *   pair(words, flip)      the low 16 bits of the loose keys of two words
 *   exact(key, flip)       makes the loose keys of NaNs equal
 *   exact_key(word, flip)  key(word) ^ flip of order.h, by fewer instructions
 */
template <typename Order>
struct Loose;

template <typename W>
struct Loose<Unsigned<W>> {
  typedef typename Unsigned<W>::Key Key;

  static METAL_FUNC W worst(Key flip) {
    return W(flip);
  }

  static METAL_FUNC Key key(W word, Key flip) {
    return Key(word) ^ flip;
  }

  static METAL_FUNC uint pair(uint words, uint flip) {
    return words ^ flip;
  }

  static METAL_FUNC Key exact(Key key, Key) {
    return key;
  }

  static METAL_FUNC Key exact_key(W word, Key flip) {
    return key(word, flip);
  }
};

template <typename W>
struct Loose<Signed<W>> {
  typedef typename Signed<W>::Key Key;

  static METAL_FUNC W worst(Key flip) {
    return W(Signed<W>::key(W(flip)));
  }

  static METAL_FUNC Key key(W word, Key flip) {
    return Signed<W>::key(word) ^ flip;
  }

  static METAL_FUNC uint pair(uint words, uint flip) {
    return words ^ pair_of(uint(Signed<W>::key(0))) ^ flip;
  }

  static METAL_FUNC Key exact(Key key, Key) {
    return key;
  }

  static METAL_FUNC Key exact_key(W word, Key flip) {
    return key(word, flip);
  }
};

template <typename W, uint infinity>
struct Loose<Floating<W, infinity>> {
  // All bits of a word but its sign bit.
  enum : uint { magnitudes = (1u << (8 * sizeof(W) - 1)) - 1u };

  static METAL_FUNC W worst(uint flip) {
    return flip != 0 ? W(~0u) : W(infinity | ~uint(magnitudes));
  }

  // word ^ signs is the magnitude of a positive number, and otherwise
  // magnitudes - magnitude. The complement of a sum a + b is ~a - b.
  static METAL_FUNC uint key(W word, uint flip) {
    uint signs = signs_of(word);
    uint added = either(
        signs,
        negated_by(flip, infinity - magnitudes),
        negated_by(flip, infinity));
    return (extended(word) ^ signs ^ flip) + added;
  }

  static METAL_FUNC uint pair(uint words, uint flip) {
    uint signs = pair_signs(words);
    uint added = either(
        signs,
        pair_of(negated_by(flip, infinity - magnitudes)),
        pair_of(negated_by(flip, infinity)));
    return pair_sum(words ^ signs ^ flip, added);
  }

  static METAL_FUNC uint exact(uint key, uint flip) {
    return min(key ^ flip, 2u * infinity + 1u) ^ flip;
  }

  // Differs from Floating::key only in how it finds the two's complement.
  static METAL_FUNC uint exact_key(W word, uint flip) {
    uint signs = signs_of(word);
    uint number = (extended(word) ^ (signs & magnitudes)) - signs;
    return min(number + infinity, 2u * infinity + 1u) ^ flip;
  }

 private:
  /** Returns the word with copies of its sign bit above it. */
  static METAL_FUNC uint extended(W word) {
    constexpr uint above = 32 - 8 * sizeof(W);
    return uint(int(uint(word) << above) >> above);
  }

  /** Returns ~0 if the sign bit is set, else 0. */
  static METAL_FUNC uint signs_of(W word) {
    return uint(int(extended(word)) >> 31);
  }

  /** Returns the bits of `a` where `mask` has ones, else those of `b`. */
  static METAL_FUNC uint either(uint mask, uint a, uint b) {
    return b ^ (mask & (a ^ b));
  }

  /** Returns -a if `flip` is ~0, and `a` if it is 0. */
  static METAL_FUNC uint negated_by(uint flip, uint a) {
    return (a ^ flip) - flip;
  }
};

/**
 * N loose keys. Elements of up to 16 bits are kept as pairs: keys 2 * i and
 * 2 * i + 1 are in one word, which has the low 16 bits of each.
 */
template <
    typename Order,
    ushort N,
    bool pairs = sizeof(typename Order::Word) <= 2>
struct LooseKeys {
  typedef typename Order::Key Key;

  Key keys[N];

  /** Takes the keys of `elements`: elements.word(i) is element i. */
  template <typename Elements>
  METAL_FUNC void set(thread const Elements& elements, Key flip) thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      keys[i] = Loose<Order>::key(elements.word(i), flip);
    }
  }

  /** Returns a bit for each element whose key is at least `low`. */
  METAL_FUNC uint reaching(Key low) const thread {
    uint passing = 0;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      passing |= uint(keys[i] >= low) << i;
    }
    return passing;
  }
};

template <typename Order, ushort N>
struct LooseKeys<Order, N, true> {
  uint keys[N / 2];

  template <typename Elements>
  METAL_FUNC void set(thread const Elements& elements, uint flip) thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N / 2; ++i) {
      uint words =
          uint(elements.word(2 * i)) | (uint(elements.word(2 * i + 1)) << 16);
      keys[i] = Loose<Order>::pair(words, flip);
    }
  }

  METAL_FUNC uint reaching(uint low) const thread {
    uint passing = 0;
    low <<= 16;
    TOPK_UNROLL
    for (ushort i = 0; i < N / 2; ++i) {
      passing |= uint((keys[i] << 16) >= low) << (2 * i);
      passing |= uint(keys[i] >= low) << (2 * i + 1);
    }
    return passing;
  }
};

/** The greatest loose keys: key i of LooseKeys belongs to group i % groups. */
template <
    typename Order,
    ushort groups,
    bool pairs = sizeof(typename Order::Word) <= 2>
struct LooseMaxima {
  typedef typename Order::Key Key;

  Key most[groups];

  METAL_FUNC void clear() thread {
    TOPK_UNROLL
    for (ushort g = 0; g < groups; ++g) {
      most[g] = 0;
    }
  }

  template <ushort N>
  METAL_FUNC void add(thread const LooseKeys<Order, N>& other) thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      most[i % groups] = max(most[i % groups], other.keys[i]);
    }
  }

  /** Returns the greatest exact key of a group. */
  METAL_FUNC Key exact(ushort group, Key flip) const thread {
    return Loose<Order>::exact(most[group], flip);
  }
};

template <typename Order, ushort groups>
struct LooseMaxima<Order, groups, true> {
  enum : ushort { words = groups / 2 + groups % 2 };

  uint most[words];

  METAL_FUNC void clear() thread {
    TOPK_UNROLL
    for (ushort g = 0; g < words; ++g) {
      most[g] = 0;
    }
  }

  template <ushort N>
  METAL_FUNC void add(thread const LooseKeys<Order, N>& other) thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N / 2; ++i) {
      most[i % words] = pair_max(most[i % words], other.keys[i]);
    }
  }

  METAL_FUNC uint exact(ushort group, uint flip) const thread {
    static_assert(groups == 1 || groups % 2 == 0, "words have whole groups");
    uint low = most[group / 2] & 0xffffu;
    uint high = most[group / 2] >> 16;
    uint key = groups == 1 ? max(low, high) : group % 2 == 0 ? low : high;
    return Loose<Order>::exact(key | (flip & 0xffff0000u), flip);
  }
};
