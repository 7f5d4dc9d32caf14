// Copyright © 2026 the mlx-topk authors. MIT licence.

// The softmax of a few chosen logits.

#pragma once

#include "overlay/backend/cpu/route/simd/groups-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * Returns the greatest element. If there is a NaN the result is unspecified,
 * and the softmax is NaN whatever is subtracted.
 */
inline float greatest(const float* row, size_t padded) {
  auto best = broadcast(-infinity);
  for (size_t i = 0; i < padded; i += lanes<float>) {
    best = max_of(best, load(row + i));
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
  bool some = !masks;
  for (size_t i = 0; i < k; ++i) {
    some = some || x[i] != -infinity;
  }
  if (!some) {
    std::fill(x, x + k, 0.0f);
    return;
  }
  auto padded = round_up(k, lanes<float>);
  std::fill(x + k, x + padded, -infinity);
  auto highest = greatest(x, padded);
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
