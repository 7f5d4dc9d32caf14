// Copyright © 2026 the mlx-topk authors. MIT licence.

// The op lexsort and its primitive.

#include "overlay/lex_sort.h"

#include <memory>
#include <sstream>
#include <stdexcept>

#include "mlx/backend/common/vmap_axis.h"
#include "mlx/ops.h"
#include "mlx/topk_seam.h"
#include "overlay/index_output.h"
#include "overlay/portable_graph.h"
#include "overlay/selection.h"
#include "overlay/stock_eval.h"

namespace mlx::core {

namespace {

// Calls f(keys) and marks the result as indices. ``keys`` may be several.
template <typename Op>
array index_op_of(const std::vector<array>& keys, const Stream& s, Op&& op) {
  auto cut = keys;
  bool traced = false;
  for (auto& key : cut) {
    traced |= key.is_tracer();
  }
  if (!traced) {
    return op(keys);
  }
  if (!detail::stops_indices()) {
    return index_output(op(keys), "lexsort", s);
  }
  for (auto& key : cut) {
    key = detail::cut(key, s);
  }
  return op(cut);
}

} // namespace

void LexSort::eval_cpu(const std::vector<array>& inputs, array& out) {
  eval_by_stock(*this, inputs, out);
}

void LexSort::eval_gpu(const std::vector<array>& inputs, array& out) {
  eval_by_stock(*this, inputs, out);
}

std::pair<std::vector<array>, std::vector<int>> LexSort::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto s = stream();
  int size = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    size = axes[i] >= 0 ? inputs[i].shape(axes[i]) : size;
  }
  std::vector<array> keys;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (axes[i] >= 0) {
      keys.push_back(moveaxis(inputs[i], axes[i], 0, s));
    } else {
      auto shape = inputs[i].shape();
      shape.insert(shape.begin(), size);
      keys.push_back(broadcast_to(inputs[i], shape, s));
    }
  }
  auto primitive = std::make_shared<LexSort>(s, axis_ + 1);
  return {{array(keys[0].shape(), uint32, primitive, keys)}, {0}};
}

std::vector<array> LexSort::vjp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>& argnums,
    const std::vector<array>&) {
  std::vector<array> zero;
  for (int i : argnums) {
    zero.push_back(zeros_like(primals[i], stream()));
  }
  return zero;
}

std::vector<array> LexSort::jvp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&) {
  return {zeros(primals[0].shape(), uint32, stream())};
}

bool LexSort::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const LexSort&>(other).state();
}

array lex_order(const std::vector<array>& keys, int axis, const Stream& s) {
  IndexGradientScope stop(IndexGradient::stop);
  auto order = selection::argsort(keys[0], axis, s);
  for (size_t i = 1; i < keys.size(); ++i) {
    auto key = take_along_axis(keys[i], order, axis, s);
    auto order_of_key = selection::argsort(key, axis, s);
    order = take_along_axis(order, order_of_key, axis, s);
  }
  return order;
}

namespace selection {

array lexsort(
    const std::vector<array>& keys,
    int axis /* = -1 */,
    StreamOrDevice s /* = {} */) {
  if (keys.empty()) {
    throw std::invalid_argument("[lexsort] there must be at least one key.");
  }
  for (auto& key : keys) {
    if (key.shape() != keys[0].shape()) {
      std::ostringstream msg;
      msg << "[lexsort] all keys must have the same shape, got "
          << keys[0].shape() << " and " << key.shape() << ".";
      throw std::invalid_argument(msg.str());
    }
  }
  axis = check_axis("lexsort", axis, keys[0]);
  auto stream = to_stream(s);
  return index_op_of(keys, stream, [&](const std::vector<array>& keys) {
    return in_portable_graph() ? lex_order(keys, axis, stream)
                               : array(
                                     keys[0].shape(),
                                     uint32,
                                     std::make_shared<LexSort>(stream, axis),
                                     keys);
  });
}

array lexsort(
    const array& keys,
    int axis /* = -1 */,
    StreamOrDevice s /* = {} */) {
  if (keys.ndim() == 0 || keys.shape(0) == 0) {
    std::ostringstream msg;
    msg << "[lexsort] the first axis of the array lists the keys and must not "
        << "be empty, got an array with shape " << keys.shape() << ".";
    throw std::invalid_argument(msg.str());
  }
  auto parts = split(keys, keys.shape(0), 0, s);
  for (auto& part : parts) {
    part = squeeze(part, 0, s);
  }
  return lexsort(parts, axis, s);
}

} // namespace selection

} // namespace mlx::core
