// Copyright © 2026 the mlx-topk authors. MIT licence.

// The softmax of a few chosen logits.

#pragma once

#include "overlay/backend/cpu/route/simd/groups-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Returns the greatest element, or NaN if there is one. */
inline float greatest(const float* row, size_t padded) {
  auto best = broadcast(-infinity);
  Ints nan{};
  for (size_t i = 0; i < padded; i += lanes<float>) {
    auto x = load(row + i);
    nan |= x != x;
    best = max_of(best, x);
  }
  if (any_of(nan)) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  auto unused = best;
  fold_lanes(best, unused);
  return best[0];
}

/**
 * Replaces k logits by their softmax. ``x`` has room for whole vectors. If
 * ``masks``, -inf marks a masked expert. Then k masked experts give zeros, not
 * NaN.
 */
inline void softmax_of_chosen(float* x, size_t k, bool masks) {
  auto padded = round_up(k, lanes<float>);
  std::fill(x + k, x + padded, -infinity);
  auto highest = greatest(x, padded);
  if (masks && highest == -infinity) {
    std::fill(x, x + k, 0.0f);
    return;
  }
  for (size_t i = 0; i < padded; i += lanes<float>) {
    store(x + i, exponential(load(x + i) - highest));
  }
  float total = 0;
  for (size_t i = 0; i < k; ++i) {
    total += x[i];
  }
  auto factor = 1 / total;
  for (size_t i = 0; i < k; ++i) {
    x[i] *= factor;
  }
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
