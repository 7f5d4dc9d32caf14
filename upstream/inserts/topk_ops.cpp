// Copyright © 2026 the mlx-topk authors. MIT licence.

TopKResult choose_top_k(
    const std::string& op,
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    const Stream& s) {
  axis = normalize_axis_index(axis, a.ndim(), "[" + op + "] ");
  TopK::check_k(op.c_str(), k, axis, a.shape());
  if (s.device == Device::gpu && !gpu_has_topk(a, axis, k)) {
    auto indices = stop_gradient(best_of_this_shape(a, k, axis, mode, s), s);
    return {take_along_axis(a, indices, axis, s), indices};
  }
  auto shape = a.shape();
  shape[axis] = k;
  auto outputs = array::make_arrays(
      {shape, shape},
      {a.dtype(), uint32},
      std::make_shared<TopK>(s, k, axis, mode, order),
      {a});
  return {outputs[0], outputs[1]};
}

array topk(const array& a, int k, int axis, StreamOrDevice s /* = {} */) {
  return topk(a, k, axis, TopKMode::largest, TopKOrder::unsorted, s).values;
}

TopKResult topk(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s /* = {} */) {
  return choose_top_k("topk", a, k, axis, mode, order, to_stream(s));
}

TopKResult top_k(
    const array& a,
    int k,
    int axis /* = -1 */,
    TopKMode mode /* = TopKMode::largest */,
    TopKOrder order /* = TopKOrder::sorted */,
    StreamOrDevice s /* = {} */) {
  return choose_top_k("top_k", a, k, axis, mode, order, to_stream(s));
}
