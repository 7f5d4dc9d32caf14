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

// Returns whether transforms stop at ``primitive`` and do not go on to its
// inputs. Compares names, because libmlx does not export the class
// StopGradient.
bool blocks_gradients(const Primitive& primitive) {
  auto name = primitive.name();
  return std::strcmp(name, "StopGradient") == 0 ||
      std::strcmp(name, "IndexOutput") == 0;
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

bool depends_on(const array& output, const std::vector<array>& inputs) {
  std::unordered_set<std::uintptr_t> sources;
  for (auto& input : inputs) {
    sources.insert(input.id());
  }
  std::unordered_set<std::uintptr_t> seen;
  std::vector<array> pending{output};
  while (!pending.empty()) {
    auto a = std::move(pending.back());
    pending.pop_back();
    if (sources.count(a.id())) {
      return true;
    }
    if (!seen.insert(a.id()).second ||
        (a.has_primitive() && blocks_gradients(a.primitive()))) {
      continue;
    }
    pending.insert(pending.end(), a.inputs().begin(), a.inputs().end());
  }
  return false;
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
