// Copyright © 2026 the mlx-topk authors. MIT licence.

// TopK on Metal for short rows and small k. Each simdgroup selects from one
// row, which it keeps in its registers.

#include <algorithm>
#include <sstream>

#include "mlx/allocator.h"
#include "mlx/backend/gpu/topk.h"
#include "mlx/backend/metal/device.h"
#include "mlx/backend/metal/jit/includes.h"
#include "mlx/topk_primitive.h"
#include "mlx/utils.h"

namespace mlx::core {

namespace {

#include "mlx/backend/metal/kernels/topk_arguments.h"

constexpr int64_t simd_size = 32;
constexpr int64_t max_simds_per_group = 8;
constexpr int64_t max_groups_y = 65535;

MTL::ComputePipelineState*
get_topk_kernel(metal::Device& d, Dtype dtype, int elements_per_lane) {
  std::ostringstream type;
  type << (dtype == bool_ ? uint8 : dtype);
  std::ostringstream name;
  name << "topk_register_" << type.str() << "_" << elements_per_lane;
  auto lib = d.get_library(name.str(), [&]() {
    std::ostringstream source;
    source << metal::topk() << "instantiate_kernel(\"" << name.str()
           << "\", topk_register, order_" << type.str() << ", "
           << elements_per_lane << ")\n";
    return source.str();
  });
  return d.get_kernel(name.str(), lib);
}

// Returns the size, the input stride and the output stride of each axis of the
// rows, outermost first.
std::vector<int64_t> row_axes(const array& in, const array& out, int axis) {
  std::vector<int64_t> axes;
  for (int i = 0; i < in.ndim(); ++i) {
    if (i != axis) {
      axes.insert(axes.end(), {in.shape(i), in.strides()[i], out.strides()[i]});
    }
  }
  return axes;
}

} // namespace

bool gpu_has_topk(const array& a, int k, int axis) {
  return a.shape(axis) <= 32 * simd_size && k <= simd_size &&
      a.dtype() != float64 && a.dtype() != complex64;
}

void TopK::eval_gpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  for (auto& out : outputs) {
    out.set_data(allocator::malloc(out.nbytes()));
  }
  auto& in = inputs[0];
  auto& values = outputs[0];
  if (values.size() == 0) {
    return;
  }

  auto axes = row_axes(in, values, axis_);
  TopKArguments args{};
  args.rows = values.size() / k_;
  args.axis_size = in.shape(axis_);
  args.k = k_;
  args.in_stride = in.strides()[axis_];
  args.out_stride = values.strides()[axis_];
  if (order_ == TopKOrder::unsorted) {
    // Write backwards, so that the worst is first and the best last.
    args.out_start = (k_ - 1) * args.out_stride;
    args.out_stride = -args.out_stride;
  }
  args.smallest = mode_ == TopKMode::smallest;
  args.writes_values = true;
  args.writes_indices = true;
  args.row_axes = axes.size() / 3;
  if (axes.empty()) {
    axes.push_back(0); // A buffer cannot be empty.
  }

  int elements_per_lane = 1;
  while (elements_per_lane * simd_size < args.axis_size) {
    elements_per_lane *= 2;
  }
  auto& s = stream();
  auto& encoder = metal::get_command_encoder(s);
  encoder.set_compute_pipeline_state(
      get_topk_kernel(metal::device(s.device), in.dtype(), elements_per_lane));
  encoder.set_input_array(in, 0);
  encoder.set_output_array(values, 1);
  encoder.set_output_array(outputs[1], 2);
  encoder.set_bytes(args, 3);
  encoder.set_vector_bytes(axes, 4);

  // Few rows get a threadgroup each, to use more of the GPU's cores.
  int64_t rows = args.rows;
  auto simds = std::clamp<int64_t>(rows / 64, 1, max_simds_per_group);
  auto groups = (rows + simds - 1) / simds;
  auto y = std::min(groups, max_groups_y);
  encoder.dispatch_threadgroups(
      MTL::Size(1, y, (groups + y - 1) / y),
      MTL::Size(simds * simd_size, 1, 1));
}

} // namespace mlx::core
