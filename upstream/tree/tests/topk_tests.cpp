// Copyright © 2026 the mlx-topk authors. MIT licence.

#include <cmath>
#include <cstdio>

#include "doctest/doctest.h"

#include "mlx/mlx.h"

using namespace mlx::core;

namespace {

bool same(const array& a, const array& b) {
  return a.dtype() == b.dtype() && array_equal(a, b, true).item<bool>();
}

// Few values, so that most elements tie.
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
  auto largest = top_k(a, 3);
  CHECK(same(largest.indices, array({1u, 2u, 4u})));
  auto smallest = top_k(a, 3, -1, TopKMode::smallest);
  CHECK(same(smallest.indices, array({3u, 5u, 0u})));
}

TEST_CASE("test topk agrees with a stable sort") {
  // On both sides of where one algorithm hands over to another.
  for (auto size : {1, 7, 256, 257, 1024, 1025, 5000}) {
    auto a = with_ties({3, size});
    for (auto k : {1, 16, 17, 64, 65, size}) {
      k = std::min(k, size);
      auto [values, indices] = top_k(a, k, 1, TopKMode::smallest);
      auto expected = slice(argsort(a, 1), {0, 0}, {3, k});
      CHECK(same(indices, expected));
      CHECK(same(values, take_along_axis(a, expected, 1)));

      auto unsorted = topk(a, k, 1, TopKMode::smallest, TopKOrder::unsorted);
      CHECK(same(sort(unsorted.indices, 1), sort(expected, 1)));
      CHECK(same(unsorted.values, take_along_axis(a, unsorted.indices, 1)));
    }
  }
}

TEST_CASE("test topk along strided axes") {
  auto a = with_ties({40, 50});
  auto whole = top_k(contiguous(transpose(a)), 5);
  auto strided = top_k(transpose(a), 5);
  CHECK(same(whole.indices, strided.indices));
  auto first = top_k(a, 5, 0);
  CHECK(same(transpose(first.indices), strided.indices));
  CHECK(same(
      top_k(broadcast_to(a, {2, 40, 50}), 5).indices,
      broadcast_to(top_k(a, 5).indices, {2, 40, 5})));
}

TEST_CASE("test topk at the ends") {
  CHECK_EQ(top_k(zeros({3, 0}), 0).values.shape(), Shape{3, 0});
  CHECK_EQ(top_k(zeros({3, 4}), 0).indices.shape(), Shape{3, 0});
  CHECK_THROWS_AS(top_k(zeros({3}), 4), std::invalid_argument);
  CHECK_THROWS_AS(top_k(zeros({3}), -1), std::invalid_argument);
  CHECK_THROWS(top_k(zeros({3}), 1, 1));
}

TEST_CASE("test topk gradients") {
  auto a = array({0.0f, 0.0f, 1.0f, 0.0f});
  auto f = [](const array& a) { return sum(square(top_k(a, 3).values)); };
  auto g = [](const array& a) {
    auto indices = top_k(a, 3).indices;
    return sum(square(take_along_axis(a, indices, 0)));
  };
  auto expected = array({0.0f, 0.0f, 2.0f, 0.0f});
  CHECK(same(grad(f)(a), expected));
  CHECK(same(grad(g)(a), expected));
  auto second = grad([&](const array& a) { return sum(grad(f)(a)); });
  CHECK(same(second(a), array({2.0f, 2.0f, 2.0f, 0.0f})));
  CHECK(same(jvp(g, a, ones_like(a)).second, array(2.0f)));
}

TEST_CASE("test topk under vmap and compile") {
  auto a = with_ties({6, 30});
  auto f = [](const array& a) { return top_k(a, 4).indices; };
  CHECK(same(vmap(f)(a), f(a)));
  auto g = [](const std::vector<array>& in) {
    auto [values, indices] = top_k(in[0], 4);
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
    auto [values, indices] = top_k(in[0], 4, 0, TopKMode::smallest);
    return std::vector<array>{values, indices};
  };
  auto a = with_ties({30, 3});
  export_function(path, f, {a});
  auto out = import_function(path)({a});
  CHECK(same(out[0], f({a})[0]));
  CHECK(same(out[1], f({a})[1]));
  std::remove(path);
}
