// Copyright © 2026 the mlx-topk authors. MIT licence.

bool CustomTransforms::has_gradient(
    int output,
    const std::vector<array>& inputs) const {
  // The outputs of the function follow its arguments. Integers are constants
  // if all that they come from are indices; others may have rules of their own.
  auto arguments = inputs.end() - num_outputs_;
  auto& result = *(arguments + output);
  if (issubdtype(result.dtype(), inexact) || result.inputs().empty()) {
    return true;
  }
  return detail::carries_gradient(
      result.inputs()[0], std::vector<array>(inputs.begin(), arguments));
}
