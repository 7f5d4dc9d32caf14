// Copyright © 2026 the mlx-topk authors. MIT licence.

// topk and top_k in Python: reads their arguments and calls the C++ ops.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>

#include <climits>
#include <optional>
#include <sstream>
#include <string>

#include "mlx/ops.h"
#include "mlx/topk_ops.h"
#include "python/src/topk_bindings.h"

namespace mx = mlx::core;
namespace nb = nanobind;
using namespace nb::literals;
using namespace topk_bindings;

namespace {

// PyNumber_Index accepts Python's bool, and that of older versions of NumPy.
bool is_bool(nb::handle k) {
  auto name = nb::cast<std::string>(nb::handle(k.type()).attr("__name__"));
  return name == "bool" || name == "bool_";
}

int parse_k(const char* op, nb::handle k) {
  if (!PyLong_CheckExact(k.ptr()) && (!PyIndex_Check(k.ptr()) || is_bool(k))) {
    std::ostringstream msg;
    msg << "[" << op << "] k must be an integer, got " << nb::repr(k).c_str()
        << " of type " << nb::type_name(k.type()).c_str() << ".";
    throw nb::type_error(msg.str().c_str());
  }
  nb::object index = nb::steal(PyNumber_Index(k.ptr()));
  if (!index.is_valid()) {
    throw nb::python_error();
  }
  int overflow = 0;
  auto value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow || value < INT_MIN || value > INT_MAX) {
    std::ostringstream msg;
    msg << "[" << op << "] k must be between 0 and the size of the axis, got "
        << nb::str(index).c_str() << ".";
    throw nb::value_error(msg.str().c_str());
  }
  return static_cast<int>(value);
}

mx::TopKMode parse_mode(const std::string& mode) {
  if (mode == "largest") {
    return mx::TopKMode::largest;
  }
  if (mode == "smallest") {
    return mx::TopKMode::smallest;
  }
  throw nb::value_error(
      ("[top_k] mode must be 'largest' or 'smallest', got '" + mode + "'.")
          .c_str());
}

mx::TopKOrder order_from(bool sorted) {
  return sorted ? mx::TopKOrder::sorted : mx::TopKOrder::unsorted;
}

nb::object topk(
    const mx::array& a,
    nb::handle k_object,
    std::optional<int> axis,
    bool largest,
    bool sorted,
    bool return_indices,
    mx::StreamOrDevice s) {
  auto k = parse_k("topk", k_object);
  auto in = axis ? a : mx::flatten(a, s);
  auto mode = largest ? mx::TopKMode::largest : mx::TopKMode::smallest;
  auto order = order_from(sorted);
  if (return_indices) {
    return to_python(mx::topk(in, k, axis.value_or(0), mode, order, s));
  }
  return nb::cast(mx::topk_values(in, k, axis.value_or(0), mode, order, s));
}

nb::object top_k(
    const mx::array& x,
    nb::handle k,
    int axis,
    const std::string& mode,
    bool sorted,
    mx::StreamOrDevice s) {
  return to_python(
      mx::top_k(
          x,
          parse_k("top_k", k),
          axis,
          parse_mode(mode),
          order_from(sorted),
          s));
}

void define_topk(nb::module_& m) {
  define(
      m,
      "topk",
      &topk,
      nb::arg(),
      "k"_a,
      "axis"_a.none() = -1,
      nb::kw_only(),
      "largest"_a = true,
      "sorted"_a = false,
      "return_indices"_a = false,
      "stream"_a = nb::none(),
      nb::sig(
          "def topk(a: array, /, k: int, axis: None | int = -1, *, largest: bool = True, sorted: bool = False, return_indices: bool = False, stream: StreamOrDevice = None) -> array | " TOPK_RESULT_TYPE),
      R"pbdoc(
        The ``k`` largest or smallest elements along an axis.

        The order is total: by value, and among equal values the lower index
        first. NaN counts as greatest, and ``-0.0`` equals ``0.0``. The gradient
        goes to exactly the elements that were chosen.

        Args:
            a (array): Input array.
            k (int): How many elements to choose, from ``0`` to the size of the
              axis.
            axis (int or None, optional): The axis to choose along. ``None``
              flattens the array first. Default: ``-1``.
            largest (bool, optional): Whether to choose the largest elements or
              the smallest. Default: ``True``.
            sorted (bool, optional): Whether the best comes first. Otherwise the
              worst of the ``k`` comes first and the best last. Default:
              ``False``.
            return_indices (bool, optional): Whether to return the indices too.
              Default: ``False``.

        Returns:
            array or )pbdoc" TOPK_RESULT_TYPE
      R"pbdoc(: The values, with the shape of ``a``
            but for ``k`` elements along ``axis``; or the pair ``(values,
            indices)``, where ``indices`` has type ``uint32`` and ``values ==
            mx.take_along_axis(a, indices, axis)``.

        Raises:
            ValueError: If ``k`` is negative or exceeds the size of the axis.
            TypeError: If ``k`` is not an integer.
            )pbdoc" TOPK_AXIS_ERROR R"pbdoc(: If there is no such axis.

        Example:
            >>> a = mx.array([1.0, 3.0, 2.0, 3.0])
            >>> values, indices = mx.topk(a, 2, sorted=True, return_indices=True)
            >>> indices
            array([1, 3], dtype=uint32)
      )pbdoc");
}

void define_top_k(nb::module_& m) {
  define(
      m,
      "top_k",
      &top_k,
      nb::arg(),
      nb::arg(),
      nb::kw_only(),
      "axis"_a = -1,
      "mode"_a = "largest",
      "sorted"_a = true,
      "stream"_a = nb::none(),
      nb::sig(
          "def top_k(x: array, k: int, /, *, axis: int = -1, mode: Literal['largest', 'smallest'] = 'largest', sorted: bool = True, stream: StreamOrDevice = None) -> " TOPK_RESULT_TYPE),
      R"pbdoc(
        The ``k`` largest or smallest elements along an axis and their indices.

        Has the signature of the Python array API standard's ``top_k``. Which
        elements are chosen, in what order, and their gradients are as for
        :func:`topk`.

        Args:
            x (array): Input array.
            k (int): How many elements to choose, from ``0`` to the size of the
              axis.
            axis (int, optional): The axis to choose along. Default: ``-1``.
            mode (str, optional): ``"largest"`` or ``"smallest"``. Default:
              ``"largest"``.
            sorted (bool, optional): Whether the best comes first. Otherwise the
              worst of the ``k`` comes first and the best last. Default:
              ``True``.

        Returns:
            )pbdoc" TOPK_RESULT_TYPE R"pbdoc(: The pair ``(values, indices)``.
            Both have the shape of ``x`` but for ``k`` elements along ``axis``,
            and ``indices`` has type ``uint32``.

        Raises:
            ValueError: If ``k`` is negative or exceeds the size of the axis, or
              ``mode`` is neither ``"largest"`` nor ``"smallest"``.
            TypeError: If ``k`` is not an integer or ``axis`` is ``None``.
            )pbdoc" TOPK_AXIS_ERROR R"pbdoc(: If there is no such axis.
      )pbdoc");
}

} // namespace

void init_topk(nb::module_& m) {
  define_topk(m);
  define_top_k(m);
}
