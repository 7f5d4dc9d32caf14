// Copyright © 2026 the mlx-topk authors. MIT licence.

// Functions that the Python code of mlx/_overlay and mlx.selftest calls.

#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <utility>
#include <vector>

#include "mlx/backend/cpu/selection/kernels.h"
#include "mlx/backend/gpu/launch_tuning.h"
#include "mlx/index_gradient.h"
#include "overlay/backend/gpu/kernel_record.h"
#include "overlay/index_output.h"
#include "overlay/portable_graph.h"
#include "overlay/python/replace.h"
#include "overlay/python/scope_context.h"
#include "overlay/sorted_search.h"
#include "python/src/topk_bindings.h"

namespace mx = mlx::core;
namespace nb = nanobind;
using namespace nb::literals;

namespace {

using PortableGraph = ScopeContext<mx::PortableGraphScope, mx::PortableShapes>;

// What this thread is tracing.
struct Tracing {
  // How many calls of grad, vjp, ... are running, each inside the one before.
  int derivatives = 0;
  int vmaps = 0;
  // How many of the derivatives are inside a vmap.
  int derivatives_in_vmap = 0;
};

Tracing& tracing() {
  static thread_local Tracing tracing_;
  return tracing_;
}

void init_tracing(nb::module_& m) {
  m.def("enter_transform", []() {
    auto& t = tracing();
    ++t.derivatives;
    t.derivatives_in_vmap += t.vmaps > 0;
  });
  // The recorded names of ops are forgotten when the outermost transform ends.
  m.def("leave_transform", []() {
    auto& t = tracing();
    t.derivatives_in_vmap -= t.vmaps > 0;
    if (--t.derivatives == 0 && mx::has_error_ops()) {
      mx::take_error_ops();
    }
  });
  m.def("enter_vmap", []() { ++tracing().vmaps; });
  m.def("leave_vmap", []() { --tracing().vmaps; });
  m.def("under_vmap", []() { return tracing().vmaps > 0; });
  m.def("differentiating_under_vmap", []() {
    return tracing().derivatives_in_vmap > 0;
  });
}

// Returns whether lists, tuples and dicts have an array of integers that a
// transform traces.
bool has_traced_integer(nb::handle tree) {
  if (nb::isinstance<mx::array>(tree)) {
    auto& a = nb::cast<const mx::array&>(tree);
    return mx::issubdtype(a.dtype(), mx::integer) && a.is_tracer();
  }
  if (nb::isinstance<nb::dict>(tree)) {
    return has_traced_integer(nb::borrow<nb::dict>(tree).values());
  }
  if (nb::isinstance<nb::list>(tree) || nb::isinstance<nb::tuple>(tree)) {
    for (nb::handle branch : tree) {
      if (has_traced_integer(branch)) {
        return true;
      }
    }
  }
  return false;
}

void init_index_outputs(nb::module_& m) {
  m.def(
      "index_op",
      [](const std::string& op, nb::callable call, const mx::array& a) {
        auto indices = [&](const mx::array& in) {
          return nb::cast<mx::array>(call(in));
        };
        return mx::index_op(op.c_str(), {}, indices, a);
      });
  m.def("has_traced_integer", &has_traced_integer);
  m.def("is_tracer", [](const mx::array& a) { return a.is_tracer(); });
  m.def("constant", [](const mx::array& a) { return mx::constant(a); });
  m.def("index_output", [](const mx::array& a, const std::string& op) {
    return mx::index_output(a, op.c_str());
  });
  m.def("take_error_ops", &mx::take_error_ops);
  m.def("index_gradient_error", &mx::index_gradient_error);
  m.def("depends_on", &mx::depends_on);
  m.def("has_error_ops", &mx::has_error_ops);
  m.def("hide_stopped_indices", &mx::hide_stopped_indices);
  // A copy of an array refers to the same node of the graph.
  m.def("show_indices", [](std::vector<mx::array> hidden) {
    mx::show_indices(hidden);
  });
  m.def("sorted_search", [](const mx::array& a, const mx::array& wanted) {
    return mx::sorted_search(a, wanted, mx::SearchSide::right, {});
  });
  m.def("index_gradient_in_force", []() {
    return mx::to_string(mx::index_gradient());
  });
}

void init_portable_graph(nb::module_& m) {
  nb::class_<PortableGraph>(m, "portable_graph")
      .def(
          "__init__",
          [](PortableGraph* self, bool shapeless) {
            auto shapes =
                shapeless ? mx::PortableShapes::any : mx::PortableShapes::fixed;
            new (self) PortableGraph(shapes, "portable_graph");
          },
          "shapeless"_a = false)
      .def("__enter__", &PortableGraph::enter)
      .def("__exit__", &PortableGraph::exit);
}

void init_kernels(nb::module_& m) {
  // Reads MLX_TOPK_CPU and MLX_TOPK_GPU, so that a bad value is an error at
  // import.
  mx::cpu::available_selection_kernels();
  mx::gpu::launch_tuning();
  m.def(
      "set_gpu_tuning",
      [](const std::string& text) { mx::gpu::set_launch_tuning(text); },
      "text"_a);
  m.def("metal_kernel_report", [] {
    auto report = mx::gpu::kernel_report();
    return std::make_pair(report.launches, report.broken);
  });
  m.def("kernels", [] {
    std::vector<std::string> names;
    for (auto kernels : mx::cpu::available_selection_kernels()) {
      names.push_back(kernels->name);
    }
    return names;
  });
}

} // namespace

void init_transforms(nb::module_& m) {
  m.def("set_result_type", &topk_bindings::set_result_type);
  init_tracing(m);
  init_index_outputs(m);
  init_portable_graph(m);
  init_kernels(m);
}
