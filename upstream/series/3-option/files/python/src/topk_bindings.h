// Copyright © 2026 the mlx-topk authors. MIT licence.

#pragma once

#include <cstdlib>
#include <utility>

#include <nanobind/nanobind.h>

namespace topk_bindings {

template <typename... Arguments>
void define(nanobind::module_& m, const char* name, Arguments&&... arguments) {
  m.def(name, std::forward<Arguments>(arguments)...);
}

// Returns a pointer to the value of MLX_INDEX_GRADIENT. Null if it is not set.
inline auto initial_index_gradient() {
  static const char* name = std::getenv("MLX_INDEX_GRADIENT");
  return name ? &name : nullptr;
}

} // namespace topk_bindings

#define INDEX_GRADIENT_READERS                                         \
  "        Transforms such as :func:`grad` and :func:`jvp` read the\n" \
  "        mode of the thread that calls them. A compiled gradient\n"  \
  "        keeps the mode it was traced under.\n"
