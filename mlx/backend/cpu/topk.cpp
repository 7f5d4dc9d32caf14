// Copyright © 2026 the mlx-topk authors. MIT licence.

// The primitives on the CPU: memory for the outputs, and a job for the kernels
// in selection/. What scratch a kernel takes is said in docs/topk.md.

#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/cpu/selection/threads.h"
#include "mlx/selection_primitives.h"

namespace mlx::core {

namespace {

// So many elements take some ten microseconds, longer than to wake a thread.
constexpr int64_t elements_of_part = 1 << 15;

int64_t rows_of_part(const RowPlan& rows) {
  return elements_of_part / std::max<int64_t>(rows.axis_size, 1) + 1;
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
        if (plan.k == 0) {
          return;
        }
        int64_t threads = cpu::selection_threads();
        auto parts = plan.rows.rows / rows_of_part(plan.rows);
        cpu::TopKJob job{
            &plan,
            mode,
            sorted,
            parts < threads ? threads : 1,
            in.dtype(),
            in.data<void>(),
            values.data<void>(),
            indices.data<uint32_t>()};
        auto& kernels = cpu::selection_kernels();
        cpu::split_work(
            plan.rows.rows,
            rows_of_part(plan.rows),
            parts < threads ? 1 : threads,
            [&](auto first, auto last) { kernels.topk(job, first, last); });
      });
}

void RowOrder::eval_cpu(const std::vector<array>& inputs, array& out) {
  auto& in = inputs[0];
  out.set_data(allocator::malloc(out.nbytes()));

  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  encoder.set_output_array(out);
  auto n = in.shape(axis_);
  std::optional<size_t> kth;
  if (kth_) {
    kth = *kth_ < 0 ? *kth_ + n : *kth_;
  }
  encoder.dispatch([in = array::unsafe_weak_copy(in),
                    out = array::unsafe_weak_copy(out),
                    rows = plan_rows(in.shape(), in.strides(), axis_, n),
                    result = result_,
                    kth]() mutable {
    if (rows.axis_size == 0) {
      return;
    }
    cpu::OrderJob job{
        &rows, kth, result, in.dtype(), in.data<void>(), out.data<void>()};
    auto& kernels = cpu::selection_kernels();
    cpu::split_work(
        rows.rows,
        rows_of_part(rows),
        cpu::selection_threads(),
        [&](auto first, auto last) { kernels.order(job, first, last); });
  });
}

void ArgBest::eval_cpu(const std::vector<array>& inputs, array& out) {
  auto& in = inputs[0];
  out.set_data(allocator::malloc(out.nbytes()));

  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  encoder.set_output_array(out);
  encoder.dispatch([in = array::unsafe_weak_copy(in),
                    out = array::unsafe_weak_copy(out),
                    rows = plan_rows(in.shape(), in.strides(), axis_, 1),
                    mode = mode_]() mutable {
    cpu::ArgBestJob job{
        &rows, mode, in.dtype(), in.data<void>(), out.data<uint32_t>()};
    auto& kernels = cpu::selection_kernels();
    cpu::split_work(
        rows.rows,
        rows_of_part(rows),
        cpu::selection_threads(),
        [&](auto first, auto last) { kernels.arg_best(job, first, last); });
  });
}

} // namespace mlx::core
