// Copyright © 2026 the mlx-topk authors. MIT licence.

// The module example_extension: a primitive of its own, and ops of libmlx as
// C++ calls them.

#include <nanobind/nanobind.h>
#include <nanobind/stl/variant.h>

#include "cube.h"
#include "mlx/ops.h"

namespace mx = mlx::core;
namespace nb = nanobind;
using namespace nb::literals;

NB_MODULE(example_extension, m) {
  m.def(
      "scaled_cube",
      &example::scaled_cube,
      "x"_a,
      "scale"_a,
      nb::kw_only(),
      "stream"_a = nb::none());
  m.def("argsort", [](const mx::array& a) { return mx::argsort(a); });
  m.def("topk", [](const mx::array& a, int k) { return mx::topk(a, k); });
}
