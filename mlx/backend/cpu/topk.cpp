// Copyright © 2026 the mlx-topk authors. MIT licence.

// The primitives on the CPU: memory for the outputs, and a job for the kernels
// in selection/. What scratch a kernel takes is said in docs/topk.md.

#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/cpu/selection/threads.h"
#include "mlx/backend/metal/emulated.h"
#include "mlx/backend/upstream_eval.h"
#include "mlx/selection_primitives.h"

namespace mlx::core {

namespace {

// Of so many elements, less is done sooner than another thread wakes up.
constexpr int64_t part_of_topk = 1 << 17;
constexpr int64_t part_of_order = 1 << 15;
constexpr int64_t part_of_arg_best = 1 << 18;

/** work(first, last) over all rows, by several threads if it is worth while. */
template <typename Work>
void split_rows(const RowPlan& rows, int64_t elements_of_part, Work&& work) {
  cpu::BusyThread busy;
  auto of_part = elements_of_part / std::max<int64_t>(rows.axis_size, 1) + 1;
  cpu::split_work(rows.rows, of_part, selection::threads(), work);
}

} // namespace

void TopK::eval_cpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& in = inputs[0];
  auto& values = outputs[0];
  auto& indices = outputs[1];
  if (metal::emulates_metal()) {
    auto selection = metal::plan_topk(in, axis_, k_, mode_, order_);
    auto& encoder = cpu::get_command_encoder(stream());
    if (!metal::emulate(selection, in, &values, &indices, encoder)) {
      eval_by_upstream(*this, inputs, outputs);
    }
    return;
  }
  values.set_data(allocator::malloc(values.nbytes()));
  indices.set_data(allocator::malloc(indices.nbytes()));

  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  encoder.set_output_array(values);
  encoder.set_output_array(indices);
  encoder.dispatch([in = array::unsafe_weak_copy(in),
                    values = array::unsafe_weak_copy(values),
                    indices = array::unsafe_weak_copy(indices),
                    plan =
                        plan_topk(in.shape(), in.strides(), axis_, k_, order_),
                    mode = mode_,
                    sorted = order_ == TopKOrder::sorted]() mutable {
    if (plan.k == 0 || plan.rows.rows == 0) {
      return;
    }
    // Either several rows at once, or each by several threads.
    int64_t threads = selection::threads();
    bool few = plan.rows.rows == 1 ||
        (plan.rows.rows < threads && plan.algorithm == TopKAlgorithm::bounded &&
         plan.rows.axis_size > 2 * part_of_topk);
    cpu::TopKJob job{
        &plan,
        mode,
        sorted,
        few ? threads : 1,
        in.dtype(),
        in.data<void>(),
        values.data<void>(),
        indices.data<uint32_t>()};
    auto& kernels = cpu::selection_kernels();
    if (few) {
      cpu::BusyThread busy;
      kernels.topk(job, 0, plan.rows.rows);
    } else {
      split_rows(plan.rows, part_of_topk, [&](auto first, auto last) {
        kernels.topk(job, first, last);
      });
    }
  });
}

void RowOrder::eval_cpu(const std::vector<array>& inputs, array& out) {
  auto& in = inputs[0];
  auto& encoder = cpu::get_command_encoder(stream());
  auto n = in.shape(axis_);
  std::optional<size_t> kth;
  if (kth_) {
    kth = *kth_ < 0 ? *kth_ + n : *kth_;
  }
  if (kth && metal::emulates_metal()) {
    auto selection = metal::plan_partition(in, axis_, *kth, result_);
    bool of_values = result_ == OrderResult::values;
    auto values = of_values ? &out : nullptr;
    auto indices = of_values ? nullptr : &out;
    if (!metal::emulate(selection, in, values, indices, encoder)) {
      eval_by_upstream(*this, inputs, out);
    }
    return;
  }
  out.set_data(allocator::malloc(out.nbytes()));
  encoder.set_input_array(in);
  encoder.set_output_array(out);
  encoder.dispatch([in = array::unsafe_weak_copy(in),
                    out = array::unsafe_weak_copy(out),
                    rows = plan_rows(in.shape(), in.strides(), axis_, n),
                    output = result_ == OrderResult::values
                        ? cpu::SortOutput::values
                        : cpu::SortOutput::indices,
                    kth]() mutable {
    if (rows.axis_size == 0) {
      return;
    }
    cpu::SortJob job{
        &rows, kth, output, in.dtype(), in.data<void>(), out.data<void>()};
    auto& kernels = cpu::selection_kernels();
    split_rows(rows, part_of_order, [&](auto first, auto last) {
      kernels.sort(job, first, last);
    });
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
    cpu::ArgReduceJob job{
        &rows, mode, in.dtype(), in.data<void>(), out.data<uint32_t>()};
    auto& kernels = cpu::selection_kernels();
    split_rows(rows, part_of_arg_best, [&](auto first, auto last) {
      kernels.arg_reduce(job, first, last);
    });
  });
}

} // namespace mlx::core
