// Copyright © 2026 the mlx-topk authors. MIT licence.

#include <algorithm>

#include "mlx/allocator.h"
#include "mlx/backend/common/utils.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/dtype_utils.h"
#include "mlx/topk_primitive.h"

namespace mlx::core {

namespace {

template <typename T>
struct Element {
  T value;
  uint32_t index;
};

// NaN is the greatest value. Only NaN is not equal to itself.
template <typename T>
bool less(T a, T b) {
  return a == a && (b != b || a < b);
}

// A strict total order: equal values are ordered by their indices.
template <typename T>
bool better(const Element<T>& a, const Element<T>& b, TopKMode mode) {
  bool largest = mode == TopKMode::largest;
  if (less(a.value, b.value)) {
    return !largest;
  }
  if (less(b.value, a.value)) {
    return largest;
  }
  return a.index < b.index;
}

// Moves the k best elements to the front of the row.
template <typename T>
void select(
    std::vector<Element<T>>& row,
    int k,
    TopKMode mode,
    TopKOrder order) {
  auto is_better = [mode](auto& a, auto& b) { return better(a, b, mode); };
  auto first = row.begin();
  auto last = first + k;
  // For small k a heap is faster.
  if (k < row.size() / 32) {
    std::partial_sort(first, last, row.end(), is_better);
  } else {
    std::nth_element(first, last - 1, row.end(), is_better);
  }
  if (order == TopKOrder::sorted) {
    std::sort(first, last, is_better);
  } else {
    // The worst is at last - 1. Put it first, and the best last.
    std::iter_swap(first, last - 1);
    std::iter_swap(last - 1, std::min_element(first, last, is_better));
  }
}

template <typename T>
void topk(
    const array& in,
    array& values,
    array& indices,
    int axis,
    TopKMode mode,
    TopKOrder order) {
  auto without_axis = [axis](auto v) {
    v.erase(v.begin() + axis);
    return v;
  };
  auto shape = without_axis(in.shape());
  ContiguousIterator in_rows(shape, without_axis(in.strides()), shape.size());
  ContiguousIterator out_rows(
      shape, without_axis(values.strides()), shape.size());
  auto in_stride = in.strides()[axis];
  auto out_stride = values.strides()[axis];
  int k = values.shape(axis);

  std::vector<Element<T>> row(in.shape(axis));
  for (size_t i = 0; i < values.size(); i += k) {
    auto in_row = in.data<T>() + in_rows.loc;
    for (uint32_t j = 0; j < row.size(); ++j) {
      row[j] = {in_row[j * in_stride], j};
    }
    select(row, k, mode, order);
    for (int j = 0; j < k; ++j) {
      auto offset = out_rows.loc + j * out_stride;
      values.data<T>()[offset] = row[j].value;
      indices.data<uint32_t>()[offset] = row[j].index;
    }
    in_rows.step();
    out_rows.step();
  }
}

} // namespace

void TopK::eval_cpu(
    const std::vector<array>& inputs,
    std::vector<array>& outputs) {
  auto& in = inputs[0];
  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(in);
  for (auto& out : outputs) {
    out.set_data(allocator::malloc(out.nbytes()));
    encoder.set_output_array(out);
  }
  encoder.dispatch([in = array::unsafe_weak_copy(in),
                    values = array::unsafe_weak_copy(outputs[0]),
                    indices = array::unsafe_weak_copy(outputs[1]),
                    axis = axis_,
                    mode = mode_,
                    order = order_]() mutable {
    dispatch_all_types(in.dtype(), [&](auto type_tag) {
      using T = MLX_GET_TYPE(type_tag);
      topk<T>(in, values, indices, axis, mode, order);
    });
  });
}

} // namespace mlx::core
