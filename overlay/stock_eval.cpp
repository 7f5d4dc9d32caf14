// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/stock_eval.h"

#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/gpu/device.h"
#include "mlx/ops.h"
#include "mlx/topk_primitive.h"
#include "mlx/topk_seam.h"
#include "overlay/lex_sort.h"
#include "overlay/route.h"
#include "overlay/route_derivative.h"
#include "overlay/route_gradient.h"
#include "overlay/sorted_search.h"
#include "overlay/stable_sort.h"
#include "overlay/stock_graph.h"

namespace mlx::core {

namespace {

/** Keeps arrays alive until the device has done all work recorded so far. */
void keep(const std::vector<array>& temporaries, const Stream& s) {
  if (s.device == Device::cpu) {
    cpu::get_command_encoder(s).add_temporaries(temporaries);
  } else {
    gpu::add_temporaries(temporaries, s);
  }
}

/** Evaluates `a` after whatever it depends on, one primitive at a time. */
void eval_now(array a, const Stream& s, std::vector<array>& temporaries) {
  if (a.status() != array::Status::unscheduled || !a.has_primitive()) {
    return;
  }
  for (auto& input : a.inputs()) {
    eval_now(input, s, temporaries);
  }
  auto outputs = a.outputs();
  if (s.device == Device::cpu) {
    a.primitive().eval_cpu(a.inputs(), outputs);
  } else {
    a.primitive().eval_gpu(a.inputs(), outputs);
  }
  for (auto& output : outputs) {
    output.set_status(array::Status::evaluated);
    temporaries.push_back(output);
  }
}

void eval_into(array& out, const array& result, const Stream& s) {
  std::vector<array> temporaries;
  eval_now(result, s, temporaries);
  out.copy_shared_buffer(result);
  keep(temporaries, s);
}

} // namespace

void eval_by_stock(
    TopK& topk,
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto [k, axis, mode, order] = topk.state();
  auto& s = topk.stream();
  auto indices = stock_topk_indices(inputs[0], k, axis, mode, order, s);
  auto values = take_along_axis(inputs[0], indices, axis, s);
  if (outputs.size() > 1) {
    eval_into(outputs[1], indices, s);
  }
  eval_into(outputs[0], values, s);
}

// Takes the values at the indices that the gradient uses too. The values of
// stock MLX's partition could be in another order than its argpartition's.
void eval_by_stock(
    StableSort& sort,
    const std::vector<array>& inputs,
    array& out) {
  auto [kths, axis, result, direction] = sort.state();
  auto& s = sort.stream();
  auto& in = inputs[0];
  auto indices = kths.empty()
      ? stock_argsort(in, axis, direction, s)
      : stock_argpartition(in, kths, axis, direction, s);
  bool of_values = result == SortResult::values;
  eval_into(
      out, of_values ? take_along_axis(in, indices, axis, s) : indices, s);
}

void eval_by_stock(
    SortedSearch& search,
    const std::vector<array>& inputs,
    array& out) {
  auto& s = search.stream();
  auto& sequence = inputs[0];
  auto& keys = inputs[1];
  auto side = search.state();
  auto name = side == SearchSide::left ? "left" : "right";
  eval_into(
      out,
      sequence.ndim() == 1 ? searchsorted(sequence, keys, name, s)
                           : stock_search_rows(sequence, keys, side, s),
      s);
}

void eval_by_stock(
    LexSort& sort,
    const std::vector<array>& inputs,
    array& out) {
  auto [axis, layout] = sort.state();
  auto& s = sort.stream();
  eval_into(out, lex_order(inputs, axis, layout, s), s);
}

void eval_by_stock(
    Route& route,
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto [settings, keeps_scores] = route.state();
  auto& s = route.stream();
  std::optional<array> bias;
  if (inputs.size() > 1) {
    bias = inputs[1];
  }
  auto result = composed_route(inputs[0], bias, settings, s);
  eval_into(outputs[0], result.weights, s);
  eval_into(outputs[1], result.indices, s);
  if (keeps_scores) {
    eval_into(outputs[2], *result.scores, s);
  }
}

void eval_by_stock(
    RouteGradient& gradient,
    const std::vector<array>& inputs,
    array& out) {
  auto& s = gradient.stream();
  RouteDerivative derivative(
      gradient.state(), inputs[0], inputs[1], inputs[2], s);
  auto of_scores = inputs.size() > 4 ? std::optional(inputs[4]) : std::nullopt;
  eval_into(out, derivative.vjp(inputs[3], of_scores), s);
}

void eval_composed(
    TopK& topk,
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  eval_by_stock(topk, inputs, outputs);
}

} // namespace mlx::core
