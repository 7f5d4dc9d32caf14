// Copyright © 2026 the mlx-topk authors. MIT licence.

// The loose keys of the elements that a thread has in registers, and their
// maxima.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/pairs.h"

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
      keys[i] = Order::loose_key(elements.word(i), flip);
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
      keys[i] = Order::loose_pair(words, flip);
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
    return Order::exact_key(most[group], flip);
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
    return Order::exact_key(key | (flip & 0xffff0000u), flip);
  }
};
