// Copyright © 2026 the mlx-topk authors. MIT licence.

nb::object to_python(const mx::TopKResult& result) {
  return nb::make_tuple(result.values, result.indices);
}

nb::object topk(
    const mx::array& a,
    nb::handle k_object,
    std::optional<int> axis,
    bool largest,
    bool sorted,
    bool return_indices,
    mx::StreamOrDevice s) {
  auto k = parse_k("topk", k_object);
  auto result = mx::topk(
      axis ? a : mx::flatten(a, s),
      k,
      axis.value_or(0),
      largest ? mx::TopKMode::largest : mx::TopKMode::smallest,
      order_from(sorted),
      s);
  return return_indices ? to_python(result) : nb::cast(result.values);
}

nb::object top_k(
    const mx::array& x,
    nb::handle k,
    int axis,
    const std::string& mode,
    bool sorted,
    mx::StreamOrDevice s) {
  return to_python(
      mx::top_k(
          x,
          parse_k("top_k", k),
          axis,
          parse_mode(mode),
          order_from(sorted),
          s));
}
