// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "tests/hooks/route.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/ops.h"
#include "overlay/backend/gpu/kernel_source.h"
#include "overlay/backend/gpu/route.h"
#include "overlay/route.h"
#include "overlay/route_gradient.h"
#include "overlay/stock_eval.h"
#include "tests/hooks/hooks.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace hooks {

namespace {

mx::RouteSettings settings_from(int k, const nb::dict& options) {
  const std::map<std::string, mx::RouteScore> scores{
      {"softmax", mx::RouteScore::softmax},
      {"sigmoid", mx::RouteScore::sigmoid},
      {"sqrtsoftplus", mx::RouteScore::sqrtsoftplus},
      {"logits", mx::RouteScore::logits}};
  mx::RouteSettings settings;
  settings.k = k;
  auto read = [&]<typename T>(const char* name, T& field) {
    if (options.contains(name)) {
      field = nb::cast<T>(options[name]);
    }
  };
  std::string score = "softmax";
  std::string group_score = "top2";
  std::string ties = "lower";
  std::string group_ties = "lower";
  read("score", score);
  read("group_score", group_score);
  read("ties", ties);
  read("group_ties", group_ties);
  settings.score = scores.at(score);
  settings.group_score =
      group_score == "max" ? mx::GroupScore::max : mx::GroupScore::top2;
  auto ties_from = [](const std::string& name) {
    return name == "higher" ? mx::RouteTies::higher : mx::RouteTies::lower;
  };
  settings.ties = ties_from(ties);
  settings.group_ties = ties_from(group_ties);
  read("groups", settings.groups);
  read("topk_groups", settings.topk_groups);
  read("excluded_score", settings.excluded_score);
  read("renormalize", settings.renormalize);
  read("eps", settings.eps);
  read("scale", settings.scale);
  read("sorted", settings.sorted);
  read("masks_infinity", settings.masks_infinity);
  return settings;
}

class EmulatedRoute : public mx::Route {
 public:
  using mx::Route::Route;

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    auto& encoder = mx::cpu::get_command_encoder(stream());
    for (auto& output : outputs) {
      output.set_data(mx::allocator::malloc(output.nbytes()));
    }
    encoder.dispatch([in = inputs, out = outputs, route = state()]() mutable {
      auto& [settings, keeps_scores] = route;
      auto rows = mx::plan_rows(
          in[0].shape(), in[0].strides(), in[0].ndim() - 1, settings.k);
      bool biased = in.size() > 1;
      emulate(
          mx::cpu::RouteJob{
              &settings,
              &rows,
              in[0].dtype(),
              in[0].data<void>(),
              biased ? in[1].data<float>() : nullptr,
              biased ? in[1].strides(0) : 0,
              out[0].data<void>(),
              out[1].data<uint32_t>(),
              keeps_scores ? out[2].data<float>() : nullptr});
    });
  }
};

class StockRoute : public mx::Route {
 public:
  using mx::Route::Route;

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    mx::eval_by_stock(*this, inputs, outputs);
  }
};

/** Returns the rows of a row-contiguous array along its last axis. */
mx::cpu::RowsOf rows_of(const mx::array& a, int k) {
  return {
      a.data<void>(), mx::plan_rows(a.shape(), a.strides(), a.ndim() - 1, k)};
}

class EmulatedRouteGradient : public mx::RouteGradient {
 public:
  using mx::RouteGradient::RouteGradient;

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    auto& encoder = mx::cpu::get_command_encoder(stream());
    outputs[0].set_data(mx::allocator::malloc(outputs[0].nbytes()));
    encoder.dispatch(
        [in = inputs, out = outputs[0], settings = state()]() mutable {
          int k = settings.k;
          mx::cpu::RouteGradientJob job{
              &settings,
              out.dtype(),
              rows_of(in[0], k),
              rows_of(in[1], k),
              rows_of(in[2], k),
              rows_of(in[3], k),
              {},
              out.data<void>()};
          if (in.size() > 4) {
            job.of_scores = rows_of(in[4], k);
          }
          emulate(job);
        });
  }
};

