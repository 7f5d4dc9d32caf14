// Copyright © 2026 the mlx-topk authors. MIT licence.

// TopK and KthPartition on the CPU. Scratch is one candidate per element of a
// row: 8 bytes, or 16 for elements of 8 bytes.

#include <algorithm>
#include <vector>

#include "mlx/allocator.h"
#include "mlx/backend/common/topk_plan.h"
#include "mlx/backend/cpu/candidate.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/dtype_utils.h"
#include "mlx/selection_primitives.h"

namespace mlx::core {

namespace {

template <typename T, typename Direction>
void load_row(
    const T* row,
    int64_t stride,
    std::vector<Candidate<T>>& candidates) {
  for (size_t i = 0; i < candidates.size(); ++i) {
    candidates[i] = make_candidate<T, Direction>(row[i * stride], i);
  }
}

template <typename T>
void whole_rows(const TopKPlan& plan, const T* in, T* values, uint32_t* out) {
  auto& rows = plan.rows;
  RowCursor row(rows);
  for (int64_t r = 0; r < rows.rows; ++r, row.next()) {
    for (int64_t i = 0; i < plan.k; ++i) {
      auto to = row.out_offset + i * rows.out_axis_stride;
      values[to] = in[row.in_offset + i * rows.in_axis_stride];
      out[to] = i;
    }
  }
}

template <typename T, typename Direction>
void select_rows(
    const TopKPlan& plan,
    bool sorted,
    const T* in,
    T* values,
    uint32_t* out) {
  auto& rows = plan.rows;
  std::vector<Candidate<T>> candidates(rows.axis_size);
  auto end = candidates.begin() + plan.k;
  RowCursor row(rows);
  for (int64_t r = 0; r < rows.rows; ++r, row.next()) {
    load_row<T, Direction>(in + row.in_offset, rows.in_axis_stride, candidates);
    if (end != candidates.end()) {
      std::nth_element(candidates.begin(), end, candidates.end());
    }
    if (sorted) {
      std::sort(candidates.begin(), end);
    }
    for (int64_t i = 0; i < plan.k; ++i) {
      auto to = row.out_offset + i * rows.out_axis_stride;
      auto index = index_of(candidates[i]);
      values[to] = in[row.in_offset + index * rows.in_axis_stride];
      out[to] = index;
    }
  }
}

template <typename T>
void topk_rows(
    const TopKPlan& plan,
    selection::TopKMode mode,
    bool sorted,
    const T* in,
    T* values,
    uint32_t* indices) {
  if (plan.rows.rows == 0 || plan.k == 0) {
    return;
  }
  if (plan.algorithm == TopKAlgorithm::whole_row) {
    whole_rows(plan, in, values, indices);
  } else if (mode == selection::TopKMode::largest) {
    select_rows<T, Descending>(plan, sorted, in, values, indices);
  } else {
    select_rows<T, Ascending>(plan, sorted, in, values, indices);
  }
}

template <typename T>
void partition_rows(
    const RowPlan& rows,
    int64_t kth,
    const T* in,
    uint32_t* out) {
  std::vector<Candidate<T>> candidates(rows.axis_size);
  RowCursor row(rows);
  for (int64_t r = 0; r < rows.rows; ++r, row.next()) {
    load_row<T, Ascending>(in + row.in_offset, rows.in_axis_stride, candidates);
    std::nth_element(
        candidates.begin(), candidates.begin() + kth, candidates.end());
    for (int64_t i = 0; i < rows.axis_size; ++i) {
      out[row.out_offset + i * rows.out_axis_stride] = index_of(candidates[i]);
    }
  }
}

} // namespace

void TopK::eval_cpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& in = inputs[0];
  auto& values = outputs[0];
  auto& indices = outputs[1];
  values.set_data(allocator::malloc(values.nbytes()));
  indices.set_data(allocator::malloc(indices.nbytes()));

  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  encoder.set_output_array(values);
  encoder.set_output_array(indices);
  encoder.dispatch(
      [in = array::unsafe_weak_copy(in),
       values = array::unsafe_weak_copy(values),
       indices = array::unsafe_weak_copy(indices),
       plan = plan_topk(in.shape(), in.strides(), axis_, k_, order_),
       mode = mode_,
       sorted = order_ == selection::TopKOrder::sorted]() mutable {
        dispatch_all_types(in.dtype(), [&](auto type_tag) {
          using T = MLX_GET_TYPE(type_tag);
          topk_rows<T>(
              plan,
              mode,
              sorted,
              in.data<T>(),
              values.data<T>(),
              indices.data<uint32_t>());
        });
      });
}

void KthPartition::eval_cpu(const std::vector<array>& inputs, array& out) {
  auto& in = inputs[0];
  out.set_data(allocator::malloc(out.nbytes()));

  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  encoder.set_output_array(out);
  int n = in.shape(axis_);
  encoder.dispatch([in = array::unsafe_weak_copy(in),
                    out = array::unsafe_weak_copy(out),
                    rows = plan_rows(in.shape(), in.strides(), axis_, n),
                    kth = kth_ < 0 ? kth_ + n : kth_]() mutable {
    dispatch_all_types(in.dtype(), [&](auto type_tag) {
      using T = MLX_GET_TYPE(type_tag);
      partition_rows<T>(rows, kth, in.data<T>(), out.data<uint32_t>());
    });
  });
}

} // namespace mlx::core
