// Copyright © 2026 the mlx-topk authors. MIT licence.

// StableArgReduce on the CPU: allocates the output and hands a job to the
// kernels in mlx/backend/cpu/selection.

#include "overlay/stable_arg_reduce.h"

#include "mlx/backend/cpu/array_data.h"
#include "mlx/backend/cpu/distinct_rows.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/cpu/split_rows.h"

namespace mlx::core {

// The smallest task worth giving to a helper thread, in elements.
constexpr int64_t elements_per_part = 1 << 18;

void StableArgReduce::eval_cpu(const std::vector<array>& inputs, array& out) {
  auto& in = inputs[0];
  cpu::allocate_distinct_rows(out, in, axis_);

  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  encoder.set_output_array(out);
  encoder.dispatch([in = cpu::ArrayData(in),
                    out = cpu::ArrayData(out),
                    dtype = in.dtype(),
                    plan = cpu::plan_distinct_rows(in, axis_, 1),
                    mode = mode_] {
    auto rows = plan.expand();
    cpu::ArgReduceJob job{
        &rows, mode, dtype, in.get<void>(), out.get<uint32_t>()};
    auto& kernels = cpu::selection_kernels();
    cpu::split_rows(rows, elements_per_part, [&](auto first, auto last) {
      kernels.arg_reduce(job, first, last);
    });
  });
}

} // namespace mlx::core
