// Copyright © 2026 the mlx-topk authors. MIT licence.

// Applies the index gradient mode (stop, zero or error) to indices.

#include "overlay/index_output.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <unordered_set>
#include <utility>

#include "mlx/ops.h"
#include "overlay/portable_graph.h"

namespace mlx::core {

namespace {

std::vector<std::string>& error_ops() {
  static thread_local std::vector<std::string> ops;
  return ops;
}

// Compares names, because libmlx does not export the class StopGradient.
bool is_made_by(const array& a, const char* primitive) {
  return a.has_primitive() && std::strcmp(a.primitive().name(), primitive) == 0;
}

bool is_stop_gradient(const array& a) {
  return is_made_by(a, "StopGradient");
}

bool is_index_output(const array& a) {
  return is_made_by(a, "IndexOutput");
}

// Calls ``visit`` with each array of the graph of ``outputs``, once. Returns
// true as soon as ``visit`` does. Does not go on to the inputs of an array for
// which ``ends`` is true.
template <typename Ends, typename Visit>
bool walk_graph(
    std::vector<array> pending,
    const Ends& ends,
    const Visit& visit) {
  std::unordered_set<std::uintptr_t> seen;
  while (!pending.empty()) {
    auto a = std::move(pending.back());
    pending.pop_back();
    if (!seen.insert(a.id()).second) {
      continue;
    }
    if (visit(a)) {
      return true;
    }
    if (!ends(a)) {
      pending.insert(pending.end(), a.inputs().begin(), a.inputs().end());
    }
  }
  return false;
}

} // namespace

bool detail::stops_indices() {
  return index_gradient() == IndexGradient::stop || in_portable_graph();
}

array detail::cut(const array& input, StreamOrDevice s) {
  return input.is_tracer() ? stop_gradient(input, s) : input;
}

array constant(const array& a, StreamOrDevice s /* = {} */) {
  // mx.vjp would skip an output that is itself a StopGradient (see index_op).
  // The copy prevents that. It shares the buffer, so it costs nothing.
  return a.is_tracer() ? copy(stop_gradient(a, s), s) : a;
}

array index_output(
    const array& indices,
    const char* op,
    StreamOrDevice s /* = {} */) {
  if (!indices.is_tracer()) {
    return indices;
  }
  if (detail::stops_indices()) {
    return constant(indices, s);
  }
  auto mode = index_gradient();
  auto& ops = error_ops();
  if (mode == IndexGradient::error &&
      std::find(ops.begin(), ops.end(), op) == ops.end()) {
    ops.push_back(op);
  }
  return array(
      indices.shape(),
      indices.dtype(),
      std::make_shared<IndexOutput>(to_stream(s), mode, op),
      {indices});
}

std::vector<std::string> take_error_ops() {
  return std::exchange(error_ops(), {});
}

bool has_error_ops() {
  return !error_ops().empty();
}

bool depends_on(const array& output, const std::vector<array>& inputs) {
  std::unordered_set<std::uintptr_t> sources;
  for (auto& input : inputs) {
    sources.insert(input.id());
  }
  auto ends = [](const array& a) {
    return is_stop_gradient(a) || is_index_output(a);
  };
  return walk_graph({output}, ends, [&](const array& a) {
    return sources.count(a.id()) > 0;
  });
}

std::vector<array> hide_stopped_indices(const std::vector<array>& outputs) {
  std::unordered_set<std::uintptr_t> differentiated;
  walk_graph(outputs, is_stop_gradient, [&](const array& a) {
    differentiated.insert(a.id());
    return false;
  });
  std::vector<array> hidden;
  auto never = [](const array&) { return false; };
  walk_graph(outputs, never, [&](const array& a) {
    if (is_index_output(a) && differentiated.count(a.id()) == 0) {
      hidden.push_back(a);
    }
    return false;
  });
  for (auto& a : hidden) {
    a.inputs()[0] = stop_gradient(a.inputs()[0], a.primitive().stream());
  }
  return hidden;
}

void show_indices(std::vector<array>& hidden) {
  for (auto& a : hidden) {
    auto stopped = a.inputs()[0];
    a.inputs()[0] = stopped.inputs()[0];
  }
}

void IndexOutput::eval_cpu(const std::vector<array>& inputs, array& out) {
  out.copy_shared_buffer(inputs[0]);
}

void IndexOutput::eval_gpu(const std::vector<array>& inputs, array& out) {
  out.copy_shared_buffer(inputs[0]);
}

std::pair<std::vector<array>, std::vector<int>> IndexOutput::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto out = array(
      inputs[0].shape(),
      inputs[0].dtype(),
      std::make_shared<IndexOutput>(stream(), mode_, op_),
      {inputs[0]});
  return {{out}, axes};
}

std::vector<array> IndexOutput::tangent(const array& indices) {
  if (mode_ == IndexGradient::error) {
    throw std::invalid_argument(index_gradient_error(op_));
  }
  return {zeros_like(indices, stream())};
}

std::vector<array> IndexOutput::vjp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&,
    const std::vector<array>&) {
  return tangent(primals[0]);
}

std::vector<array> IndexOutput::jvp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&) {
  return tangent(primals[0]);
}

bool IndexOutput::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const IndexOutput&>(other).state();
}

} // namespace mlx::core
