// Copyright © 2026 the mlx-topk authors. MIT licence.

// The scores of the k chosen experts of a row, in threadgroup memory.

#pragma once

#include "mlx/backend/metal/kernels/topk.h"
#include "overlay/backend/metal/kernels/route/scores.h"

/** Returns whether the score of a chosen expert is that of a masked one. */
METAL_FUNC bool is_masked_score(
    uint bits,
    const constant RouteArguments& settings) {
  return settings.masks_infinity != 0 && bits == masked_score();
}

/** Returns the score of a chosen expert, 0 if it is masked. */
METAL_FUNC float score_of(uint bits, const constant RouteArguments& settings) {
  return is_masked_score(bits, settings) ? 0.0f : as_type<float>(bits);
}

/**
 * Returns the sum of the k chosen scores, plus eps, or 1 if all chosen experts
 * are masked.
 */
METAL_FUNC float sum_of_chosen(
    uint k,
    const threadgroup uint* chosen,
    const constant RouteArguments& settings) {
  float total = 0;
  bool some = settings.masks_infinity == 0;
  for (uint i = 0; i < k; ++i) {
    total += score_of(chosen[i], settings);
    some = some || !is_masked_score(chosen[i], settings);
  }
  total = settings.eps != 0.0f ? total + settings.eps : total;
  return some ? total : 1.0f;
}

/**
 * Replaces the k chosen logits by e^(logit - greatest chosen logit). Masked
 * experts stay as they are. `first` is the lane's place.
 */
template <ushort width>
METAL_FUNC void exponentiate(
    uint first,
    uint k,
    threadgroup uint* chosen,
    const constant RouteArguments& settings) {
  // max() ignores NaN, but the exponential of a NaN makes all weights NaN.
  float highest = as_type<float>(0xff800000u);
  for (uint i = 0; i < k; ++i) {
    highest = max(highest, as_type<float>(chosen[i]));
  }
  simdgroup_barrier(mem_flags::mem_threadgroup);
  for (uint i = first; i < k; i += width) {
    if (!is_masked_score(chosen[i], settings)) {
      chosen[i] = as_type<uint>(exp(as_type<float>(chosen[i]) - highest));
    }
  }
  simdgroup_barrier(mem_flags::mem_threadgroup);
}
