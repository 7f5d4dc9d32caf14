// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/gpu/kernel_encoder.h"

#include <algorithm>
#include <utility>

namespace mlx::core::gpu {

void encode(const LaunchPlan& plan, KernelEncoder& encoder) {
  for (auto& scratch : plan.scratch) {
    encoder.add_scratch(scratch);
  }
  for (auto& launch : plan.launches) {
    encoder.set_kernel(launch);
    for (auto& buffer : launch.buffers) {
      encoder.set_array(buffer);
    }
    encoder.set_bytes(
        &launch.arguments, sizeof(TopKArguments), Launch::arguments_index);
    encoder.set_bytes(
        launch.axes.data(),
        launch.axes.size() * sizeof(launch.axes[0]),
        Launch::axes_index);
    if (!launch.settings.empty()) {
      encoder.set_bytes(
          launch.settings.data(),
          launch.settings.size(),
          Launch::settings_index);
    }
    for (int i = 0; i < 2; ++i) {
      if (launch.threadgroup_bytes[i] > 0) {
        encoder.set_threadgroup_memory(launch.threadgroup_bytes[i], i);
      }
    }
    encoder.launch(launch);
  }
}

void KernelArrays::add(KernelArray which, const array& a) {
  others_.emplace_back(which, a);
}

array& KernelArrays::add_scratch(const Scratch& scratch) {
  // Two dimensions, so that neither exceeds an int.
  constexpr int line = 1024;
  auto bytes = std::max<int64_t>(scratch.bytes, 1);
  auto lines = static_cast<int>((bytes + line - 1) / line);
  // MLX's CUDA back end allocates arrays only for a primitive, whose stream it
  // uses.
  auto primitive = get(KernelArray::values).primitive_ptr();
  add(scratch.array, array({lines, line}, uint8, std::move(primitive), {}));
  return others_.back().second;
}

const array& KernelArrays::get(KernelArray which) const {
  for (auto& [name, other] : others_) {
    if (name == which) {
      return other;
    }
  }
  // A kernel has buffers for all arrays, but does not use the buffer of an
  // array that there is not. So another array can be bound there.
  switch (which) {
    case KernelArray::input:
    case KernelArray::bias:
      return in_;
    case KernelArray::indices:
      return indices_ ? *indices_ : *values_;
    default:
      return values_ ? *values_ : *indices_;
  }
}

array& KernelArrays::get_output(KernelArray which) {
  return const_cast<array&>(get(which));
}

} // namespace mlx::core::gpu