class StockRouteGradient : public mx::RouteGradient {
 public:
  using mx::RouteGradient::RouteGradient;

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    mx::eval_by_stock(*this, inputs, outputs[0]);
  }
};

/** Returns the gradient of a route by a node of the given class. */
template <typename Node>
mx::array gradient_by(
    const mx::array& logits,
    const mx::array& indices,
    const mx::array& scores,
    const mx::array& of_weights,
    const std::optional<mx::array>& of_scores,
    const nb::kwargs& options) {
  auto stream = mx::default_stream(mx::Device::cpu);
  std::vector<mx::array> inputs{logits, indices, scores, of_weights};
  if (of_scores) {
    inputs.push_back(*of_scores);
  }
  for (auto& input : inputs) {
    input = mx::contiguous(input, false, stream);
  }
  auto settings = settings_from(indices.shape(-1), options);
  return mx::array(
      logits.shape(),
      logits.dtype(),
      std::make_shared<Node>(stream, settings),
      std::move(inputs));
}

template <typename Node>
void define_gradient(nb::module_& m, const char* name) {
  m.def(
      name,
      &gradient_by<Node>,
      "logits"_a,
      "indices"_a,
      "scores"_a,
      "of_weights"_a,
      nb::kw_only(),
      "of_scores"_a = nb::none(),
      "options"_a);
}

/** Returns a route by a node of the given class. */
template <typename Node>
nb::tuple route_by(
    const mx::array& logits,
    int k,
    const std::optional<mx::array>& bias,
    bool return_scores,
    const nb::kwargs& options) {
  auto settings = settings_from(k, options);
  auto stream = mx::default_stream(mx::Device::cpu);
  Node node(stream, settings, return_scores);
  std::vector<mx::array> inputs{logits};
  if (bias) {
    inputs.push_back(*bias);
  }
  std::vector<mx::Dtype> types{logits.dtype(), mx::uint32};
  if (return_scores) {
    types.push_back(mx::float32);
  }
  auto outputs = mx::array::make_arrays(
      node.output_shapes(inputs),
      types,
      std::make_shared<Node>(stream, settings, return_scores),
      inputs);
  if (return_scores) {
    return nb::make_tuple(outputs[0], outputs[1], outputs[2]);
  }
  return nb::make_tuple(outputs[0], outputs[1]);
}

template <typename Node>
void define(nb::module_& m, const char* name) {
  m.def(
      name,
      &route_by<Node>,
      "logits"_a,
      "k"_a,
      nb::kw_only(),
      "bias"_a = nb::none(),
      "return_scores"_a = false,
      "options"_a);
}

nb::dict route_sources(
    const mx::array& logits,
    int k,
    bool biased,
    bool return_scores,
    const nb::kwargs& options) {
  auto rows =
      mx::plan_rows(logits.shape(), logits.strides(), logits.ndim() - 1, k);
  auto plan = mx::gpu::plan_route(
      rows,
      logits.dtype(),
      settings_from(k, options),
      biased ? std::optional<int64_t>(1) : std::nullopt,
      return_scores,
      metal_tuning());
  nb::dict result;
  if (plan) {
    for (auto& launch : plan->launches) {
      result[launch.kernel.c_str()] = mx::gpu::source_of(launch);
    }
  }
  return result;
}

} // namespace

void init_route(nb::module_& m) {
  define<EmulatedRoute>(m, "emulate_route");
  define<StockRoute>(m, "route_by_stock");
  define_gradient<EmulatedRouteGradient>(m, "emulate_route_gradient");
  define_gradient<StockRouteGradient>(m, "route_gradient_by_stock");
  m.def(
      "has_route_gradient",
      [](const mx::array& logits, int k, const nb::kwargs& options) {
        return mx::gpu::can_route_gradient(
            logits.dtype(), settings_from(k, options), metal_tuning());
      },
      "logits"_a,
      "k"_a,
      "options"_a);
  m.def(
      "route_sources",
      &route_sources,
      "logits"_a,
      "k"_a,
      nb::kw_only(),
      "biased"_a = false,
      "return_scores"_a = false,
      "options"_a);
}

} // namespace hooks
