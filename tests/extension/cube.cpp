// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "cube.h"

#include <memory>
#include <stdexcept>

#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/ops.h"

namespace example {

mx::array scaled_cube(const mx::array& x, float scale, mx::StreamOrDevice s) {
  // eval_cpu reads the elements one after another.
  auto in = mx::contiguous(mx::astype(x, mx::float32, s), false, s);
  auto primitive = std::make_shared<ScaledCube>(mx::to_stream(s), scale);
  return mx::array(in.shape(), mx::float32, primitive, {in});
}

void ScaledCube::eval_cpu(
    const std::vector<mx::array>& inputs,
    std::vector<mx::array>& outputs) {
  auto& in = inputs[0];
  auto& out = outputs[0];
  out.set_data(mx::allocator::malloc(out.nbytes()));
  auto& encoder = mx::cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  encoder.set_output_array(out);
  encoder.dispatch([from = in.data<float>(),
                    to = out.data<float>(),
                    size = out.size(),
                    scale = scale_] {
    for (size_t i = 0; i < size; ++i) {
      to[i] = scale * from[i] * from[i] * from[i];
    }
  });
}

void ScaledCube::eval_gpu(
    const std::vector<mx::array>&,
    std::vector<mx::array>&) {
  throw std::runtime_error("[scaled_cube] There is no GPU kernel.");
}

mx::array ScaledCube::along(const mx::array& x, const mx::array& direction) {
  auto slope =
      mx::multiply(mx::array(3 * scale_), mx::square(x, stream()), stream());
  return mx::multiply(slope, direction, stream());
}

std::vector<mx::array> ScaledCube::jvp(
    const std::vector<mx::array>& primals,
    const std::vector<mx::array>& tangents,
    const std::vector<int>&) {
  return {along(primals[0], tangents[0])};
}

std::vector<mx::array> ScaledCube::vjp(
    const std::vector<mx::array>& primals,
    const std::vector<mx::array>& cotangents,
    const std::vector<int>&,
    const std::vector<mx::array>&) {
  return {along(primals[0], cotangents[0])};
}

std::pair<std::vector<mx::array>, std::vector<int>> ScaledCube::vmap(
    const std::vector<mx::array>& inputs,
    const std::vector<int>& axes) {
  return {{scaled_cube(inputs[0], scale_, stream())}, axes};
}

const char* ScaledCube::name() const {
  return "ScaledCube";
}

bool ScaledCube::is_equivalent(const mx::Primitive& other) const {
  return scale_ == static_cast<const ScaledCube&>(other).scale_;
}

std::vector<mx::Shape> ScaledCube::output_shapes(
    const std::vector<mx::array>& inputs) {
  return {inputs[0].shape()};
}

} // namespace example
