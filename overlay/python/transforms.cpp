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

void init_index_outputs(nb::module_& m) {
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
  // Reads MLX_TOPK_GPU, so that a bad value is an error at import.
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
  init_index_outputs(m);
  init_portable_graph(m);
  init_kernels(m);
}
