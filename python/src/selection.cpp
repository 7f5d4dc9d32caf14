// Copyright © 2026 the mlx-topk authors. MIT licence.

// mlx.core's selection functions: reads Python's arguments, and calls the C++
// ops of the same names.

#include "mlx/selection.h"

#include <climits>
#include <sstream>

#include "mlx/backend/common/topk_plan.h"
#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/metal/emulated.h"
#include "mlx/index_output.h"
#include "mlx/ops.h"
#include "mlx/portable_graph.h"
#include "python/src/bindings.h"

namespace topk_bindings {

namespace mx = mlx::core;
namespace selection = mlx::core::selection;
using namespace nb::literals;

namespace {

using Axis = std::optional<int>;

constexpr const char* index_note = R"(
        The indices have no gradient: see :class:`index_gradient` for what a
        transform makes of them.
      )";

constexpr const char* sort_note = R"(
        The sort is stable, and the gradient goes to where each element came
        from.
      )";

constexpr const char* partition_note = R"(
        Elements are chosen as :func:`topk` chooses them, and the gradient goes
        to where each element came from.
      )";

// PyNumber_Index takes Python's bool for an int, and with older versions of
// NumPy that one's bool too.
bool is_bool(nb::handle k) {
  auto name = nb::cast<std::string>(nb::handle(k.type()).attr("__name__"));
  return name == "bool" || name == "bool_";
}

int parse_k(const char* op, nb::handle k) {
  std::ostringstream msg;
  if (!PyLong_CheckExact(k.ptr()) && (!PyIndex_Check(k.ptr()) || is_bool(k))) {
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
    msg << "[" << op << "] k must be between 0 and the size of the axis, got "
        << nb::str(index).c_str() << ".";
    throw nb::value_error(msg.str().c_str());
  }
  return static_cast<int>(value);
}

selection::TopKMode parse_mode(const std::string& mode) {
  if (mode == "largest") {
    return selection::TopKMode::largest;
  }
  if (mode == "smallest") {
    return selection::TopKMode::smallest;
  }
  throw nb::value_error(
      ("[top_k] mode must be 'largest' or 'smallest', got '" + mode + "'.")
          .c_str());
}

selection::TopKOrder order_from(bool sorted) {
  return sorted ? selection::TopKOrder::sorted : selection::TopKOrder::unsorted;
}

// The named tuple mlx.core.TopKResult, which lives as long as the process.
nb::handle result_type;

nb::object to_python(const selection::TopKResult& result) {
  return result_type(result.values, result.indices);
}

nb::object topk(
    const mx::array& a,
    nb::handle k_object,
    Axis axis,
    bool largest,
    bool sorted,
    bool return_indices,
    mx::StreamOrDevice s) {
  auto k = parse_k("topk", k_object);
  auto result = selection::topk(
      axis ? a : mx::flatten(a, s),
      k,
      axis.value_or(0),
      largest ? selection::TopKMode::largest : selection::TopKMode::smallest,
      order_from(sorted),
      s);
  return return_indices ? to_python(result) : nb::cast(result.values);
}

nb::object top_k(
    const mx::array& x,
    nb::handle k,
    int axis,
    const std::string& mode,
    bool sorted,
    mx::StreamOrDevice s) {
  return to_python(
      selection::top_k(
          x,
          parse_k("top_k", k),
          axis,
          parse_mode(mode),
          order_from(sorted),
          s));
}

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

