// Copyright © 2026 the mlx-topk authors. MIT licence.

// A user's program against the installed wheel: its headers and its libraries,
// and nothing of this repository. tests/test_wheel.py builds and runs it.

#include <iostream>
#include <stdexcept>

#include <mlx/mlx.h>
#include <mlx/portable_graph.h>
#include <mlx/selection.h>
#include <mlx/selection_primitives.h>

namespace mx = mlx::core;

namespace {

void require(const char* promise, const mx::array& condition) {
  if (!mx::all(condition).item<bool>()) {
    throw std::runtime_error(promise);
  }
}

} // namespace

int main() {
  auto a = mx::array({3.0f, 1.0f, 4.0f, 1.0f, 5.0f});
  auto [values, indices] = mx::selection::top_k(a, 2);
  require("the values", mx::equal(values, mx::array({5.0f, 4.0f})));
  require("the indices", mx::equal(indices, mx::array({4u, 2u})));

  auto sum_of_best = [](const mx::array& x) {
    return mx::sum(mx::selection::topk(x, 2));
  };
  auto gradient = mx::grad(sum_of_best)(a);
  auto chosen = mx::array({0.0f, 0.0f, 1.0f, 0.0f, 1.0f});
  require("the gradient", mx::equal(gradient, chosen));

  mx::IndexGradientScope error(mx::IndexGradient::error);
  auto through_indices = [](const mx::array& x) {
    return mx::sum(mx::take(x, mx::selection::argsort(x)));
  };
  try {
    mx::eval(mx::grad(through_indices)(a));
  } catch (const std::invalid_argument&) {
    std::cout << "mlx_topk works" << std::endl;
    return 0;
  }
  return 1;
}
