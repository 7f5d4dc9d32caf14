// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "doctest/doctest.h"

#include "mlx/index_gradient.h"
#include "mlx/mlx.h"

using namespace mlx::core;

namespace {

using Choose = std::function<array(const array&)>;

std::vector<Choose> index_ops() {
  return {
      [](const array& a) { return argsort(a); },
      [](const array& a) { return argpartition(a, 1); },
      [](const array& a) { return argmax(a, true); },
      [](const array& a) { return argmin(a, true); },
      [](const array& a) { return searchsorted(sort(a), a); }};
}

Choose sum_of_chosen(const Choose& choose) {
  return [choose](const array& a) {
    return sum(take_along_axis(square(a), choose(a), 0));
  };
}

const array a({3.0f, 1.0f, 2.0f});

} // namespace

TEST_CASE("test indices are constants to gradients") {
  for (auto& choose : index_ops()) {
    auto f = sum_of_chosen(choose);
    auto stopped =
        sum_of_chosen([&](const array& a) { return stop_gradient(choose(a)); });
    CHECK(array_equal(grad(f)(a), grad(stopped)(a)).item<bool>());
    CHECK(array_equal(
              jvp(f, a, ones_like(a)).second,
              jvp(stopped, a, ones_like(a)).second)
              .item<bool>());
  }
}

TEST_CASE("test second derivatives through chosen elements") {
  auto f = sum_of_chosen([](const array& a) { return argsort(a); });
  auto second = grad([&](const array& a) { return sum(grad(f)(a)); })(a);
  CHECK(array_equal(second, array({2.0f, 2.0f, 2.0f})).item<bool>());
}

TEST_CASE("test the cotangent of an index is paired with it") {
  auto f = [](const std::vector<array>& in) {
    return std::vector<array>{argsort(in[0]), square(in[0])};
  };
  auto cotangents = std::vector<array>{zeros({3}, uint32), ones({3})};
  auto grads = vjp(f, {a}, cotangents).second;
  CHECK(array_equal(grads[0], multiply(array(2.0f), a)).item<bool>());
}

TEST_CASE("test integers of other primitives are on the tape") {
  // A cast is differentiated through on purpose.
  auto f = [](const array& a) {
    return sum(astype(astype(a, int32), float32));
  };
  CHECK(array_equal(grad(f)(a), ones({3})).item<bool>());
}

TEST_CASE("test indices that come out of a checkpoint") {
  auto choose = checkpoint([](const std::vector<array>& in) {
    return std::vector<array>{argsort(in[0]), square(in[0])};
  });
  auto f = [&](const array& a) {
    auto out = choose({a});
    return sum(take_along_axis(out[1], out[0], 0));
  };
  CHECK(array_equal(grad(f)(a), multiply(array(2.0f), a)).item<bool>());
}

TEST_CASE("test index gradient mode zero leaves the op on the tape") {
  IndexGradientScope scope(IndexGradient::zero);
  auto f = [](const array& a) { return sum(astype(argsort(a), float32)); };
  CHECK(array_equal(grad(f)(a), zeros({3})).item<bool>());
  auto gather = sum_of_chosen([](const array& a) { return argsort(a); });
  CHECK_THROWS_AS(grad(gather)(a), std::invalid_argument);
}

TEST_CASE("test index gradient mode error names the op") {
  IndexGradientScope scope(IndexGradient::error);
  auto f = sum_of_chosen([](const array& a) { return argsort(a); });
  CHECK_THROWS_WITH_AS(
      grad(f)(a), doctest::Contains("[ArgSort]"), std::invalid_argument);
  CHECK_THROWS_AS(jvp(f, a, ones_like(a)), std::invalid_argument);

  // Through an op in between, too.
  auto g = sum_of_chosen(
      [](const array& a) { return remainder(argsort(a), array(3u)); });
  CHECK_THROWS_WITH_AS(
      grad(g)(a), doctest::Contains("[ArgSort]"), std::invalid_argument);

  auto stopped =
      sum_of_chosen([](const array& a) { return stop_gradient(argsort(a)); });
  CHECK_NOTHROW(grad(stopped)(a));
}

TEST_CASE("test index gradient modes have names") {
  for (auto name : {"stop", "zero", "error"}) {
    CHECK_EQ(std::string(to_string(to_index_gradient(name))), name);
  }
  CHECK_THROWS_AS(to_index_gradient("other"), std::invalid_argument);
}