void init_topk(nb::module_& core) {
  replace(
      core,
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
          "def topk(a: array, /, k: int, axis: None | int = -1, *, largest: bool = True, sorted: bool = False, return_indices: bool = False, stream: StreamOrDevice = None) -> array | TopKResult"),
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
            sorted (bool, optional): Whether the best comes first. The order is
              unspecified otherwise. Default: ``False``.
            return_indices (bool, optional): Whether to return the indices too.
              Default: ``False``.

        Returns:
            array or TopKResult: The values, with the shape of ``a`` but for
            ``k`` elements along ``axis``; or the named tuple ``(values,
            indices)``, where ``indices`` has type ``uint32`` and ``values ==
            mx.take_along_axis(a, indices, axis)``.

        Raises:
            ValueError: If ``k`` is negative or exceeds the size of the axis.
            TypeError: If ``k`` is not an integer.
            IndexError: If there is no such axis.

        Example:
            >>> a = mx.array([1.0, 3.0, 2.0, 3.0])
            >>> values, indices = mx.topk(a, 2, sorted=True, return_indices=True)
            >>> indices
            array([1, 3], dtype=uint32)
      )pbdoc");

  replace(
      core,
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
          "def top_k(x: array, k: int, /, *, axis: int = -1, mode: Literal['largest', 'smallest'] = 'largest', sorted: bool = True, stream: StreamOrDevice = None) -> TopKResult"),
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
            sorted (bool, optional): Whether the best comes first. The order is
              unspecified otherwise. Default: ``True``.

        Returns:
            TopKResult: The named tuple ``(values, indices)``; both have the
            shape of ``x`` but for ``k`` elements along ``axis``, and
            ``indices`` has type ``uint32``.

        Raises:
            ValueError: If ``k`` is negative or exceeds the size of the axis, or
              ``mode`` is neither.
            TypeError: If ``k`` is not an integer or ``axis`` is ``None``.
            IndexError: If there is no such axis.
      )pbdoc");
}

void init_index_ops(nb::module_& core) {
  // Upstream's own words for what upstream's own op does.
  auto like = [&](const char* name,
                  const char* note,
                  auto function,
                  const auto&... arguments) {
    auto stock = original(core, name);
    stock.doc += note;
    replace(
        core,
        name,
        function,
        arguments...,
        nb::kw_only(),
        "stream"_a = nb::none(),
        nb::sig(stock.signature.c_str()),
        stock.doc.c_str());
  };
  like("argsort", index_note, &argsort, nb::arg(), "axis"_a.none() = -1);
  like("sort", sort_note, &sort, nb::arg(), "axis"_a.none() = -1);
  like(
      "partition",
      partition_note,
      &partition,
      nb::arg(),
      "kth"_a,
      "axis"_a.none() = -1);
  like(
      "argpartition",
      index_note,
      &argpartition,
      nb::arg(),
      "kth"_a,
      "axis"_a.none() = -1);
  like(
      "searchsorted",
      index_note,
      &selection::searchsorted,
      nb::arg(),
      nb::arg(),
      "side"_a = "left");
  auto reduction = [&](const char* name, auto function) {
    like(
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
  };
  reduction("argmax", &argmax);
  reduction("argmin", &argmin);
}

void init_threads(nb::module_& core) {
  // A bad value in the environment is refused here, not while at work.
  selection::threads();
  core.def(
      "selection_threads",
      &selection::threads,
      nb::sig("def selection_threads() -> int"),
      R"pbdoc(
        How many threads a selection on the CPU may use.

        Returns:
            int: The number that :func:`set_selection_threads` was given; before
            that ``MLX_SELECTION_THREADS`` of the environment, and without it
            the number of processors that this process may run on.
      )pbdoc");
  core.def(
      "set_selection_threads",
      &selection::set_threads,
      "threads"_a,
      nb::sig("def set_selection_threads(threads: int) -> None"),
      R"pbdoc(
        Set how many threads a selection on the CPU may use.

        Results do not depend on it. All streams share one pool of threads, and
        each stream that is at work counts as one of them.

        Args:
            threads (int): From ``1``, which uses no thread but the stream's
                own, to ``1024``.

        Raises:
            ValueError: If ``threads`` is not in that range.
      )pbdoc");
}

// For the tests of the Metal kernels, and for mlx/selftest.py.
void init_metal(nb::module_& m) {
  // A bad value in the environment is refused here, not while at work.
  mx::metal::tuning();
  using mx::metal::TopKKernel;
  nb::enum_<TopKKernel>(m, "MetalKernel")
      .value("in_registers", TopKKernel::in_registers)
      .value("resident", TopKKernel::resident)
      .value("split", TopKKernel::split);
  m.def("force_metal_kernel", &mx::metal::force_topk_kernel, "kernel"_a.none());
  m.def(
      "emulate_metal",
      &mx::metal::emulate_metal,
      "path"_a,
      "seed"_a = 0,
      "missing"_a = "");
  m.def("take_emulated_errors", &mx::metal::take_emulated_errors);
  m.def("take_emulated_counts", [] {
    auto counts = mx::metal::take_emulated_counts();
    nb::dict result;
    result["bytes_read"] = counts.bytes_read;
    result["bytes_written"] = counts.bytes_written;
    result["barriers"] = counts.barriers;
    result["collectives"] = counts.collectives;
    result["threadgroups"] = counts.threadgroups;
    result["launches"] = counts.launches;
    return result;
  });
  m.def("metal_sources", [](const mx::array& a, int k) {
    auto plan = mx::metal::plan_topk(
        a,
        a.ndim() - 1,
        k,
        selection::TopKMode::largest,
        selection::TopKOrder::sorted);
    nb::dict result;
    for (auto& dispatch : plan->dispatches) {
      result[dispatch.kernel.c_str()] = mx::metal::source_of(dispatch);
    }
    return result;
  });
  m.def("metal_kernel_report", [] {
    auto report = mx::metal::kernel_report();
    return std::make_pair(report.launches, report.broken);
  });
}

} // namespace

