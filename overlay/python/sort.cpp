// Copyright © 2026 the mlx-topk authors. MIT licence.

// sort, argsort, partition, argpartition and searchsorted.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
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

constexpr const char* sort_note = R"(
        The sort is stable. The gradient of each element goes to the position
        in the input that the element came from.
      )";

constexpr const char* partition_note = R"(
        The result has the elements at the indices that :func:`argpartition`
        returns. The gradient of each element goes to the position in the input
        that the element came from.
      )";

mx::array argsort(const mx::array& a, Axis axis, mx::StreamOrDevice s) {
  return axis ? selection::argsort(a, *axis, s) : selection::argsort(a, s);
}

mx::array sort(const mx::array& a, Axis axis, mx::StreamOrDevice s) {
  return axis ? selection::sort(a, *axis, s) : selection::sort(a, s);
}

mx::array
argpartition(const mx::array& a, int kth, Axis axis, mx::StreamOrDevice s) {
  return axis ? selection::argpartition(a, kth, *axis, s)
              : selection::argpartition(a, kth, s);
}

mx::array
partition(const mx::array& a, int kth, Axis axis, mx::StreamOrDevice s) {
  return axis ? selection::partition(a, kth, *axis, s)
              : selection::partition(a, kth, s);
}

} // namespace

void init_sort(nb::module_& core) {
  auto axis = [] { return "axis"_a.none() = -1; };
  replace_like(core, "argsort", index_note, &argsort, nb::arg(), axis());
  replace_like(core, "sort", sort_note, &sort, nb::arg(), axis());
  replace_like(
      core,
      "partition",
      partition_note,
      &partition,
      nb::arg(),
      "kth"_a,
      axis());
  replace_like(
      core,
      "argpartition",
      index_note,
      &argpartition,
      nb::arg(),
      "kth"_a,
      axis());
  replace_like(
      core,
      "searchsorted",
      index_note,
      &selection::searchsorted,
      nb::arg(),
      nb::arg(),
      "side"_a = "left");
}
