// Copyright © 2026 the mlx-topk authors. MIT licence.

// What differs between the Python bindings of the two libraries that TopK is
// part of: MLX itself, and this extension of MLX. Each has its own file of this
// name. The file says how a function is added to mlx.core, which Python type
// topk returns, what docstrings say about it, and which environment variables
// are read.

#pragma once

#include <nanobind/nanobind.h>

#include <optional>
#include <string>
#include <utility>

#include "mlx/environment.h"
#include "mlx/topk.h"
#include "overlay/python/replace.h"

namespace topk_bindings {

/** Defines ``name`` in ``scope``, which may have a function of that name. */
template <typename Function, typename... Extra>
void define(
    nb::handle scope,
    const char* name,
    Function&& function,
    const Extra&... extra) {
  replace(scope, name, std::forward<Function>(function), extra...);
}

/** Returns the index gradient mode that the environment gives, if any. */
inline std::optional<std::string> initial_index_gradient() {
  using mlx::core::Setting;
  auto variable = mlx::core::read_variable(Setting::index_gradient);
  return variable ? std::optional(variable->value) : std::nullopt;
}

/** Returns the result as the named tuple mlx.core.TopKResult. */
nb::object to_python(mlx::core::TopKResult result);

/** Sets the class that to_python() makes. Never releases the class. */
void set_result_type(nb::handle type);

} // namespace topk_bindings

#define TOPK_RESULT_TYPE "TopKResult"
#define TOPK_AXIS_ERROR "IndexError"
#define INDEX_GRADIENT_READERS                                               \
  "        Ops that return indices (:func:`topk`, :func:`argsort`,\n"        \
  "        :func:`argpartition`, :func:`argmax`, ...) read the mode when\n"  \
  "        they are called, so that a compiled function keeps the mode it\n" \
  "        was traced under.\n"

void init_topk(nanobind::module_& m);
void init_index_gradient(nanobind::module_& m);
