// Copyright © 2026 the mlx-topk authors. MIT licence.

// TopK on the CPU: allocates the outputs and hands a job to the kernels in
// selection/.

#include <optional>

#include "mlx/backend/common/topk_plan.h"
#include "mlx/backend/cpu/array_data.h"
#include "mlx/backend/cpu/distinct_rows.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/cpu/selection/threads.h"
#include "mlx/backend/cpu/split_rows.h"
#include "mlx/topk_primitive.h"

namespace mlx::core {

namespace {

// The smallest task worth giving to a helper thread, in elements.
constexpr int64_t elements_per_part = 1 << 17;

/** Returns whether to do one row after the other, each on several threads. */
bool splits_each_row(const TopKPlan& plan, int64_t threads) {
  auto& rows = plan.rows;
  return rows.rows == 1 ||
      (rows.rows < threads && plan.algorithm == TopKAlgorithm::bounded &&
       rows.axis_size > 2 * elements_per_part);
}

void run_job(cpu::TopKJob& job) {
  auto& kernels = cpu::selection_kernels();
  auto& rows = job.plan->rows;
  auto threads = selection::threads();
  if (splits_each_row(*job.plan, threads)) {
    job.threads_per_row = threads;
    cpu::BusyThread busy;
    kernels.topk(job, 0, rows.rows);
  } else {
    cpu::split_rows(rows, elements_per_part, [&](auto first, auto last) {
      kernels.topk(job, first, last);
    });
  }
}

} // namespace

void TopK::eval_cpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& in = inputs[0];
  for (auto& output : outputs) {
    cpu::allocate_distinct_rows(output, in, axis_);
  }
  // TopKValues has no indices.
  std::optional<cpu::ArrayData> indices;
  if (outputs.size() > 1) {
    indices = cpu::ArrayData(outputs[1]);
  }

  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  for (auto& output : outputs) {
    encoder.set_output_array(output);
  }
  encoder.dispatch([in = cpu::ArrayData(in),
                    dtype = in.dtype(),
                    values = cpu::ArrayData(outputs[0]),
                    indices,
                    rows = cpu::plan_distinct_rows(in, axis_, k_),
                    k = k_,
                    order = order_,
                    mode = mode_] {
    if (k == 0 || rows.rows == 0) {
      return;
    }
    TopKPlan plan{rows.expand(), k, choose_algorithm(rows.axis_size, k, order)};
    cpu::TopKJob job{
        &plan,
        mode,
        order == TopKOrder::sorted,
        1,
        dtype,
        in.get<void>(),
        values.get<void>(),
        indices ? indices->get<uint32_t>() : nullptr};
    run_job(job);
  });
}

} // namespace mlx::core
