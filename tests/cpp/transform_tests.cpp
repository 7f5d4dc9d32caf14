// Copyright © 2026 the mlx-topk authors. MIT licence.

// Tests gradients, vmap and the index-gradient option in C++.

#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "mlx/mlx.h"
#include "overlay/selection.h"
#include "overlay/stable_sort.h"
#include "tests/cpp/check.h"

using namespace mlx::core;
using selection::TopKMode;
using selection::TopKOrder;

namespace {

bool same(const array& a, const array& b) {
  return a.dtype() == b.dtype() && array_equal(a, b).item<bool>();
}

void test_gradients_and_vmap_follow_the_chosen_elements() {
  auto a = array({0.0f, 0.0f, 1.0f, 0.0f});
  auto loss = [](const array& a) {
    return sum(square(selection::topk(a, 3, 0)));
  };
  CHECK(same(grad(loss)(a), array({0.0f, 0.0f, 2.0f, 0.0f})));
  auto second = grad([&](const array& a) { return sum(grad(loss)(a)); })(a);
  CHECK(same(second, array({2.0f, 2.0f, 2.0f, 0.0f})));

  auto gathered = [](const array& a) {
    return sum(take_along_axis(a, selection::argsort(a, 0), 0));
  };
  CHECK(same(grad(gathered)(a), ones_like(a)));
  auto both = vmap([](const std::vector<array>& in) {
    auto [values, indices] = selection::top_k(in[0], 2);
    return std::vector<array>{values, indices};
  });
  auto out = both({stack({a, negative(a)})});
  CHECK(same(out[1], array({2u, 0u, 0u, 1u}, {2, 2})));
}

void test_primitives_in_hand_built_graphs_have_zero_gradients() {
  // Such a graph has the primitive, but not the nodes by which the op stops the
  // gradient of its indices.
  auto partition = [](const std::vector<array>& in) {
    auto primitive = std::make_shared<StableSort>(
        default_stream(Device::cpu),
        std::vector<int>{1},
        0,
        SortResult::indices);
    return std::vector<array>{array(in[0].shape(), uint32, primitive, in)};
  };
  auto a = array({3.0f, 1.0f, 2.0f});
  CHECK(same(jvp(partition, {a}, {a}).second[0], zeros({3}, uint32)));
  CHECK(same(vjp(partition, {a}, {ones({3}, uint32)}).second[0], zeros({3})));
}

void test_index_gradient_option_decides_what_grad_does() {
  auto a = array({3.0f, 1.0f, 2.0f});
  auto as_float = [](const array& a) {
    return sum(astype(selection::argsort(a, 0), float32));
  };
  CHECK(same(grad(as_float)(a), zeros_like(a)));
  {
    IndexGradientScope zero(IndexGradient::zero);
    CHECK(same(grad(as_float)(a), zeros_like(a)));
  }
  IndexGradientScope error(IndexGradient::error);
  auto message =
      error_of<std::invalid_argument>([&]() { eval(grad(as_float)(a)); });
  CHECK(message.find("[argsort] Indices have no gradient") == 0);
  std::thread([&]() { CHECK(index_gradient() == IndexGradient::stop); }).join();
}

void test_index_gradient_option_holds_for_ops_composed_on_a_gpu() {
  // The graph is built and differentiated but not evaluated, so that no GPU is
  // needed.
  auto gpu = Stream(0, Device::gpu);
  auto loss = [&](const array& a) {
    auto result =
        selection::top_k(a, 2, 0, TopKMode::largest, TopKOrder::sorted, gpu);
    return sum(astype(result.indices, float32, gpu), gpu);
  };
  IndexGradientScope error(IndexGradient::error);
  auto message = error_of<std::invalid_argument>(
      [&]() { grad(loss)(array({3.0f, 1.0f, 2.0f})); });
  CHECK(message.find("[top_k] Indices have no gradient") == 0);
}

} // namespace

void run_transform_tests() {
  test_gradients_and_vmap_follow_the_chosen_elements();
  test_primitives_in_hand_built_graphs_have_zero_gradients();
  test_index_gradient_option_decides_what_grad_does();
  test_index_gradient_option_holds_for_ops_composed_on_a_gpu();
}
