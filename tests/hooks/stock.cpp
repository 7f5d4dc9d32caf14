// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "tests/hooks/stock.h"

#include <memory>
#include <vector>

#include "mlx/backend/gpu/device.h"
#include "mlx/topk_primitive.h"
#include "overlay/stable_sort.h"
#include "overlay/stock_eval.h"

// Lets overlay/stock_eval.cpp be linked into this module. It calls this
// function only for streams on a GPU, which the tests do not use.
void mlx::core::gpu::add_temporaries(
    const std::vector<mlx::core::array>&,
    const mlx::core::Stream&) {}

namespace hooks {

namespace {

class StockTopK : public mx::TopK {
 public:
  using mx::TopK::TopK;

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    mx::eval_by_stock(*this, inputs, outputs);
  }
};

class StockSort : public mx::StableSort {
 public:
  using mx::StableSort::StableSort;

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) override {
    mx::eval_by_stock(*this, inputs, out);
  }
};

} // namespace

std::pair<mx::array, mx::array>
topk_by_stock(const mx::array& a, int k, int axis, bool largest) {
  auto shape = a.shape();
  shape[axis] = k;
  auto outputs = mx::array::make_arrays(
      {shape, shape},
      {a.dtype(), mx::uint32},
      std::make_shared<StockTopK>(
          mx::default_stream(mx::Device::cpu),
          k,
          axis,
          largest ? mx::TopKMode::largest : mx::TopKMode::smallest,
          mx::TopKOrder::sorted),
      {a});
  return {outputs[0], outputs[1]};
}

std::pair<mx::array, mx::array>
partition_by_stock(const mx::array& a, int kth, int axis) {
  auto result = [&](mx::SortResult result, mx::Dtype dtype) {
    auto stream = mx::default_stream(mx::Device::cpu);
    return mx::array(
        a.shape(),
        dtype,
        std::make_shared<StockSort>(
            stream, std::vector<int>{kth}, axis, result),
        {a});
  };
  return {
      result(mx::SortResult::values, a.dtype()),
      result(mx::SortResult::indices, mx::uint32)};
}

} // namespace hooks
