// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/portable_graph.h"

#include "mlx/ops.h"

namespace mlx::core {

namespace {

thread_local int portable_scopes = 0;

} // namespace

PortableGraphScope::PortableGraphScope() {
  ++portable_scopes;
}

PortableGraphScope::~PortableGraphScope() {
  --portable_scopes;
}

bool in_portable_graph() {
  return portable_scopes > 0;
}

bool needs_portable_ops(const Stream& s) {
  return in_portable_graph() || s.device == Device::gpu;
}

selection::TopKResult portable_top_k(
    const array& a,
    int k,
    int axis,
    selection::TopKMode mode,
    selection::TopKOrder,
    const Stream& s) {
  auto start = Shape(a.ndim(), 0);
  auto stop = a.shape();
  stop[axis] = k;
  auto in = constant(a, s);
  auto order = in;
  if (mode == selection::TopKMode::smallest) {
    order = slice(argsort(in, axis, s), start, stop, s);
  } else {
    // A stable ascending sort of the reversed row, read backwards, descends
    // and keeps the lower index first among equals.
    auto last = array(static_cast<uint32_t>(a.shape(axis)) - 1, uint32);
    order = flip(argsort(flip(in, axis, s), axis, s), axis, s);
    order = subtract(last, slice(order, start, stop, s), s);
  }
  return {take_along_axis(a, order, axis, s), order};
}

} // namespace mlx::core
