// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/upstream_eval.h"

#include "mlx/backend/cpu/encoder.h"
#include "mlx/ops.h"
#include "mlx/portable_ops.h"
#ifdef MLX_TOPK_METAL
#include "mlx/backend/metal/device.h"
#endif

namespace mlx::core {

namespace {

// What a graph computes on its way has to live until the device has done it.
void keep(const std::vector<array>& temporaries, const Stream& s) {
  if (s.device == Device::cpu) {
    cpu::get_command_encoder(s).add_temporaries(temporaries);
  }
#ifdef MLX_TOPK_METAL
  else {
    metal::get_command_encoder(s).add_temporaries(temporaries);
  }
#endif
}

/** Evaluates what `a` needs and is not there, each primitive in its turn. */
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

void eval_by_upstream(
    TopK& topk,
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto [k, axis, mode, order] = topk.state();
  auto& s = topk.stream();
  auto indices = portable_top_k(inputs[0], k, axis, mode, s);
  auto values = take_along_axis(inputs[0], indices, axis, s);
  eval_into(outputs[1], indices, s);
  eval_into(outputs[0], values, s);
}

// Values by their indices, as the gradient finds them: upstream's partition and
// argpartition need not agree on equals.
void eval_by_upstream(
    RowOrder& order,
    const std::vector<array>& inputs,
    array& out) {
  auto [kth, axis, result] = order.state();
  auto& s = order.stream();
  auto& in = inputs[0];
  auto indices = kth ? argpartition(in, *kth, axis, s) : argsort(in, axis, s);
  bool of_values = result == OrderResult::values;
  eval_into(
      out, of_values ? take_along_axis(in, indices, axis, s) : indices, s);
}

} // namespace mlx::core
