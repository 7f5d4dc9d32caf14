// Copyright © 2026 the mlx-topk authors. MIT licence.

// Computes the cotangents of the logits of topk_route. A simdgroup has a row.
// It first finds the cotangents of the k chosen scores, which it keeps in
// threadgroup memory. Then it writes the result for all experts as if none were
// chosen, and the results for the chosen ones over that.
//
// The results depend on the order in which floats are added:
//   - Sums over the chosen experts are taken in the order of the indices.
//   - For the sum of all scores times their cotangents, each lane adds those of
//     its experts by ascending index, which are 32 apart. The lanes then add
//     each other's sums, those of lanes 16 apart first, and those of neighbours
//     last. The chosen experts are added to that.

#pragma once

#include "mlx/backend/metal/kernels/topk.h"
#include "overlay/backend/metal/kernels/route/scores.h"
#include "overlay/backend/metal/kernels/route/weights.h"

/** The inputs and the output of one row. */
template <typename Order>
struct GradientRow {
  typedef typename Order::Word Word;

  const device Word* logits;
  const device uint* indices;
  const device float* scores;
  const device Word* of_weights;
  const device float* of_scores; // Read only if `adds_of_scores`.
  device Word* out;
  // For each chosen expert, the bits of its score and the cotangent of that.
  threadgroup uint* chosen;
  threadgroup float* of_chosen;
  uint size;
  uint k;
  uint lane;

  METAL_FUNC bool is_masked(
      uint expert,
      const constant RouteArguments& settings) const thread {
    return settings.masks_infinity != 0 &&
        as_type<uint>(Real<Order>::of(logits[expert])) == masked_score();
  }

  /** Reads the chosen scores and the cotangents of their weights. */
  METAL_FUNC void load(const constant RouteArguments& settings) const thread {
    for (uint i = lane; i < k; i += simd_size) {
      uint expert = indices[i];
      bool masked = is_masked(expert, settings);
      chosen[i] = masked ? masked_score() : as_type<uint>(scores[expert]);
      float cotangent = masked ? 0.0f : Real<Order>::of(of_weights[i]);
      of_chosen[i] = cotangent * settings.scale;
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
  }

  /** Sums the products of the chosen scores and their cotangents. */
  METAL_FUNC float chosen_product(
      const constant RouteArguments& settings) const thread {
    float total = 0;
    for (uint i = 0; i < k; ++i) {
      float score = score_of(chosen[i], settings);
      total += rounded_product(score, of_chosen[i], settings.zero);
    }
    return total;
  }

  /**
   * Turns cotangents of quotients by the sum into those of the chosen scores.
   * The results for masked experts are not used.
   */
  METAL_FUNC void differentiate_quotients(
      const constant RouteArguments& settings) const thread {
    bool exponential = settings.score == 3;
    float total = sum_of_chosen(k, chosen, settings);
    float shared = chosen_product(settings) / total;
    simdgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = lane; i < k; i += simd_size) {
      float numerator = exponential ? score_of(chosen[i], settings) : 1.0f;
      of_chosen[i] = numerator * ((of_chosen[i] - shared) / total);
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
  }

  /** Returns the given cotangent of a score, without that of its weight. */
  METAL_FUNC float of_score(
      uint expert,
      const constant RouteArguments& settings) const thread {
    bool given = settings.adds_of_scores != 0 && !is_masked(expert, settings);
    return given ? of_scores[expert] : 0.0f;
  }

  /** Sums the products of all scores and their cotangents. */
  METAL_FUNC float product(
      const constant RouteArguments& settings) const thread {
    float total = 0;
    if (settings.adds_of_scores != 0) {
      for (uint i = lane; i < size; i += simd_size) {
        float cotangent = of_score(i, settings);
        total += rounded_product(scores[i], cotangent, settings.zero);
      }
      TOPK_UNROLL
      for (uint step = simd_size / 2; step > 0; step /= 2) {
        total += exchanged_float(total, step);
      }
    }
    return total + chosen_product(settings);
  }

  /**
   * Writes the result of an expert, for the cotangent of its score. For a
   * softmax, `total` is the product of all scores and cotangents.
   */
  METAL_FUNC void put(
      uint expert,
      float cotangent,
      float total,
      const constant RouteArguments& settings) const thread {
    float score = scores[expert];
    float result = cotangent;
    if (settings.score == 0) {
      result = score * (cotangent - total);
    } else if (settings.score == 1) {
      result = cotangent * (score * (1.0f - score));
    } else if (settings.score == 2) {
      float slope = sigmoid_of(Real<Order>::of(logits[expert]));
      result = 0.5f * cotangent / score * slope;
    }
    bool masked = is_masked(expert, settings);
    out[expert] = Real<Order>::word(masked ? 0.0f : result);
  }

  METAL_FUNC void put_all(float total, const constant RouteArguments& settings)
      const thread {
    for (uint i = lane; i < size; i += simd_size) {
      put(i, of_score(i, settings), total, settings);
    }
    simdgroup_barrier(mem_flags::mem_device);
    for (uint i = lane; i < k; i += simd_size) {
      uint expert = indices[i];
      float cotangent = of_chosen[i] + of_score(expert, settings);
      put(expert, cotangent, total, settings);
    }
  }
};

/**
 * All arrays are row-contiguous. Without cotangents of scores, any array is
 * bound in their place. k is at most 64.
 */
template <typename Order>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_route_gradient(
    const device typename Order::Word* logits [[buffer(0)]],
    device typename Order::Word* out [[buffer(1)]],
    const device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    const device float* scores [[buffer(5)]],
    const device typename Order::Word* of_weights [[buffer(6)]],
    const constant RouteArguments& settings [[buffer(7)]],
    const device float* of_scores [[buffer(8)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint3 group_count [[threadgroups_per_grid]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  TOPK_SHARED uint chosen[2 * group_threads];
  TOPK_SHARED float of_chosen[2 * group_threads];
  uint64_t number = row_of_group(group, group_count) * simds + simd;
  if (number >= args.rows) {
    return;
  }
  uint64_t first = number * args.axis_size;
  uint64_t first_chosen = number * args.k;
  uint slot = 2u * simd_size * simd;
  GradientRow<Order> row = {
      logits + first,
      indices + first_chosen,
      scores + first,
      of_weights + first_chosen,
      of_scores + first,
      out + first,
      chosen + slot,
      of_chosen + slot,
      args.axis_size,
      args.k,
      lane};
  row.load(settings);
  if (settings.renormalizes != 0) {
    if (settings.score == 3) {
      exponentiate<simd_size>(lane, args.k, row.chosen, settings);
    }
    row.differentiate_quotients(settings);
  }
  float total = settings.score == 0 ? row.product(settings) : 0.0f;
  row.put_all(total, settings);
}