void init_selection(nb::module_& core, nb::module_& m) {
  init_topk(core);
  init_index_ops(core);
  init_threads(core);

  // For mlx/_overlay.py.
  m.def(
      "set_result_type", [](nb::handle type) { result_type = type.inc_ref(); });
  m.def(
      "index_op",
      [](const std::string& op, nb::callable call, const mx::array& a) {
        auto indices = [&](const mx::array& in) {
          return nb::cast<mx::array>(call(in));
        };
        return mx::index_op(op.c_str(), {}, indices, a);
      });
  m.def("is_tracer", [](const mx::array& a) { return a.is_tracer(); });
  m.def("constant", [](const mx::array& a) { return mx::constant(a); });
  m.def("index_output", [](const mx::array& a, const std::string& op) {
    return mx::index_output(a, op.c_str());
  });
  m.def("use_kernels", &mx::cpu::use_selection_kernels);
  m.def("kernels", [] {
    std::vector<std::string> names;
    for (auto kernels : mx::cpu::available_selection_kernels()) {
      names.push_back(kernels->name);
    }
    return names;
  });
  nb::enum_<mx::TopKAlgorithm>(m, "Algorithm")
      .value("whole_row", mx::TopKAlgorithm::whole_row)
      .value("lanes", mx::TopKAlgorithm::lanes)
      .value("short_row", mx::TopKAlgorithm::short_row)
      .value("bounded", mx::TopKAlgorithm::bounded)
      .value("select", mx::TopKAlgorithm::select);
  m.def("force_algorithm", &mx::force_topk_algorithm, "algorithm"_a.none());
  init_metal(m);
  m.def("take_error_ops", &mx::take_error_ops);
  m.def("index_gradient_error", &mx::index_gradient_error);
  m.def("depends_on", &mx::depends_on);
  m.def("index_gradient_in_force", []() {
    return mx::to_string(mx::index_gradient());
  });
  using PortableGraph =
      ScopeContext<mx::PortableGraphScope, mx::PortableShapes>;
  nb::class_<PortableGraph>(m, "portable_graph")
      .def(
          "__init__",
          [](PortableGraph* self, bool shapeless) {
            new (self) PortableGraph(
                shapeless ? mx::PortableShapes::any
                          : mx::PortableShapes::fixed);
          },
          "shapeless"_a = false)
      .def("__enter__", &PortableGraph::enter)
      .def("__exit__", &PortableGraph::exit);
}

} // namespace topk_bindings
