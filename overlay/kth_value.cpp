// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/kth_value.h"

#include "mlx/ops.h"
#include "mlx/topk_seam.h"
#include "overlay/order_statistics.h"

namespace mlx::core::selection {

TopKResult kthvalue(
    const array& a,
    int k,
    int axis /* = -1 */,
    bool keepdims /* = false */,
    TopKMode mode /* = TopKMode::smallest */,
    StreamOrDevice s /* = {} */) {
  axis = check_axis("kthvalue", axis, a);
  OrderStatistics::check_k(k, axis, a.shape());
  auto stream = to_stream(s);
  auto found = element_at("kthvalue", a, k - 1, axis, mode, stream);
  if (keepdims) {
    return found;
  }
  return {
      squeeze(found.values, axis, stream),
      squeeze(found.indices, axis, stream)};
}

} // namespace mlx::core::selection
