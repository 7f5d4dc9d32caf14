// Copyright © 2026 the mlx-topk authors. MIT licence.

// The op lexsort and its primitive.

#include "overlay/lex_sort.h"

#include <memory>
#include <sstream>
#include <stdexcept>

#include "mlx/ops.h"
#include "mlx/topk_seam.h"
#include "overlay/index_output.h"
#include "overlay/portable_graph.h"
#include "overlay/selection.h"
#include "overlay/stock_eval.h"

namespace mlx::core {

namespace {

Shape shape_of_key(const array& input, KeyLayout layout) {
  auto shape = input.shape();
  if (layout == KeyLayout::stacked) {
    shape.erase(shape.begin());
  }
  return shape;
}

std::vector<array> unstacked(const array& keys, const Stream& s) {
  auto parts = split(keys, keys.shape(0), 0, s);
  for (auto& part : parts) {
    part = squeeze(part, 0, s);
  }
  return parts;
}

array lex_sort(
    const std::vector<array>& inputs,
    int axis,
    KeyLayout layout,
    const Stream& s) {
  if (in_portable_graph()) {
    return lex_order(inputs, axis, layout, s);
  }
  return array(
      shape_of_key(inputs[0], layout),
      uint32,
      std::make_shared<LexSort>(s, axis, layout),
      inputs);
}

// Does for several inputs what index_op does.
array marked_lex_sort(
    std::vector<array> inputs,
    int axis,
    KeyLayout layout,
    const Stream& s) {
  bool traced = false;
  for (auto& input : inputs) {
    traced |= input.is_tracer();
    input = detail::stops_indices() ? detail::cut(input, s) : input;
  }
  auto indices = lex_sort(inputs, axis, layout, s);
  bool cut = !traced || detail::stops_indices();
  return cut ? indices : index_output(indices, "lexsort", s);
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
  std::vector<array> keys;
  if (layout_ == KeyLayout::stacked) {
    // The first axis still lists the keys.
    keys.push_back(moveaxis(inputs[0], axes[0], 1, s));
    return {{lex_sort(keys, axis_ + 1, layout_, s)}, {0}};
  }
  int size = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    size = axes[i] >= 0 ? inputs[i].shape(axes[i]) : size;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (axes[i] >= 0) {
      keys.push_back(moveaxis(inputs[i], axes[i], 0, s));
    } else {
      auto shape = inputs[i].shape();
      shape.insert(shape.begin(), size);
      keys.push_back(broadcast_to(inputs[i], shape, s));
    }
  }
  return {{lex_sort(keys, axis_ + 1, layout_, s)}, {0}};
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
  return {zeros(output_shapes(primals)[0], uint32, stream())};
}

bool LexSort::is_equivalent(const Primitive& other) const {
  return state() == static_cast<const LexSort&>(other).state();
}

std::vector<Shape> LexSort::output_shapes(const std::vector<array>& inputs) {
  return {shape_of_key(inputs[0], layout_)};
}

array lex_order(
    const std::vector<array>& inputs,
    int axis,
    KeyLayout layout,
    const Stream& s) {
  IndexGradientScope stop(IndexGradient::stop);
  auto keys = layout == KeyLayout::stacked ? unstacked(inputs[0], s) : inputs;
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
  return marked_lex_sort(keys, axis, KeyLayout::separate, to_stream(s));
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
  auto shape = shape_of_key(keys, KeyLayout::stacked);
  axis = check_axis("lexsort", axis, zeros(shape));
  return marked_lex_sort({keys}, axis, KeyLayout::stacked, to_stream(s));
}

} // namespace selection

} // namespace mlx::core
