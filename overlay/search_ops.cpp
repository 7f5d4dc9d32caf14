// Copyright © 2026 the mlx-topk authors. MIT licence.

// The op searchsorted: validates arguments, chooses the type to compare in, and
// applies the index gradient mode.

#include <cstdint>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

#include "mlx/ops.h"
#include "mlx/topk_seam.h"
#include "overlay/index_output.h"
#include "overlay/selection.h"
#include "overlay/sorted_search.h"

namespace mlx::core::selection {

namespace {

// Searches a sequence of uint64 for signed integers, or the reverse. MLX would
// compare both as float32. ``search(sequence, keys)`` gets arguments that have
// the same type. ``end`` is the position after the last element, in a shape
// that can be broadcast with the keys.
template <typename Search, typename End>
array search_mixed_signs(
    const array& sequence,
    const array& keys,
    const Search& search,
    const End& end,
    const Stream& s) {
  if (sequence.dtype() == uint64) {
    auto negative = less(keys, array(0, keys.dtype()), s);
    auto found = search(sequence, astype(keys, uint64, s));
    return where(negative, array(0u, uint32), found, s);
  }
  auto signed_sequence = astype(sequence, int64, s);
  auto limit = std::numeric_limits<int64_t>::max();
  auto beyond = greater(keys, array(static_cast<uint64_t>(limit), uint64), s);
  auto found = search(signed_sequence, astype(keys, int64, s));
  return where(beyond, end(signed_sequence), found, s);
}

bool has_mixed_signs(Dtype a, Dtype b) {
  return (a == uint64 && issubdtype(b, signedinteger)) ||
      (b == uint64 && issubdtype(a, signedinteger));
}

// Searches a sequence with one dimension, for any keys.
array search_one(
    const array& sequence,
    const array& keys,
    SearchSide side,
    const Stream& s) {
  auto search = [&](const array& sequence, const array& keys) {
    return sorted_search(sequence, keys, side, s);
  };
  // Finds the size of the sequence by a search and not from its shape, because
  // a compiled function may run again with a sequence of another size.
  auto end = [&](const array& sequence) {
    auto greatest = array(std::numeric_limits<int64_t>::max(), int64);
    return sorted_search(sequence, greatest, SearchSide::right, s);
  };
  return has_mixed_signs(sequence.dtype(), keys.dtype())
      ? search_mixed_signs(sequence, keys, search, end, s)
      : search(sequence, keys);
}

// Searches each row of a sequence for the keys in the same row.
array search_rows(
    const array& sequence,
    const array& keys,
    SearchSide side,
    const Stream& s) {
  auto search = [&](const array& sequence, const array& keys) {
    return sorted_search_rows(sequence, keys, side, s);
  };
  auto end = [&](const array& sequence) {
    return number_of_elements(detail::cut(sequence, s), {-1}, false, uint32, s);
  };
  return has_mixed_signs(sequence.dtype(), keys.dtype())
      ? search_mixed_signs(sequence, keys, search, end, s)
      : search(sequence, keys);
}

SearchSide side_named(
    const std::string& side,
    const array& sequence,
    const array& values,
    const Stream& s) {
  if (side != "left" && side != "right") {
    core::searchsorted(sequence, values, side, s); // an error
  }
  return side == "left" ? SearchSide::left : SearchSide::right;
}

void check_row_shapes(const array& sequence, const array& values, int axis) {
  auto expected = sequence.shape();
  bool matches = values.ndim() == sequence.ndim();
  if (matches) {
    expected[axis] = values.shape(axis);
    matches = values.shape() == expected;
  }
  if (!matches) {
    std::ostringstream msg;
    msg << "[searchsorted] values must have the shape " << sequence.shape()
        << " of the sorted sequence, except for axis " << axis << ", got "
        << values.shape() << ".";
    throw std::invalid_argument(msg.str());
  }
}

void check_sorter(const array& sequence, const array& sorter) {
  std::ostringstream msg;
  if (!issubdtype(sorter.dtype(), integer)) {
    msg << "[searchsorted] sorter must hold integers, got " << sorter.dtype()
        << ".";
    throw std::invalid_argument(msg.str());
  }
  if (sorter.shape() != sequence.shape()) {
    msg << "[searchsorted] sorter must have the shape " << sequence.shape()
        << " of the sequence, got " << sorter.shape() << ".";
    throw std::invalid_argument(msg.str());
  }
}

} // namespace

array searchsorted(
    const array& sorted_sequence,
    const array& values,
    const std::string& side /* = "left" */,
    StreamOrDevice s /* = {} */) {
  auto stream = to_stream(s);
  auto op = [&](const array& sequence, const array& keys) {
    auto at = side_named(side, sequence, keys, stream);
    return search_one(sequence, keys, at, stream);
  };
  return index_op("searchsorted", stream, op, sorted_sequence, values);
}

array searchsorted(
    const array& sorted_sequence,
    const array& values,
    const std::string& side,
    int axis,
    const std::optional<array>& sorter /* = std::nullopt */,
    StreamOrDevice s /* = {} */) {
  auto stream = to_stream(s);
  axis = check_axis("searchsorted", axis, sorted_sequence);
  auto at = side_named(side, flatten(sorted_sequence, stream), values, stream);
  bool in_rows = sorted_sequence.ndim() > 1;
  if (in_rows) {
    check_row_shapes(sorted_sequence, values, axis);
  }
  if (sorter) {
    check_sorter(sorted_sequence, *sorter);
  }
  auto op = [&](const array& unsorted, const array& keys) {
    auto sequence = unsorted;
    if (sorter) {
      auto order = detail::cut(*sorter, stream);
      sequence = take_along_axis(unsorted, order, axis, stream);
    }
    if (!in_rows) {
      return search_one(sequence, keys, at, stream);
    }
    auto last = [&](const array& a) { return moveaxis(a, axis, -1, stream); };
    auto found = search_rows(last(sequence), last(keys), at, stream);
    return moveaxis(found, -1, axis, stream);
  };
  return index_op("searchsorted", stream, op, sorted_sequence, values);
}

} // namespace mlx::core::selection
