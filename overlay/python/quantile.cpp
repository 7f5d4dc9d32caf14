// Copyright © 2026 the mlx-topk authors. MIT licence.

// kthvalue, quantile and median.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mlx/ops.h"
#include "overlay/kth_value.h"
#include "overlay/python/replace.h"
#include "overlay/quantile.h"
#include "python/src/topk_bindings.h"

namespace mx = mlx::core;
namespace nb = nanobind;
namespace selection = mlx::core::selection;
using namespace nb::literals;
using namespace topk_bindings;

namespace {

using Axes = std::variant<std::monostate, int, std::vector<int>>;

std::optional<std::vector<int>> axes_from(const Axes& axis) {
  if (auto one = std::get_if<int>(&axis)) {
    return std::vector<int>{*one};
  }
  if (auto several = std::get_if<std::vector<int>>(&axis)) {
    return *several;
  }
  return {};
}

// ---- kthvalue ---------------------------------------------------------------

int parse_k(nb::handle k) {
  auto name = nb::cast<std::string>(nb::handle(k.type()).attr("__name__"));
  bool is_bool = name == "bool" || name == "bool_";
  if (is_bool || !PyIndex_Check(k.ptr())) {
    auto text = "[kthvalue] k must be an integer, got " +
        std::string(nb::repr(k).c_str()) + " of type " + name + ".";
    throw nb::type_error(text.c_str());
  }
  nb::object index = nb::steal(PyNumber_Index(k.ptr()));
  if (!index.is_valid()) {
    throw nb::python_error();
  }
  int value = 0;
  if (!nb::try_cast(index, value)) {
    auto text =
        "[kthvalue] k must be between 1 and the size of the axis, got " +
        std::string(nb::str(index).c_str()) + ".";
    throw nb::value_error(text.c_str());
  }
  return value;
}

nb::object kthvalue(
    const mx::array& a,
    nb::handle k_object,
    std::optional<int> axis,
    bool keepdims,
    bool largest,
    mx::StreamOrDevice s) {
  auto k = parse_k(k_object);
  auto mode = largest ? mx::TopKMode::largest : mx::TopKMode::smallest;
  if (axis) {
    return to_python(selection::kthvalue(a, k, *axis, keepdims, mode, s));
  }
  auto found = selection::kthvalue(mx::flatten(a, s), k, 0, false, mode, s);
  if (keepdims) {
    auto shape = mx::Shape(a.ndim(), 1);
    found.values = mx::reshape(found.values, shape, s);
    found.indices = mx::reshape(found.indices, shape, s);
  }
  return to_python(found);
}

constexpr const char* kthvalue_doc = R"pbdoc(
        The ``k``-th smallest or largest element along an axis, and its index.

        It is the element at place ``k - 1`` of a stable sort in that direction.
        NaN counts as greatest, and ``-0.0`` equals ``0.0``. The gradient of the
        value goes to exactly this element. The index has no gradient.

        Args:
            a (array): Input array.
            k (int): Which element to find, from ``1`` to the size of the axis.
            axis (int or None, optional): The axis to search. ``None`` flattens
              the array first. Default: ``-1``.
            keepdims (bool, optional): Whether the axis stays, with size one.
              Default: ``False``.
            largest (bool, optional): Whether to count from the largest element.
              Default: ``False``.

        Returns:
            TopKResult: The pair ``(values, indices)``. Both have the shape of
            ``a`` without the axis, and ``indices`` has type ``uint32``.

        Raises:
            ValueError: If ``k`` is less than 1 or exceeds the size of the axis.
            TypeError: If ``k`` is not an integer.
            IndexError: If there is no such axis.

        Example:
            >>> a = mx.array([4.0, 1.0, 3.0, 1.0])
            >>> mx.kthvalue(a, 2).indices
            array(3, dtype=uint32)
      )pbdoc";

// ---- quantile ---------------------------------------------------------------

// Appends the numbers of nested lists or tuples. Sets ``shape``, which must be
// the same for all lists of one depth.
void read_numbers(
    nb::handle q,
    size_t depth,
    mx::Shape& shape,
    std::vector<double>& numbers) {
  if (nb::isinstance<nb::list>(q) || nb::isinstance<nb::tuple>(q)) {
    int size = nb::len(q);
    bool is_new = depth == shape.size() && numbers.empty();
    if (is_new) {
      shape.push_back(size);
    }
    if (depth >= shape.size() || shape[depth] != size) {
      throw nb::value_error("[quantile] the lists in q differ in length.");
    }
    for (nb::handle part : q) {
      read_numbers(part, depth + 1, shape, numbers);
    }
    return;
  }
  if (depth != shape.size()) {
    throw nb::value_error("[quantile] the lists in q differ in depth.");
  }
  double number = 0;
  if (!nb::try_cast(q, number)) {
    auto text =
        "[quantile] q must be a number, an array, or lists of numbers, "
        "got " +
        std::string(nb::repr(q).c_str()) + ".";
    throw nb::type_error(text.c_str());
  }
  numbers.push_back(number);
}

