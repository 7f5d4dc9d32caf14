// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/sorted_search.h"

#include <bit>
#include <memory>

#include "mlx/ops.h"
#include "overlay/portable_graph.h"
#include "overlay/stock_eval.h"

namespace mlx::core {

namespace {

// Returns where ``a`` comes before ``b`` in a sorted sequence: NaN is last.
array comes_before(const array& a, const array& b, Stream s) {
  auto less_than = less(a, b, s);
  if (!issubdtype(a.dtype(), inexact)) {
    return less_than;
  }
  auto only_b_is_nan = logical_and(isnan(b, s), logical_not(isnan(a, s), s), s);
  return logical_or(less_than, only_b_is_nan, s);
}

// Searches each row of ``sequences`` for the keys in the same row of ``keys``.
// Both have two dimensions and the same type.
array search_rows(
    const array& sequences,
    const array& keys,
    SearchSide side,
    Stream s) {
  int n = sequences.shape(1);
  auto position = zeros(keys.shape(), uint32, s);
  if (n == 0) {
    return position;
  }
  // A binary search. Goes through the powers of two, the greatest first, and
  // adds each to the position if the element before the new position belongs
  // before the key.
  for (auto step = std::bit_floor(unsigned(n)); step > 0; step /= 2) {
    auto further = add(position, array(step, uint32), s);
    auto last = minimum(further, array(unsigned(n), uint32), s);
    auto before = subtract(last, array(1u, uint32), s);
    auto element = take_along_axis(sequences, before, 1, s);
    auto passes = side == SearchSide::left
        ? comes_before(element, keys, s)
        : logical_not(comes_before(keys, element, s), s);
    auto exists = less_equal(further, array(unsigned(n), uint32), s);
    position = where(logical_and(exists, passes, s), further, position, s);
  }
  return position;
}

} // namespace

array sorted_search(
    const array& sequence,
    const array& keys,
    SearchSide side,
    StreamOrDevice s /* = {} */) {
  // Stock MLX's primitive differs in vmap over the sequence only.
  bool stock = in_portable_graph() || !sequence.is_tracer();
  if (stock || sequence.ndim() != 1) {
    auto name = side == SearchSide::left ? "left" : "right";
    return searchsorted(sequence, keys, name, s);
  }
  return array(
      keys.shape(),
      uint32,
      std::make_shared<SortedSearch>(to_stream(s), side),
      {sequence, keys});
}

void SortedSearch::eval_cpu(const std::vector<array>& inputs, array& out) {
  eval_by_stock(*this, inputs, out);
}

void SortedSearch::eval_gpu(const std::vector<array>& inputs, array& out) {
  eval_by_stock(*this, inputs, out);
}

std::pair<std::vector<array>, std::vector<int>> SortedSearch::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto s = stream();
  auto& keys = inputs[1];
  if (axes[0] < 0) {
    return {{sorted_search(inputs[0], keys, side_, s)}, {axes[1]}};
  }
  auto dtype = promote_types(inputs[0].dtype(), keys.dtype());
  auto sequences = astype(moveaxis(inputs[0], axes[0], 0, s), dtype, s);
  int rows = sequences.shape(0);
  auto shape = keys.shape();
  if (axes[1] < 0) {
    shape.insert(shape.begin(), rows);
  }
  auto batch = axes[1] < 0 ? broadcast_to(keys, shape, s)
                           : moveaxis(keys, axes[1], 0, s);
  shape = batch.shape();
  int per_row = rows == 0 ? 0 : batch.size() / rows;
  auto flat = reshape(astype(batch, dtype, s), {rows, per_row}, s);
  auto positions = search_rows(sequences, flat, side_, s);
  return {{reshape(positions, shape, s)}, {0}};
}

std::vector<array> SortedSearch::vjp(
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

std::vector<array> SortedSearch::jvp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&) {
  return {zeros(primals[1].shape(), uint32, stream())};
}

bool SortedSearch::is_equivalent(const Primitive& other) const {
  return side_ == static_cast<const SortedSearch&>(other).side_;
}

std::vector<Shape> SortedSearch::output_shapes(
    const std::vector<array>& inputs) {
  return {inputs[1].shape()};
}

} // namespace mlx::core
