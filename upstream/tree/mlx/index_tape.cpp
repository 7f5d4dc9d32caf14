// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/index_tape.h"

#include <algorithm>
#include <stdexcept>
#include <typeinfo>

#include "mlx/primitives.h"

namespace mlx::core::detail {

namespace {

bool is_stopped(const array& a) {
  if (!a.has_primitive()) {
    return false;
  }
  auto& primitive = a.primitive();
  return typeid(primitive) == typeid(StopGradient);
}

int position(const array& a) {
  auto outputs = a.outputs();
  auto is_a = [&](const array& output) { return output.id() == a.id(); };
  return std::find_if(outputs.begin(), outputs.end(), is_a) - outputs.begin();
}

} // namespace

bool carries_gradient(const array& output, const std::vector<array>& inputs) {
  IndexTape::Ids sources;
  for (auto& input : inputs) {
    sources.insert(input.id());
  }
  IndexTape::Ids seen;
  std::vector<array> pending{output};
  while (!pending.empty()) {
    auto a = std::move(pending.back());
    pending.pop_back();
    if (sources.count(a.id())) {
      return true;
    }
    if (!seen.insert(a.id()).second || !a.has_primitive() || is_stopped(a) ||
        !a.primitive().has_gradient(position(a), a.inputs())) {
      continue;
    }
    pending.insert(pending.end(), a.inputs().begin(), a.inputs().end());
  }
  return false;
}

bool IndexTape::mark(const array& a, Ids& marked) {
  auto outputs = a.outputs();
  bool any = false;
  for (int i = 0; i < outputs.size(); ++i) {
    auto id = outputs[i].id();
    if (mode_ == IndexGradient::zero ||
        a.primitive().has_gradient(i, a.inputs())) {
      marked.insert(id);
      any = true;
    } else if (mode_ == IndexGradient::error) {
      indices_.emplace(id, a.primitive().name());
    }
  }
  return any;
}

void IndexTape::check_inputs(const array& a, const Ids& marked) const {
  if (!indices_.empty()) {
    check(a.inputs(), marked);
  }
}

void IndexTape::check_output(const array& output, const Ids& marked) const {
  if (!indices_.empty() && issubdtype(output.dtype(), inexact)) {
    check({output}, marked);
  }
}

void IndexTape::check(std::vector<array> pending, const Ids& marked) const {
  Ids seen;
  while (!pending.empty()) {
    auto next = std::move(pending.back());
    pending.pop_back();
    if (auto it = indices_.find(next.id()); it != indices_.end()) {
      throw std::invalid_argument(index_gradient_error(it->second));
    }
    // What is marked is asked itself when its turn comes.
    if (!marked.count(next.id()) && seen.insert(next.id()).second &&
        !is_stopped(next)) {
      auto& inputs = next.inputs();
      pending.insert(pending.end(), inputs.begin(), inputs.end());
    }
  }
}

} // namespace mlx::core::detail
