// Copyright © 2026 the mlx-topk authors. MIT licence.

// Rules of ArgPartition and Partition.

std::vector<array> ArgPartition::jvp(
    const std::vector<array>& primals,
    const std::vector<array>&,
    const std::vector<int>&) {
  // Like the output, which is not of the input's type.
  return {zeros(output_shapes(primals)[0], uint32, stream())};
}

namespace {

// Moves ``a`` as whatever made ``to`` of ``from`` moved the elements. Both are
// sorted, since indices found in another way differ from it under ties.
array moved_alike(
    const array& a,
    const array& from,
    const array& to,
    int axis,
    Stream s) {
  auto source = stop_gradient(argsort(from, axis, s), s);
  auto target = stop_gradient(argsort(to, axis, s), s);
  auto in_order = take_along_axis(a, source, axis, s);
  return put_along_axis(zeros_like(a, s), target, in_order, axis, s);
}

} // namespace

std::vector<array> Partition::vjp(
    const std::vector<array>& primals,
    const std::vector<array>& cotangents,
    const std::vector<int>&,
    const std::vector<array>& outputs) {
  return {moved_alike(cotangents[0], outputs[0], primals[0], axis_, stream())};
}

std::vector<array> Partition::jvp(
    const std::vector<array>& primals,
    const std::vector<array>& tangents,
    const std::vector<int>&) {
  auto out = partition(primals[0], kth_, axis_, stream());
  return {moved_alike(tangents[0], primals[0], out, axis_, stream())};
}
