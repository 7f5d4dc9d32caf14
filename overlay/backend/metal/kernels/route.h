// Copyright © 2026 the mlx-topk authors. MIT licence.

// Chooses experts for each row of logits, and weighs them. `width` lanes of a
// simdgroup share a row. They compute the scores in registers, select as
// topk_lanes does, and pass the chosen scores through threadgroup memory.
//
// The results depend on the order in which floats are added:
//   - For the sum of a softmax, each lane adds its exponentials by ascending
//     index. The lanes then add each other's sums, those of lanes width / 2
//     apart first, and those of neighbours last.
//   - The sum of the weights is taken in the order of the results.
// exp, log, sqrt and the division are those of the device.

#pragma once

#include "mlx/backend/metal/kernels/topk.h"
#include "overlay/backend/metal/kernels/route/row.h"
#include "overlay/backend/metal/kernels/route/scores.h"
#include "overlay/backend/metal/kernels/route/weights.h"

/** Writes the weights of the k chosen experts. `first` is the lane's place. */
template <typename Order, ushort width>
METAL_FUNC void write_weights(
    uint first,
    uint k,
    const threadgroup uint* chosen,
    device typename Order::Word* weights,
    const constant RouteArguments& settings) {
  float total = sum_of_chosen(k, chosen, settings);
  for (uint i = first; i < k; i += width) {
    float weight = score_of(chosen[i], settings);
    bool masked = is_masked_score(chosen[i], settings);
    if (settings.renormalizes != 0 && !masked) {
      weight /= total;
    }
    weight *= settings.scale;
    weights[i] = Real<Order>::word(weight);
  }
}

/**
 * `width` lanes share a row of logits, with up to N in each. k is at most
 * 2 * width. `groups` is how many maxima each lane finds, as for topk_lanes.
 * Without a bias or scores, any array is bound in their place. `memory` has
 * size + groups words for each row of the threadgroup, if there are groups.
 */
template <typename Order, ushort N, ushort width, ushort groups>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_route(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* weights [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    const device float* bias [[buffer(5)]],
    device float* scores [[buffer(6)]],
    const constant RouteArguments& settings [[buffer(7)]],
    threadgroup uint* memory [[threadgroup(0)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint3 group_count [[threadgroups_per_grid]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  static_assert(N <= 32, "`there` has one bit for each element");
  TOPK_SHARED Ranked<uint> slots[2 * group_threads];
  TOPK_SHARED uint slot_scores[2 * group_threads];
  TOPK_SHARED uint chosen_scores[2 * group_threads];
  uint64_t first =
      (row_of_group(group, group_count) * simds + simd) * (simd_size / width);
  if (first >= args.rows) {
    return;
  }
  // All lanes of a simdgroup have to take part in its functions, so lanes
  // beyond the last row have an empty row.
  uint64_t number = first + lane / width;
  bool live = number < args.rows;
  RowStart start = start_of_row(live ? number : first, args, axes);
  RouteRow<N, width> row;
  row.elements.k = args.k;
  row.elements.lane = lane;
  row.size = live ? args.axis_size : 0u;
  row.mirrored = args.mirrored != 0;
  row.template load<Order>(
      in + start.in, args.in_stride, settings.masks_infinity != 0);
  row.score(settings);
  if (settings.writes_scores != 0) {
    row.write_scores(scores + number * args.axis_size);
  }
  row.add_bias(bias, settings);
  uint row_of_threads = (simd * simd_size + lane) / width;
  if (settings.topk_groups < settings.groups) {
    uint words = args.axis_size + settings.groups;
    row.exclude_groups(memory + row_of_threads * words, settings);
  }
  row.set_keys();
  uint slot = 2u * width * row_of_threads;
  Chosen chosen = {slots + slot, slot_scores + slot, chosen_scores + slot};
  row.template select<groups>(
      args.sorted != 0, indices + number * args.k, chosen);
  uint k = live ? args.k : 0u;
  if (settings.score == 3 && settings.renormalizes != 0) {
    exponentiate<width>(lane % width, k, chosen.scores, settings);
  }
  write_weights<Order, width>(
      lane % width, k, chosen.scores, weights + number * args.k, settings);
}
