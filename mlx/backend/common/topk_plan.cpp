// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/common/topk_plan.h"

#include <algorithm>

namespace mlx::core {

bool can_use(
    TopKAlgorithm algorithm,
    int64_t size,
    int64_t k,
    TopKOrder order) {
  using Tuning = TopKTuning;
  switch (algorithm) {
    case TopKAlgorithm::whole_row:
      return k == size && k > Tuning::ordered_k && order == TopKOrder::unsorted;
    case TopKAlgorithm::lanes:
      return size <= Tuning::lanes_size && k <= Tuning::lanes_k;
    case TopKAlgorithm::short_row:
      return size <= Tuning::short_row_size && k <= Tuning::short_row_k;
    default:
      return true;
  }
}

TopKAlgorithm choose_algorithm(int64_t size, int64_t k, TopKOrder order) {
  using enum TopKAlgorithm;
  for (auto algorithm : {whole_row, lanes, short_row}) {
    if (can_use(algorithm, size, k, order)) {
      return algorithm;
    }
  }
  return k * TopKTuning::bounded_elements_per_k <= size ? bounded : select;
}

bool sorts_to_partition(int64_t size, int64_t kth, size_t itemsize) {
  using Tuning = TopKTuning;
  // A partition of elements of 8 bytes cannot use lanes, which are faster.
  auto always = itemsize < 8 ? Tuning::sorted_partition_size
                             : Tuning::sorted_wide_partition_size;
  auto smaller_side = std::min(kth + 1, size - kth);
  bool few = smaller_side * Tuning::sorted_middle_elements_per_k < size;
  return size <= always || (size <= Tuning::sorted_middle_size && !few);
}

TopKPlan plan_topk(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int k,
    TopKOrder order) {
  return {
      plan_rows(shape, strides, axis, k),
      k,
      choose_algorithm(shape[axis], k, order)};
}

} // namespace mlx::core
