// Copyright © 2026 the mlx-topk authors. MIT licence.

// SortedSearch on the CPU: stock MLX searches a sequence of one dimension. Rows
// of more dimensions are searched here, each key by a binary search.

#include "overlay/sorted_search.h"

#include "mlx/allocator.h"
#include "mlx/backend/common/ordered_key.h"
#include "mlx/backend/cpu/array_data.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/backend/cpu/selection/float_mode.h"
#include "mlx/backend/cpu/split_rows.h"
#include "mlx/dtype_utils.h"
#include "overlay/stock_eval.h"

namespace mlx::core {

namespace {

// The smallest task worth giving to a helper thread, in keys.
constexpr int64_t keys_per_part = 1 << 12;

// Returns how many of the ``size`` elements, which are ``stride`` apart and in
// ascending order, belong before ``key``.
template <typename T>
uint32_t search(
    const T* elements,
    int64_t stride,
    int64_t size,
    T key,
    SearchSide side) {
  auto wanted = ordered_key(key);
  int64_t first = 0;
  while (size > 0) {
    auto half = size / 2;
    auto element = ordered_key(elements[(first + half) * stride]);
    bool before =
        side == SearchSide::left ? element < wanted : element <= wanted;
    first = before ? first + half + 1 : first;
    size = before ? size - half - 1 : half;
  }
  return first;
}

// The rows of the sequences and of the keys, and where the results go.
struct Search {
  RowPlan sequences;
  RowPlan keys;
  SearchSide side;

  template <typename T>
  void run(
      const T* elements,
      const T* wanted,
      uint32_t* out,
      int64_t first,
      int64_t last) const {
    cpu::ExactDenormals exact;
    RowCursor row(sequences, first);
    RowCursor key_row(keys, first);
    for (auto r = first; r < last; ++r, row.next(), key_row.next()) {
      for (int64_t i = 0; i < keys.axis_size; ++i) {
        out[key_row.out_offset + i * keys.out_axis_stride] = search(
            elements + row.in_offset,
            sequences.in_axis_stride,
            sequences.axis_size,
            wanted[key_row.in_offset + i * keys.in_axis_stride],
            side);
      }
    }
  }
};

RowPlan plan_last_axis(const array& a) {
  return plan_rows(a.shape(), a.strides(), a.ndim() - 1, a.shape(-1));
}

} // namespace

void SortedSearch::eval_cpu(const std::vector<array>& inputs, array& out) {
  auto& sequences = inputs[0];
  auto& keys = inputs[1];
  if (sequences.ndim() == 1) {
    return eval_by_stock(*this, inputs, out);
  }
  out.set_data(allocator::malloc(out.nbytes()));
  if (out.size() == 0) {
    return;
  }
  auto& encoder = cpu::get_command_encoder(stream());
  encoder.set_input_array(sequences);
  encoder.set_input_array(keys);
  encoder.set_output_array(out);
  encoder.dispatch(
      [sequences = cpu::ArrayData(sequences),
       keys = cpu::ArrayData(keys),
       dtype = keys.dtype(),
       out = cpu::ArrayData(out),
       job = Search{plan_last_axis(sequences), plan_last_axis(keys), side_}] {
        dispatch_all_types(dtype, [&](auto type_tag) {
          using T = MLX_GET_TYPE(type_tag);
          auto run = [&](auto first, auto last) {
            job.run(
                sequences.get<T>(),
                keys.get<T>(),
                out.get<uint32_t>(),
                first,
                last);
          };
          cpu::split_rows(job.keys, keys_per_part, run);
        });
      });
}

} // namespace mlx::core
