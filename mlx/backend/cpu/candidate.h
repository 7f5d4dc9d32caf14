// Copyright © 2026 the mlx-topk authors. MIT licence.

// An element on its way through a selection: its rank and its index. Lower is
// better, and no two are equal, so that no algorithm can tell runs apart.

#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "mlx/backend/common/ordered_key.h"

namespace mlx::core {

struct Ascending {
  template <typename T>
  static OrderedKey<T> rank(T value) {
    return ordered_key(value);
  }
};

struct Descending {
  template <typename T>
  static OrderedKey<T> rank(T value) {
    return static_cast<OrderedKey<T>>(~ordered_key(value));
  }
};

// Ranks of up to 32 bits share a word with the index.
template <typename T>
using Candidate = std::conditional_t<
    sizeof(OrderedKey<T>) <= 4,
    uint64_t,
    std::pair<uint64_t, uint32_t>>;

template <typename T, typename Direction>
Candidate<T> make_candidate(T value, uint32_t index) {
  uint64_t rank = Direction::rank(value);
  if constexpr (std::is_same_v<Candidate<T>, uint64_t>) {
    return (rank << 32) | index;
  } else {
    return {rank, index};
  }
}

inline uint32_t index_of(uint64_t candidate) {
  return static_cast<uint32_t>(candidate);
}

inline uint32_t index_of(const std::pair<uint64_t, uint32_t>& candidate) {
  return candidate.second;
}

} // namespace mlx::core
