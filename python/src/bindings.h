// Copyright © 2026 the mlx-topk authors. MIT licence.

// What the parts of the bindings share: how a function takes the place of
// upstream's, with upstream's own signature and docstring where they still
// hold.

#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <utility>

#include "python/src/scope_context.h"

namespace topk_bindings {

namespace nb = nanobind;

/** What upstream says of a function that ours replaces. */
struct Original {
  std::string signature;
  std::string doc;
};

Original original(nb::handle scope, const char* name);

/** Defines ``name`` in ``scope`` in place of what is there. */
template <typename Function, typename... Extra>
void replace(
    nb::handle scope,
    const char* name,
    Function&& function,
    const Extra&... extra) {
  if (nb::hasattr(scope, name)) {
    nb::delattr(scope, name);
  }
  nb::cpp_function_def(
      std::forward<Function>(function),
      nb::scope(scope),
      nb::name(name),
      extra...);
}

void init_index_gradient(nb::module_& core);
void init_selection(nb::module_& core, nb::module_& m);

} // namespace topk_bindings
