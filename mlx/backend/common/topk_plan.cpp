// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/common/topk_plan.h"

#include <algorithm>
#include <atomic>

namespace mlx::core {

RowPlan plan_rows(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int out_axis_size) {
  int ndim = shape.size();
  Strides out_strides(ndim, 1);
  for (int i = ndim - 1; i > 0; --i) {
    int64_t size = i == axis ? out_axis_size : shape[i];
    out_strides[i - 1] = out_strides[i] * size;
  }

  RowPlan plan{1, shape[axis], strides[axis], out_strides[axis], {}, {}, {}, 0};
  for (int i = 0; i < ndim; ++i) {
    plan.last_in_offset += std::max<int64_t>(0, (shape[i] - 1) * strides[i]);
    if (i == axis || shape[i] == 1) {
      continue;
    }
    plan.rows *= shape[i];
    auto continues = [&](const Strides& outer, const Strides& strides) {
      return outer.back() == strides[i] * shape[i];
    };
    if (!plan.shape.empty() && continues(plan.in_strides, strides) &&
        continues(plan.out_strides, out_strides)) {
      plan.shape.back() *= shape[i];
      plan.in_strides.back() = strides[i];
      plan.out_strides.back() = out_strides[i];
    } else {
      plan.shape.push_back(shape[i]);
      plan.in_strides.push_back(strides[i]);
      plan.out_strides.push_back(out_strides[i]);
    }
  }
  return plan;
}

RowCursor::RowCursor(const RowPlan& plan, int64_t first)
    : plan_(plan), position_(plan.shape.size(), 0) {
  for (int i = static_cast<int>(position_.size()) - 1; i >= 0; --i) {
    position_[i] = first % plan.shape[i];
    first /= plan.shape[i];
    in_offset += position_[i] * plan.in_strides[i];
    out_offset += position_[i] * plan.out_strides[i];
  }
}

namespace {

std::atomic<int> forced_algorithm{-1};

bool can_be(TopKAlgorithm algorithm, int64_t size, int64_t k, bool whole) {
  using Tuning = TopKTuning;
  switch (algorithm) {
    case TopKAlgorithm::whole_row:
      return whole;
    case TopKAlgorithm::lanes:
      return size <= Tuning::lanes_size && k <= Tuning::lanes_k;
    case TopKAlgorithm::short_row:
      return size <= Tuning::short_row_size && k <= Tuning::short_row_k;
    default:
      return true;
  }
}

TopKAlgorithm fastest(int64_t size, int64_t k, bool whole) {
  using enum TopKAlgorithm;
  for (auto algorithm : {whole_row, lanes, short_row}) {
    if (can_be(algorithm, size, k, whole)) {
      return algorithm;
    }
  }
  return k * TopKTuning::bounded_elements_per_k <= size ? bounded : select;
}

} // namespace

void force_topk_algorithm(std::optional<TopKAlgorithm> algorithm) {
  forced_algorithm = algorithm ? static_cast<int>(*algorithm) : -1;
}

TopKPlan plan_topk(
    const Shape& shape,
    const Strides& strides,
    int axis,
    int k,
    TopKOrder order) {
  auto whole = k == shape[axis] && order == TopKOrder::unsorted;
  auto algorithm = fastest(shape[axis], k, whole);
  auto forced = static_cast<TopKAlgorithm>(forced_algorithm.load());
  if (forced_algorithm >= 0 && can_be(forced, shape[axis], k, whole)) {
    algorithm = forced;
  }
  return {plan_rows(shape, strides, axis, k), k, algorithm};
}

} // namespace mlx::core
