// Copyright © 2026 the mlx-topk authors. MIT licence.

// StableSort on the CPU: allocates the output and hands a job to the kernels in
// mlx/backend/cpu/selection.

#include "overlay/stable_sort.h"

#include "mlx/backend/cpu/distinct_rows.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/cpu/split_rows.h"

namespace mlx::core {

// The smallest task worth giving to a helper thread, in elements.
constexpr int64_t elements_per_part = 1 << 15;

void StableSort::eval_cpu(const std::vector<array>& inputs, array& out) {
  auto& in = inputs[0];
  if (result_ == SortResult::values && in.strides()[axis_] == 0 &&
      in.size() > 0) {
    // All elements of a row are the same element.
    out.copy_shared_buffer(in);
    return;
  }
  cpu::allocate_distinct_rows(out, in, axis_);

  auto size = in.shape(axis_);
  std::optional<size_t> kth;
  if (kth_) {
    kth = *kth_ < 0 ? *kth_ + size : *kth_;
  }
  auto output = result_ == SortResult::values ? cpu::SortOutput::values
                                              : cpu::SortOutput::indices;
  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  encoder.set_output_array(out);
  encoder.dispatch(
      [in = array::unsafe_weak_copy(in),
       out = array::unsafe_weak_copy(out),
       rows = plan_rows(
           cpu::shape_of_distinct_rows(in, axis_), in.strides(), axis_, size),
       output,
       kth]() mutable {
        if (rows.axis_size == 0) {
          return;
        }
        cpu::SortJob job{
            &rows, kth, output, in.dtype(), in.data<void>(), out.data<void>()};
        auto& kernels = cpu::selection_kernels();
        cpu::split_rows(rows, elements_per_part, [&](auto first, auto last) {
          kernels.sort(job, first, last);
        });
      });
}

} // namespace mlx::core
