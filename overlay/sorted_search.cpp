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
  // A complex number counts as NaN if one of its parts is NaN. MLX may say that
  // such a number is less than another.
  auto a_is_number = logical_not(isnan(a, s), s);
  return logical_and(a_is_number, logical_or(less_than, isnan(b, s), s), s);
}

// Returns where the element at a position belongs before a key.
array belongs_before(
    const array& element,
    const array& key,
    SearchSide side,
    Stream s) {
  return side == SearchSide::left
      ? comes_before(element, key, s)
      : logical_not(comes_before(key, element, s), s);
}

// Counts for each key the elements of its row that belong before it. Takes time
// for each pair of an element and a key, but the graph does not contain their
// numbers.
array count_elements_before(
    const array& sequences,
    const array& keys,
    SearchSide side,
    Stream s) {
  auto elements = expand_dims(sequences, -2, s);
  auto before = belongs_before(elements, expand_dims(keys, -1, s), side, s);
  return sum(astype(before, uint32, s), -1, false, s);
}

} // namespace

array stock_search_rows(
    const array& sequences,
    const array& keys,
    SearchSide side,
    const Stream& s) {
  if (portable_shapes() == PortableShapes::any) {
    return count_elements_before(sequences, keys, side, s);
  }
  int n = sequences.shape(-1);
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
    auto element = take_along_axis(sequences, before, -1, s);
    auto passes = belongs_before(element, keys, side, s);
    auto exists = less_equal(further, array(unsigned(n), uint32), s);
    position = where(logical_and(exists, passes, s), further, position, s);
  }
  return position;
}

array sorted_search_rows(
    const array& sequences,
    const array& keys,
    SearchSide side,
    StreamOrDevice s /* = {} */) {
  auto stream = to_stream(s);
  auto dtype = promote_types(sequences.dtype(), keys.dtype());
  auto elements = astype(sequences, dtype, stream);
  auto typed_keys = astype(keys, dtype, stream);
  if (in_portable_graph()) {
    return stock_search_rows(elements, typed_keys, side, stream);
  }
  return array(
      keys.shape(),
      uint32,
      std::make_shared<SortedSearch>(stream, side),
      {elements, typed_keys});
}

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

void SortedSearch::eval_gpu(const std::vector<array>& inputs, array& out) {
  eval_by_stock(*this, inputs, out);
}

std::pair<std::vector<array>, std::vector<int>> SortedSearch::vmap(
    const std::vector<array>& inputs,
    const std::vector<int>& axes) {
  auto s = stream();
  int dimensions = inputs[0].ndim() - (axes[0] >= 0);
  if (dimensions == 1 && axes[0] < 0) {
    return {{sorted_search(inputs[0], inputs[1], side_, s)}, {axes[1]}};
  }
  int size = inputs[axes[0] < 0].shape(axes[axes[0] < 0]);
  // Moves the vectorised axis to the front, or adds one.
  auto batch = [&](int i) {
    if (axes[i] >= 0) {
      return moveaxis(inputs[i], axes[i], 0, s);
    }
    auto shape = inputs[i].shape();
    shape.insert(shape.begin(), size);
    return broadcast_to(inputs[i], shape, s);
  };
  auto sequences = batch(0);
  auto keys = batch(1);
  auto shape = keys.shape();
  if (dimensions == 1) {
    int per_row = size == 0 ? 0 : keys.size() / size;
    keys = reshape(keys, {size, per_row}, s);
  }
  auto positions = sorted_search_rows(sequences, keys, side_, s);
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
