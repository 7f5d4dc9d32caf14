// Copyright © 2026 the mlx-topk authors. MIT licence.

// The three ways of applying the option.

#include "mlx/index_output.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "mlx/ops.h"
#include "mlx/portable_graph.h"
#include "mlx/selection_primitives.h"

namespace mlx::core {

namespace {

std::vector<std::string>& error_ops() {
  static thread_local std::vector<std::string> ops;
  return ops;
}

// Transforms do not look past these two. The class of the first is private to
// MLX, hence the names.
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
  // The copy costs nothing when it runs, and keeps mx.vjp from passing over
  // the array where it is an output (see index_op).
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

} // namespace mlx::core
