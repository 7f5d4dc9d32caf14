// Copyright © 2026 the mlx-topk authors. MIT licence.

// Defines the Python module _selection_testing, which is not in the wheel.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>

#include "mlx/array.h"
#include "mlx/backend/gpu/plan_launches.h"
#include "overlay/backend/cuda/compile.h"
#include "overlay/backend/gpu/kernel_record.h"
#include "overlay/backend/gpu/kernel_source.h"
#include "tests/hooks/hooks.h"
#include "tests/hooks/route.h"
#include "tests/hooks/stock.h"

namespace nb = nanobind;
namespace mx = mlx::core;
using namespace nb::literals;

namespace {

void init_cpu(nb::module_& m) {
  using mx::TopKAlgorithm;
  nb::enum_<TopKAlgorithm>(m, "Algorithm")
      .value("whole_row", TopKAlgorithm::whole_row)
      .value("lanes", TopKAlgorithm::lanes)
      .value("short_row", TopKAlgorithm::short_row)
      .value("bounded", TopKAlgorithm::bounded)
      .value("select", TopKAlgorithm::select);
  m.def("force_algorithm", &hooks::force_algorithm, "algorithm"_a.none());
  m.def("kernels", &hooks::kernels);
  m.def("use_kernels", &hooks::use_kernels);
  m.def("topk_by_stock", &hooks::topk_by_stock);
  m.def("partition_by_stock", &hooks::partition_by_stock);
}

nb::dict metal_sources(const mx::array& a, int k) {
  auto plan = mx::gpu::plan_topk_launches(
      mx::plan_rows(a.shape(), a.strides(), a.ndim() - 1, k),
      a.offset() % 16 == 0,
      a.dtype(),
      k,
      mx::TopKMode::largest,
      mx::TopKOrder::sorted,
      true,
      hooks::metal_tuning());
  if (!plan) {
    throw std::invalid_argument(
        "[metal_sources] No kernel selects " + std::to_string(k) +
        " elements of this array.");
  }
  nb::dict result;
  for (auto& launch : plan->launches) {
    result[launch.kernel.c_str()] = mx::gpu::source_of(launch);
  }
  return result;
}

nb::dict take_emulated_counts() {
  auto counts = hooks::take_emulated_counts();
  nb::dict result;
  result["bytes_read"] = counts.bytes_read;
  result["bytes_written"] = counts.bytes_written;
  result["barriers"] = counts.barriers;
  result["collectives"] = counts.collectives;
  result["threadgroups"] = counts.threadgroups;
  result["launches"] = counts.launches;
  return result;
}

void init_metal(nb::module_& m) {
  using mx::gpu::TopKKernel;
  nb::enum_<TopKKernel>(m, "MetalKernel")
      .value("in_registers", TopKKernel::in_registers)
      .value("bound", TopKKernel::bound)
      .value("bound_split", TopKKernel::bound_split)
      .value("resident", TopKKernel::resident)
      .value("split", TopKKernel::split);
  m.def("force_metal_kernel", &hooks::force_metal_kernel, "kernel"_a.none());
  m.def(
      "emulate_metal",
      &hooks::emulate_metal,
      "path"_a,
      "seed"_a = 0,
      "missing"_a = "");
  m.def("take_emulated_errors", &hooks::take_emulated_errors);
  m.def("take_emulated_counts", &take_emulated_counts);
  m.def("metal_sources", &metal_sources);
  m.def("metal_kernel_report", [] {
    auto report = mx::gpu::kernel_report();
    return std::make_pair(report.launches, report.broken);
  });
}

// Returns the source that the CUDA back end compiles for one kernel.
std::string cuda_source(
    const std::string& kernel,
    const std::string& instantiation) {
  mx::gpu::Launch launch{};
  launch.kernel = kernel;
  launch.instantiation = instantiation;
  return mx::cuda::source_of(launch);
}

// Compiles one kernel as the CUDA back end does, with the NVRTC that the
// process has loaded. Returns the machine code and the compiler's warnings.
nb::tuple compile_for_cuda(
    const std::string& kernel,
    const std::string& instantiation,
    const std::string& architecture) {
  std::string warnings;
  auto code = mx::cuda::compile(
      cuda_source(kernel, instantiation), kernel, architecture, &warnings);
  return nb::make_tuple(nb::bytes(code.data(), code.size()), warnings);
}

void init_cuda(nb::module_& m) {
  m.def("compile_for_cuda", &compile_for_cuda);
  m.def("cuda_source", &cuda_source);
  m.def("cuda_compiler_version", &mx::cuda::compiler_version);
}

} // namespace

NB_MODULE(_selection_testing, m) {
  m.doc() = "What only the tests of mlx's selections need.";
  init_cpu(m);
  init_metal(m);
  init_cuda(m);
  hooks::init_route(m);
}
