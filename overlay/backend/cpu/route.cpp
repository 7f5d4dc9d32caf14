// Copyright © 2026 the mlx-topk authors. MIT licence.

// Route on the CPU: allocates the outputs and hands a job to the kernels in
// route/.

#include "overlay/route.h"

#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/split_rows.h"
#include "overlay/backend/cpu/route/kernels.h"

namespace mlx::core {

// The smallest task worth giving to a helper thread, in elements.
constexpr int64_t elements_per_part = 1 << 14;

void Route::eval_cpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& encoder = cpu::get_command_encoder(stream());
  for (auto& input : inputs) {
    encoder.set_input_array(input);
  }
  for (auto& output : outputs) {
    output.set_data(allocator::malloc(output.nbytes()));
    encoder.set_output_array(output);
  }
  // Weak copies do not count as references, so buffers can still be donated.
  std::vector<array> in, out;
  for (auto& input : inputs) {
    in.push_back(array::unsafe_weak_copy(input));
  }
  for (auto& output : outputs) {
    out.push_back(array::unsafe_weak_copy(output));
  }
  int axis = in[0].ndim() - 1;
  auto rows = plan_rows(in[0].shape(), in[0].strides(), axis, settings_.k);
  encoder.dispatch([in = std::move(in),
                    out = std::move(out),
                    rows,
                    route = settings_]() mutable {
    cpu::RouteJob job{
        &route,
        &rows,
        in[0].dtype(),
        in[0].data<void>(),
        in.size() > 1 ? in[1].data<float>() : nullptr,
        in.size() > 1 ? in[1].strides(0) : 0,
        out[0].data<void>(),
        out[1].data<uint32_t>(),
        out.size() > 2 ? out[2].data<float>() : nullptr};
    auto& kernels = cpu::route_kernels();
    cpu::split_rows(rows, elements_per_part, [&](auto first, auto last) {
      kernels.route(job, first, last);
    });
  });
}

} // namespace mlx::core
