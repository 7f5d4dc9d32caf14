// Copyright © 2026 the mlx-topk authors. MIT licence.

// argmax and argmin, as functions and as methods of array.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/variant.h>

#include <optional>

#include "overlay/python/replace.h"
#include "overlay/selection.h"

namespace mx = mlx::core;
namespace nb = nanobind;
namespace selection = mlx::core::selection;
using namespace nb::literals;
using namespace topk_bindings;

namespace {

using Axis = std::optional<int>;

mx::array
argmax(const mx::array& a, Axis axis, bool keepdims, mx::StreamOrDevice s) {
  return axis ? selection::argmax(a, *axis, keepdims, s)
              : selection::argmax(a, keepdims, s);
}

mx::array
argmin(const mx::array& a, Axis axis, bool keepdims, mx::StreamOrDevice s) {
  return axis ? selection::argmin(a, *axis, keepdims, s)
              : selection::argmin(a, keepdims, s);
}

template <typename Function>
void init(nb::module_& core, const char* name, Function function) {
  replace_like(
      core,
      name,
      index_note,
      function,
      nb::arg(),
      "axis"_a = nb::none(),
      "keepdims"_a = false);
  auto array_type = nb::type<mx::array>();
  auto stock_doc = original(array_type, name).doc;
  replace(
      array_type,
      name,
      function,
      nb::is_method(),
      "axis"_a = nb::none(),
      "keepdims"_a = false,
      nb::kw_only(),
      "stream"_a = nb::none(),
      stock_doc.c_str());
}

} // namespace

void init_arg_reduce(nb::module_& core) {
  init(core, "argmax", &argmax);
  init(core, "argmin", &argmin);
}
