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

template <typename T>
using SortKey = std::conditional_t<sizeof(T) <= 4, int32_t, int64_t>;

/** The element as a signed integer of its own size. */
template <typename T>
using SignedBits = std::make_signed_t<OrderedKey<T>>;

/** Flips all bits but the sign if ``bits`` is negative. Its own inverse. */
template <typename S>
S flip_negative(S bits) {
  constexpr int sign_bit = 8 * sizeof(S) - 1;
  return bits ^ ((bits >> sign_bit) & std::numeric_limits<S>::max());
}

/**
 * The key of 0. Elements of one and two bytes have keys that are not negative,
 * whose upper bytes are all the same, so that a radix sort can skip these.
 */
template <typename T>
constexpr SortKey<T> zero_key = sizeof(T) < 4 && !std::is_unsigned_v<T>
    ? -SortKey<T>(std::numeric_limits<SignedBits<T>>::min())
    : 0;

/** Has no branches, so loops are vectorised. */
template <typename T>
SortKey<T> sort_key(T value) {
  if constexpr (is_floating<T>) {
    return flip_negative(std::bit_cast<SignedBits<T>>(value)) + zero_key<T>;
  } else if constexpr (std::is_unsigned_v<T> && sizeof(T) >= 4) {
    return static_cast<SortKey<T>>(ordered_key(value)) ^
        std::numeric_limits<SortKey<T>>::min();
  } else {
    return value + zero_key<T>;
  }
}

template <typename T>
T element_of_sort_key(SortKey<T> key) {
  if constexpr (is_floating<T>) {
    auto bits = flip_negative(static_cast<SignedBits<T>>(key - zero_key<T>));
    return std::bit_cast<T>(bits);
  } else if constexpr (std::is_unsigned_v<T> && sizeof(T) >= 4) {
    return static_cast<T>(key ^ std::numeric_limits<SortKey<T>>::min());
  } else {
    return static_cast<T>(key - zero_key<T>);
  }
}

template <typename T>
constexpr SortKey<T> negative_zero_key = zero_key<T> - 1;

template <typename T>
constexpr SortKey<T> infinity_key =
    zero_key<T> + static_cast<SortKey<T>>(infinity_bits<T>());

template <typename T>
constexpr SortKey<T> negative_infinity_key =
    zero_key<T> - 1 - static_cast<SortKey<T>>(infinity_bits<T>());

/** Whether the elements with this key tie with 0. */
template <typename T>
bool is_zero_key(SortKey<T> key) {
  return key == zero_key<T> || (is_floating<T> && key == negative_zero_key<T>);
}

template <typename T>
bool is_nan_key(SortKey<T> key) {
  return key > infinity_key<T> || key < negative_infinity_key<T>;
}

/**
 * Writes the sort keys of a row, each XORed with ``flip``. Returns whether one
 * of its elements is -0.
 */
template <typename T>
bool load_sort_keys(const Row<T>& row, SortKey<T> flip, SortKey<T>* keys) {
  auto data = row.data;
  auto count = row.size;
  SortKey<T> any = 0;
  if (row.stride == 1) {
    for (size_t i = 0; i < count; ++i) {
      auto key = sort_key(data[i]);
      any |= -SortKey<T>(key == negative_zero_key<T>);
      keys[i] = key ^ flip;
    }
  } else {
    for (size_t i = 0; i < count; ++i) {
      auto key = sort_key(data[static_cast<int64_t>(i) * row.stride]);
      any |= -SortKey<T>(key == negative_zero_key<T>);
      keys[i] = key ^ flip;
    }
  }
  return is_floating<T> && any != 0;
}

/** Writes the elements with the keys keys[i] ^ flip, ``stride`` apart. */
template <typename T>
void store_elements(
    const SortKey<T>* keys,
    SortKey<T> flip,
    size_t count,
    T* out,
    int64_t stride) {
  if (stride == 1) {
    for (size_t i = 0; i < count; ++i) {
      out[i] = element_of_sort_key<T>(keys[i] ^ flip);
    }
  } else {
    for (size_t i = 0; i < count; ++i) {
      out[static_cast<int64_t>(i) * stride] =
          element_of_sort_key<T>(keys[i] ^ flip);
    }
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
