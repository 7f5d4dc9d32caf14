// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "doctest/doctest.h"

#include "mlx/mlx.h"

using namespace mlx::core;

namespace {

// Returns whether f(a) is the inner product of `a` and the gradient of f at
// `a`. Euler's identity says so, also where elements tie.
bool euler_holds(
    const std::function<array(const array&)>& select,
    const array& a) {
  auto f = [&](const array& x) {
    auto y = select(x);
    return sum(multiply(y, arange(1.0, 1.0 + y.size(), 1.0, y.dtype())));
  };
  return array_equal(sum(multiply(a, grad(f)(a))), f(a)).item<bool>();
}

// Has 5 different values, so that most elements tie.
array with_ties() {
  return astype(
      remainder(multiply(arange(512), array(7919)), array(5)), float32);
}

} // namespace

TEST_CASE("test the tangent of argpartition has the type of indices") {
  auto f = [](const array& a) { return argpartition(a, 1); };
  auto a = array({3.0f, 1.0f, 2.0f});
  auto [out, tangent] = jvp(f, a, ones_like(a));
  CHECK_EQ(tangent.dtype(), uint32);
  CHECK(array_equal(tangent, zeros({3}, uint32)).item<bool>());
}

TEST_CASE("test gradients of partition go where elements came from") {
  auto f = [](const array& a) { return partition(a, 200); };
  CHECK(euler_holds(f, with_ties()));
}

TEST_CASE("test gradients of topk go to chosen elements") {
  for (auto k : {1, 3, 50, 200, 511}) {
    auto f = [k](const array& a) { return topk(a, k, 0); };
    CHECK(euler_holds(f, with_ties()));
  }

  auto f = [](const array& a) { return sum(square(topk(a, 3, 0))); };
  auto a = array({0.0f, 0.0f, 1.0f, 0.0f});
  auto expected = array({0.0f, 0.0f, 2.0f, 0.0f});
  CHECK(array_equal(grad(f)(a), expected).item<bool>());
}

TEST_CASE("test tangents of partition move with the elements") {
  // The tangent of the input is the input itself.
  auto f = [](const array& a) { return partition(a, 200); };
  auto a = with_ties();
  auto [out, tangent] = jvp(f, a, a);
  CHECK(array_equal(out, tangent).item<bool>());
}
