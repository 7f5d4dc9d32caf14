// Copyright © 2026 the mlx-topk authors. MIT licence.

// Converts elements to sort keys and back. A sort key is a signed integer that
// is quick to compare and has all bits of its element, so a sort of values
// needs no indices. Keys differ from ranks in two ways: -0 is less than +0, and
// a NaN whose sign bit is set is less than all numbers. ValueSort repairs both
// after the sort.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** The type of a sort key in rows of any size. */
template <typename T>
using SortKey = std::conditional_t<sizeof(T) <= 4, int32_t, int64_t>;

/** The type of a sort key in rows that a leaf of a quicksort sorts. */
template <typename T>
using ShortRowKey = std::conditional_t<sizeof(T) == 2, int16_t, SortKey<T>>;

/** The element as a signed integer of its own size. */
template <typename T>
using SignedBits = std::make_signed_t<OrderedKey<T>>;

/** Flips all bits but the sign if ``bits`` is negative. Its own inverse. */
template <typename S>
S flip_negative(S bits) {
  constexpr int sign_bit = 8 * sizeof(S) - 1;
  return bits ^ ((bits >> sign_bit) & std::numeric_limits<S>::max());
}

/** As above, for bits of a ``T``, whose sign has been extended. */
template <typename T, typename K>
Vector<K> flip_negative_lanes(Vector<K> bits) {
  constexpr int sign_bit = 8 * sizeof(K) - 1;
  constexpr K others = std::numeric_limits<SignedBits<T>>::max();
  return bits ^ ((bits >> sign_bit) & others);
}

/**
 * The key of 0. Keys that are wider than their elements are not negative, and
 * their upper bytes are all the same, so that a radix sort can skip these.
 */
template <typename T, typename K>
constexpr K zero_key = sizeof(T) < sizeof(K) && !std::is_unsigned_v<T>
    ? -K(std::numeric_limits<SignedBits<T>>::min())
    : 0;

/** Has no branches, so loops are vectorised. */
template <typename T, typename K>
K sort_key(T value) {
  if constexpr (is_floating<T>) {
    return flip_negative(std::bit_cast<SignedBits<T>>(value)) + zero_key<T, K>;
  } else if constexpr (std::is_unsigned_v<T> && sizeof(T) == sizeof(K)) {
    return static_cast<K>(ordered_key(value)) ^ std::numeric_limits<K>::min();
  } else {
    return value + zero_key<T, K>;
  }
}

template <typename T, typename K>
T element_of_sort_key(K key) {
  if constexpr (is_floating<T>) {
    auto bits = flip_negative(static_cast<SignedBits<T>>(key - zero_key<T, K>));
    return std::bit_cast<T>(bits);
  } else if constexpr (std::is_unsigned_v<T> && sizeof(T) == sizeof(K)) {
    return static_cast<T>(key ^ std::numeric_limits<K>::min());
  } else {
    return static_cast<T>(key - zero_key<T, K>);
  }
}

template <typename T, typename K>
constexpr K negative_zero_key = zero_key<T, K> - 1;

template <typename T, typename K>
constexpr K infinity_key = zero_key<T, K> + static_cast<K>(infinity_bits<T>());

template <typename T, typename K>
constexpr K negative_infinity_key =
    zero_key<T, K> - 1 - static_cast<K>(infinity_bits<T>());

/** Whether the elements with this key tie with 0. */
template <typename T, typename K>
bool is_zero_key(K key) {
  return key == zero_key<T, K> ||
      (is_floating<T> && key == negative_zero_key<T, K>);
}

template <typename T, typename K>
bool is_nan_key(K key) {
  return key > infinity_key<T, K> || key < negative_infinity_key<T, K>;
}

/** Returns the sort keys of a vector of contiguous elements. */
template <typename T, typename K>
Vector<K> load_sort_key_lanes(const T* from) {
  Vector<K> bits;
  if constexpr (sizeof(T) == sizeof(K)) {
    std::memcpy(&bits, from, sizeof(bits));
  } else {
    constexpr int spare_bits = 8 * (sizeof(K) - sizeof(T));
    bits = (Vector<K>)widen_bits(load_bits<T>(from));
    bits = std::is_unsigned_v<T> ? bits : (bits << spare_bits) >> spare_bits;
  }
  if constexpr (is_floating<T>) {
    return flip_negative_lanes<T, K>(bits) + zero_key<T, K>;
  } else if constexpr (std::is_unsigned_v<T> && sizeof(T) == sizeof(K)) {
    return bits ^ std::numeric_limits<K>::min();
  } else {
    return bits + zero_key<T, K>;
  }
}

/** The inverse of load_sort_key_lanes(). */
template <typename T, typename K>
void store_sort_key_lanes(T* to, Vector<K> keys) {
  // Unsigned, since keys that are padding would overflow.
  using Bits = std::make_unsigned_t<K>;
  auto zero = static_cast<Bits>(zero_key<T, K>);
  auto bits = (Vector<K>)((Vector<Bits>)keys - zero);
  if constexpr (is_floating<T>) {
    bits = flip_negative_lanes<T, K>(bits);
  } else if constexpr (std::is_unsigned_v<T> && sizeof(T) == sizeof(K)) {
    bits ^= std::numeric_limits<K>::min();
  }
  if constexpr (sizeof(T) == sizeof(K)) {
    std::memcpy(to, &bits, sizeof(bits));
  } else {
    auto elements = narrow_bits<T>((Vector<uint32_t>)bits);
    std::memcpy(to, &elements, sizeof(elements));
  }
}

/**
 * Writes the sort keys of a row, each XORed with ``flip``. Returns whether one
 * of its elements is -0.
 */
template <typename T, typename K>
bool load_sort_keys(const Row<T>& row, K flip, K* keys) {
  auto data = row.data;
  auto count = row.size;
  if (row.stride == 1 && count >= lanes<K>) {
    Vector<K> any{};
    for_each_vector<K>(count, [&](size_t i) {
      auto key = load_sort_key_lanes<T, K>(data + i);
      any |= key == negative_zero_key<T, K>;
      store(keys + i, key ^ flip);
    });
    return is_floating<T> && any_of(any);
  }
  K any = 0;
  for (size_t i = 0; i < count; ++i) {
    auto key = sort_key<T, K>(row[i]);
    any |= -K(key == negative_zero_key<T, K>);
    keys[i] = key ^ flip;
  }
  return is_floating<T> && any != 0;
}

/** Writes the elements with the keys keys[i] ^ flip, ``stride`` apart. */
template <typename T, typename K>
void store_elements(
    const K* keys,
    K flip,
    size_t count,
    T* out,
    int64_t stride) {
  if (stride == 1 && count >= lanes<K>) {
    for_each_vector<K>(count, [&](size_t i) {
      store_sort_key_lanes<T, K>(out + i, load(keys + i) ^ flip);
    });
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    out[static_cast<int64_t>(i) * stride] =
        element_of_sort_key<T, K>(keys[i] ^ flip);
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
