// Copyright © 2026 the mlx-topk authors. MIT licence.

// Declares a primitive of an extension, with all that MLX asks of one.

#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mlx/array.h"
#include "mlx/primitives.h"
#include "mlx/utils.h"

namespace example {

namespace mx = mlx::core;

/** Returns ``scale * x * x * x`` in float32. */
mx::array scaled_cube(const mx::array& x, float scale, mx::StreamOrDevice s);

class ScaledCube : public mx::Primitive {
 public:
  ScaledCube(mx::Stream stream, float scale)
      : mx::Primitive(stream), scale_(scale) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override;
  void eval_gpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override;
  std::vector<mx::array> jvp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& tangents,
      const std::vector<int>& argnums) override;
  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>& outputs) override;
  std::pair<std::vector<mx::array>, std::vector<int>> vmap(
      const std::vector<mx::array>& inputs,
      const std::vector<int>& axes) override;
  const char* name() const override;
  bool is_equivalent(const mx::Primitive& other) const override;
  std::vector<mx::Shape> output_shapes(
      const std::vector<mx::array>& inputs) override;

 private:
  /** Returns the derivative at ``x``, multiplied by ``direction``. */
  mx::array along(const mx::array& x, const mx::array& direction);

  float scale_;
};

} // namespace example