mx::array parse_q(nb::handle q) {
  if (nb::isinstance<mx::array>(q)) {
    return nb::cast<mx::array>(q);
  }
  // NumPy's arrays and numbers become lists and numbers of Python.
  nb::object plain =
      nb::hasattr(q, "tolist") ? q.attr("tolist")() : nb::borrow(q);
  mx::Shape shape;
  std::vector<double> numbers;
  read_numbers(plain, 0, shape, numbers);
  return mx::array(numbers.begin(), shape, mx::float64);
}

mx::array quantile(
    const mx::array& a,
    nb::handle q,
    const Axes& axis,
    bool keepdims,
    const std::string& method,
    mx::StreamOrDevice s) {
  return selection::quantile(
      a,
      parse_q(q),
      axes_from(axis),
      keepdims,
      selection::quantile_method(method),
      s);
}

constexpr const char* quantile_doc = R"pbdoc(
        The quantiles of the elements along one or more axes.

        Has the methods of :func:`numpy.quantile`, which Hyndman and Fan, Sample
        quantiles in statistical packages, 1996, define. Elements are selected,
        not sorted. If an element is NaN, so is the quantile. The gradient goes
        to the one or two elements that the quantile was computed from.

        Args:
            a (array): Input array, of any type but complex numbers. Integers
              give a result of type ``float32``.
            q (float, list or array): The probabilities, from ``0`` to ``1``.
              Values outside are an error, if they are known when the function
              is called, and give NaN if not.
            axis (int or tuple of int, optional): The axes to reduce. ``None``
              reduces all. Default: ``None``.
            keepdims (bool, optional): Whether the axes stay, with size one.
              Default: ``False``.
            method (str, optional): ``"linear"``, ``"lower"``, ``"higher"``,
              ``"nearest"``, ``"midpoint"``, ``"inverted_cdf"``,
              ``"averaged_inverted_cdf"``, ``"closest_observation"``,
              ``"interpolated_inverted_cdf"``, ``"hazen"``, ``"weibull"``,
              ``"median_unbiased"`` or ``"normal_unbiased"``. Default:
              ``"linear"``.

        Returns:
            array: The quantiles. The axes of ``q`` come first, then those of
            ``a`` that are not reduced.

        Raises:
            ValueError: If ``q`` is known and not between 0 and 1, if there is
              no such method, if an axis is given twice or has no elements, or
              if ``a`` is complex.
            TypeError: If ``q`` has something that is not a number.
            IndexError: If there is no such axis.

        Example:
            >>> mx.quantile(mx.array([4.0, 1.0, 2.0]), 0.75)
            array(3, dtype=float32)
      )pbdoc";

constexpr const char* median_note = R"(
        The elements are selected, not sorted. The gradient goes to the one or
        two elements in the middle.
      )";

mx::array median(
    const mx::array& a,
    const Axes& axis,
    bool keepdims,
    mx::StreamOrDevice s) {
  return selection::median(a, axes_from(axis), keepdims, s);
}

} // namespace

void init_quantile(nb::module_& core) {
  define(
      core,
      "kthvalue",
      &kthvalue,
      nb::arg(),
      "k"_a,
      "axis"_a.none() = -1,
      "keepdims"_a = false,
      nb::kw_only(),
      "largest"_a = false,
      "stream"_a = nb::none(),
      nb::sig(
          "def kthvalue(a: array, /, k: int, axis: None | int = -1, keepdims: bool = False, *, largest: bool = False, stream: StreamOrDevice = None) -> " TOPK_RESULT_TYPE),
      kthvalue_doc);
  define(
      core,
      "quantile",
      &quantile,
      nb::arg(),
      "q"_a,
      "axis"_a.none() = nb::none(),
      "keepdims"_a = false,
      "method"_a = "linear",
      nb::kw_only(),
      "stream"_a = nb::none(),
      nb::sig(
          "def quantile(a: array, /, q: float | Sequence[Any] | array, axis: None | int | Sequence[int] = None, keepdims: bool = False, method: str = \"linear\", *, stream: StreamOrDevice = None) -> array"),
      quantile_doc);
  replace_like(
      core,
      "median",
      median_note,
      &median,
      nb::arg(),
      "axis"_a.none() = nb::none(),
      "keepdims"_a = false);
}
