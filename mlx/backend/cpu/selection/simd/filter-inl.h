// Copyright © 2026 the mlx-topk authors. MIT licence.

// Filters candidates by a range of ranks, and writes the indices of elements
// that a mask of bits chooses. Compilers do not vectorise the loop of filter(),
// so most elements are filtered a vector at a time where an instruction moves
// the chosen lanes to the front.

#pragma once

#include "mlx/backend/cpu/selection/simd/buffer-inl.h"
#include "mlx/backend/cpu/selection/simd/partition_lanes-inl.h"
#include "mlx/backend/cpu/selection/simd/rank-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** The ranks from ``low`` to ``low + width``, both included. */
template <typename R>
struct Range {
  R low;
  R width;

  bool contains(R rank) const {
    return static_cast<R>(rank - low) <= width;
  }
};

template <typename R>
Range<R> up_to(R rank) {
  return {0, rank};
}

template <typename R>
Range<R> from(R rank) {
  return {rank, static_cast<R>(worst<R> - rank)};
}

// Loads a vector of indices, each as wide as a rank.
template <typename R>
[[gnu::always_inline]] inline Vector<R> load_index_lanes(const uint32_t* from) {
  if constexpr (sizeof(R) == sizeof(uint32_t)) {
    return load(from);
  } else {
    return widen(from);
  }
}

template <typename R>
[[gnu::always_inline]] inline void store_index_lanes(
    uint32_t* to,
    Vector<R> indices) {
  if constexpr (sizeof(R) == sizeof(uint32_t)) {
    store(to, indices);
  } else {
    narrow(to, indices);
  }
}

// Filters as many elements as fill whole vectors, adds the number kept to
// ``kept``, and returns how many elements it has read.
template <typename R>
size_t filter_vectors(
    const R* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<R> range,
    Candidates<R> out,
    size_t& kept) {
  constexpr auto width = lanes<R>;
  auto low = broadcast(range.low);
  auto reach = broadcast(range.width);
  auto index = lane_numbers<R>() + static_cast<R>(base);
  size_t i = 0;
  for (; i + width <= count; i += width) {
    auto rank = load(ranks + i);
    if (indices) {
      index = load_index_lanes<R>(indices + i);
    }
    auto keep = lanes_up_to(rank - low, reach);
    store(out.ranks + kept, front_lanes<R>(rank, keep));
    if (out.indices) {
      store_index_lanes<R>(out.indices + kept, front_lanes<R>(index, keep));
    }
    kept += std::popcount(keep);
    index += static_cast<R>(width);
  }
  return i;
}

// Copies the elements whose rank is in ``range`` to ``out``, in their order,
// and returns how many they are. Element i has the index ``indices[i]``, or
// ``base + i`` if ``indices`` is null. May write up to one vector past the last
// element copied. ``out`` may alias the input or start before it. If
// ``out.indices`` is null, copies the ranks alone.
template <typename R>
size_t filter(
    const R* ranks,
    const uint32_t* indices,
    uint32_t base,
    size_t count,
    Range<R> range,
    Candidates<R> out) {
  size_t kept = 0;
  size_t i = 0;
  if constexpr (front_lanes_is_fast) {
    i = filter_vectors(ranks, indices, base, count, range, out, kept);
  }
  for (; i < count; ++i) {
    auto rank = ranks[i];
    auto index = indices ? indices[i] : static_cast<uint32_t>(base + i);
    out.ranks[kept] = rank;
    if (out.indices) {
      out.indices[kept] = index;
    }
    kept += range.contains(rank);
  }
  return kept;
}

/**
 * Writes first + b for each bit b that is set, in ascending order, and returns
 * how many they are. Has no branches if they are at most four, which is likely.
 * Always writes four indices.
 */
inline size_t write_indices_of_bits(uint64_t bits, size_t first, uint32_t* to) {
  size_t count = std::popcount(bits);
  for (int i = 0; i < 4; ++i, bits &= bits - 1) {
    to[i] = first + std::countr_zero(bits);
  }
  if (bits != 0) [[unlikely]] {
    for (to += 4; bits != 0; bits &= bits - 1) {
      *to++ = first + std::countr_zero(bits);
    }
  }
  return count;
}

/** As write_indices_of_bits(), but the last index goes before ``end``. */
inline size_t write_indices_before(uint64_t bits, size_t first, uint32_t* end) {
  size_t count = std::popcount(bits);
  auto write_highest = [&] {
    auto b = 63 - std::countl_zero(bits);
    *--end = static_cast<uint32_t>(first + b);
    bits &= ~(uint64_t(1) << (b & 63));
  };
  for (int i = 0; i < 4; ++i) {
    write_highest();
  }
  while (bits != 0) [[unlikely]] {
    write_highest();
  }
  return count;
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
