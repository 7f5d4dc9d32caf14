// Copyright © 2026 the mlx-topk authors. MIT licence.

#include <cmath>
#include <cstdio>

#include "doctest/doctest.h"

#include "mlx/mlx.h"

using namespace mlx::core;

namespace {

array indices_of(const array& a, int k, int axis = -1, bool largest = true) {
  return topk(a, k, axis, largest, true).second;
}

bool same(const array& a, const array& b) {
  return a.dtype() == b.dtype() && array_equal(a, b, true).item<bool>();
}

// Has 11 different values, so that most elements tie.
array with_ties(Shape shape) {
  int size = 1;
  for (auto n : shape) {
    size *= n;
  }
  auto a = remainder(multiply(arange(size), array(7919)), array(11));
  return reshape(astype(a, float32), shape);
}

} // namespace

TEST_CASE("test topk prefers the lower index") {
  auto a = array({2.0f, NAN, 3.0f, -0.0f, 3.0f, 0.0f});
  CHECK(same(indices_of(a, 3), array({1u, 2u, 4u})));
  CHECK(same(indices_of(a, 3, 0, false), array({3u, 5u, 0u})));
  auto c = array({complex64_t(1, NAN), complex64_t(2, 0), complex64_t(2, 1)});
  CHECK(same(indices_of(c, 3), array({0u, 2u, 1u})));
}

TEST_CASE("test topk agrees with a stable sort") {
  for (auto size : {1, 7, 31, 32, 33, 1024, 5000}) {
    auto a = with_ties({3, size});
    for (auto k : {1, 2, 16, 65, size}) {
      k = std::min(k, size);
      auto [values, indices] = topk(a, k, 1, false, true);
      auto expected = slice(argsort(a, 1), {0, 0}, {3, k});
      CHECK(same(indices, expected));
      CHECK(same(values, take_along_axis(a, expected, 1)));
    }
  }
}

TEST_CASE("test unsorted topk has the worst first and the best last") {
  for (auto size : {1, 7, 1024, 5000}) {
    auto a = with_ties({3, size});
    for (auto largest : {true, false}) {
      for (auto k : {1, 2, 16, size / 2, size}) {
        k = std::clamp(k, 1, size);
        auto best = topk(a, k, 1, largest, true).second;
        auto [values, indices] = topk(a, k, 1, largest, false);
        CHECK(same(sort(indices, 1), sort(best, 1)));
        CHECK(same(values, take_along_axis(a, indices, 1)));
        for (auto [i, j] : {std::pair{0, k - 1}, std::pair{k - 1, 0}}) {
          CHECK(same(take(indices, array(i), 1), take(best, array(j), 1)));
        }
      }
    }
  }
}

TEST_CASE("test topk along strided axes") {
  auto a = with_ties({40, 50});
  auto expected = indices_of(contiguous(transpose(a)), 5);
  CHECK(same(indices_of(transpose(a), 5), expected));
  CHECK(same(transpose(indices_of(a, 5, 0)), expected));
  CHECK(same(
      indices_of(broadcast_to(a, {2, 40, 50}), 5),
      broadcast_to(indices_of(a, 5), {2, 40, 5})));
  auto reversed = slice(a, {39, 49}, {-41, -51}, {-1, -1});
  CHECK(same(indices_of(reversed, 5), indices_of(contiguous(reversed), 5)));
}

TEST_CASE("test topk of empty arrays, with k = 0 and with a bad k") {
  CHECK_EQ(topk(zeros({3, 0}), 0, 1, true, true).first.shape(), Shape{3, 0});
  CHECK_EQ(indices_of(zeros({3, 4}), 0).shape(), Shape{3, 0});
  CHECK_EQ(indices_of(zeros({0, 4}), 2).shape(), Shape{0, 2});
  CHECK_THROWS_AS(indices_of(zeros({3}), 4), std::invalid_argument);
  CHECK_THROWS_AS(indices_of(zeros({3}), -1), std::invalid_argument);
  CHECK_THROWS(indices_of(zeros({3}), 1, 1));
}

TEST_CASE("test gradients of topk values") {
  auto a = array({0.0f, 0.0f, 1.0f, 0.0f});
  auto f = [](const array& a) {
    return sum(square(topk(a, 3, 0, true, true).first));
  };
  CHECK(same(grad(f)(a), array({0.0f, 0.0f, 2.0f, 0.0f})));
  auto second = grad([&](const array& a) { return sum(grad(f)(a)); });
  CHECK(same(second(a), array({2.0f, 2.0f, 2.0f, 0.0f})));
  CHECK(same(jvp(f, a, ones_like(a)).second, array(2.0f)));
}

TEST_CASE("test topk under vmap and compile") {
  auto a = with_ties({6, 30});
  auto f = [](const array& a) { return indices_of(a, 4); };
  CHECK(same(vmap(f)(a), f(a)));
  if (default_device() != Device::cpu) {
    return; // There topk is a slice of a sort, which needs fixed shapes.
  }
  auto g = [](const std::vector<array>& in) {
    auto [values, indices] = topk(in[0], 4, -1, true, true);
    return std::vector<array>{values, indices};
  };
  auto compiled = compile(g, true);
  for (auto columns : {30, 10}) {
    auto x = slice(a, {0, 0}, {6, columns});
    CHECK(same(compiled({x})[1], f(x)));
  }
  CHECK_THROWS_AS(compiled({slice(a, {0, 0}, {6, 3})}), std::invalid_argument);
}

TEST_CASE("test topk is exported") {
  auto path = "topk.mlxfn";
  auto f = [](const std::vector<array>& in) {
    auto [values, indices] = topk(in[0], 4, 0, false, true);
    return std::vector<array>{values, indices};
  };
  auto a = with_ties({30, 3});
  export_function(path, f, {a});
  auto out = import_function(path)({a});
  CHECK(same(out[0], f({a})[0]));
  CHECK(same(out[1], f({a})[1]));
  std::remove(path);
}
