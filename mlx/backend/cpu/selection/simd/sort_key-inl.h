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

/** As above, for bits of a ``T``, whose sign has been extended. */
template <typename T>
Vector<int32_t> flip_negative_lanes(Vector<int32_t> bits) {
  return bits ^ ((bits >> 31) & std::numeric_limits<SignedBits<T>>::max());
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

/** Returns the sort keys of a vector of elements of up to 4 bytes each. */
template <typename T>
Vector<int32_t> sort_key_vector(ElementBits<T> elements) {
  constexpr int spare_bits = 32 - 8 * sizeof(T);
  auto bits = widen_bits(elements);
  if constexpr (is_floating<T>) {
    auto extended = (Vector<int32_t>)(bits << spare_bits) >> spare_bits;
    return flip_negative_lanes<T>(extended) + zero_key<T>;
  } else if constexpr (sizeof(T) == 4 && std::is_unsigned_v<T>) {
    return (Vector<int32_t>)(bits ^ (uint32_t(1) << 31));
  } else if constexpr (std::is_unsigned_v<T> || sizeof(T) == 4) {
    return (Vector<int32_t>)bits;
  } else {
    return (Vector<int32_t>)(bits ^ zero_key<T>);
  }
}

/** The inverse of sort_key_vector(). */
template <typename T>
ElementBits<T> elements_of_sort_keys(Vector<int32_t> keys) {
  if constexpr (is_floating<T>) {
    auto bits = flip_negative_lanes<T>(keys - zero_key<T>);
    return narrow_bits<T>((Vector<uint32_t>)bits);
  } else if constexpr (sizeof(T) == 4 && std::is_unsigned_v<T>) {
    return narrow_bits<T>((Vector<uint32_t>)keys ^ (uint32_t(1) << 31));
  } else {
    return narrow_bits<T>((Vector<uint32_t>)(keys ^ zero_key<T>));
  }
}

/**
 * Writes the sort keys of a row, each XORed with ``flip``. Returns whether one
 * of its elements is -0.
 */
template <typename T>
bool load_sort_keys(const Row<T>& row, SortKey<T> flip, SortKey<T>* keys) {
  auto data = row.data;
  auto count = row.size;
  if constexpr (sizeof(T) <= 4) {
    if (row.stride == 1 && count >= lanes<int32_t>) {
      Vector<int32_t> any{};
      for_each_vector(count, [&](size_t i) {
        auto key = sort_key_vector<T>(load_bits<T>(data + i));
        any |= key == negative_zero_key<T>;
        store(keys + i, key ^ flip);
      });
      return is_floating<T> && any_of(any);
    }
  }
  SortKey<T> any = 0;
  for (size_t i = 0; i < count; ++i) {
    auto key = sort_key(row[i]);
    any |= -SortKey<T>(key == negative_zero_key<T>);
    keys[i] = key ^ flip;
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
  if constexpr (sizeof(T) <= 4) {
    if (stride == 1 && count >= lanes<int32_t>) {
      for_each_vector(count, [&](size_t i) {
        auto elements = elements_of_sort_keys<T>(load(keys + i) ^ flip);
        std::memcpy(out + i, &elements, sizeof(elements));
      });
      return;
    }
  }
  for (size_t i = 0; i < count; ++i) {
    out[static_cast<int64_t>(i) * stride] =
        element_of_sort_key<T>(keys[i] ^ flip);
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
