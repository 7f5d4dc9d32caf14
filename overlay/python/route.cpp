// Copyright © 2026 the mlx-topk authors. MIT licence.

// route in Python: reads its arguments and calls the C++ op.
// mlx.nn.routing.route is the public function and has the docstring.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>

#include <optional>
#include <sstream>
#include <string>

#include "overlay/python/replace.h"
#include "overlay/selection.h"

namespace mx = mlx::core;
namespace nb = nanobind;
using namespace nb::literals;

namespace {

mx::RouteScore score_from(const std::string& name) {
  if (name == "softmax") {
    return mx::RouteScore::softmax;
  }
  if (name == "sigmoid") {
    return mx::RouteScore::sigmoid;
  }
  if (name == "sqrtsoftplus") {
    return mx::RouteScore::sqrtsoftplus;
  }
  auto message =
      "[route] score must be one of 'softmax', 'sigmoid', "
      "'sqrtsoftplus', got '" +
      name + "'.";
  throw nb::value_error(message.c_str());
}

int integer_from(const char* name, nb::handle value) {
  nb::object index;
  if (PyLong_CheckExact(value.ptr())) {
    index = nb::borrow(value);
  } else if (!PyBool_Check(value.ptr()) && PyIndex_Check(value.ptr())) {
    index = nb::steal(PyNumber_Index(value.ptr()));
  }
  int number = 0;
  if (index.is_valid() && nb::try_cast<int>(index, number)) {
    return number;
  }
  std::ostringstream msg;
  msg << "[route] " << name << " must be an integer, got "
      << nb::repr(value).c_str() << ".";
  throw nb::type_error(msg.str().c_str());
}

mx::GroupScore group_score_from(const std::string& name) {
  if (name == "top2") {
    return mx::GroupScore::top2;
  }
  if (name == "max") {
    return mx::GroupScore::max;
  }
  auto message =
      "[route] group_score must be one of 'top2', 'max', got '" + name + "'.";
  throw nb::value_error(message.c_str());
}

nb::tuple route(
    const mx::array& logits,
    nb::handle k,
    const std::string& score,
    const std::optional<mx::array>& bias,
    nb::handle groups,
    nb::handle topk_groups,
    const std::string& group_score,
    float excluded_score,
    bool renormalize,
    float eps,
    float scale,
    bool sorted,
    bool masks_infinity,
    bool return_scores,
    mx::StreamOrDevice s) {
  mx::RouteSettings settings;
  settings.k = integer_from("k", k);
  settings.score = score_from(score);
  settings.groups = integer_from("groups", groups);
  settings.topk_groups = integer_from("topk_groups", topk_groups);
  settings.group_score = group_score_from(group_score);
  settings.excluded_score = excluded_score;
  settings.renormalize = renormalize;
  settings.eps = eps;
  settings.scale = scale;
  settings.sorted = sorted;
  settings.masks_infinity = masks_infinity;
  auto result = mx::selection::route(logits, settings, bias, return_scores, s);
  if (result.scores) {
    return nb::make_tuple(result.weights, result.indices, *result.scores);
  }
  return nb::make_tuple(result.weights, result.indices);
}

} // namespace

void init_route(nb::module_& m) {
  m.def(
      "route",
      &route,
      "logits"_a,
      "k"_a,
      "score"_a = "softmax",
      "bias"_a = nb::none(),
      "groups"_a = 1,
      "topk_groups"_a = 1,
      "group_score"_a = "top2",
      "excluded_score"_a = 0.0f,
      "renormalize"_a = true,
      "eps"_a = 0.0f,
      "scale"_a = 1.0f,
      "sorted"_a = true,
      "masks_infinity"_a = false,
      "return_scores"_a = false,
      "stream"_a = nb::none());
}
