// Copyright © 2026 the mlx-topk authors. MIT licence.

// Reads the environment variables that change the settings of this project.

#pragma once

#include <optional>
#include <string>

#include "mlx/api.h"

namespace mlx::core {

struct Variable {
  // The name of the environment variable that was set. Errors quote it.
  std::string name;
  std::string value;
};

/** The settings that an environment variable can give. */
enum class Setting {
  index_gradient,
  threads,
  cpu_kernels,
  gpu_tuning,
  kernel_cache
};

/** Returns the variable that gives ``setting``, or nothing if none is set. */
MLX_API std::optional<Variable> read_variable(Setting setting);

} // namespace mlx::core
