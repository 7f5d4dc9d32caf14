// Copyright © 2026 the mlx-topk authors. MIT licence.

// The one place that reads environment variables.

#pragma once

#include <optional>
#include <string>

#include "mlx/api.h"

#include "mlx/api.h"

namespace mlx::core {

struct Variable {
  // The name under which it was found, for errors.
  std::string name;
  std::string value;
};

/** Which settings there are. docs list what each means. */
enum class Setting { index_gradient, threads, gpu_tuning, kernel_cache };

/** Returns what the environment says of ``setting``; empty if nothing. */
MLX_API MLX_API std::optional<Variable> read_variable(Setting setting);

} // namespace mlx::core
