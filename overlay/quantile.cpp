// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/quantile.h"

#include <limits>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "mlx/dtype_utils.h"
#include "mlx/ops.h"
#include "overlay/order_statistics.h"
#include "overlay/quantile_places.h"
#include "overlay/reduced_rows.h"
#include "overlay/stock_ops.h"

namespace mlx::core::selection {

namespace {

constexpr std::pair<const char*, QuantileMethod> method_names[] = {
    {"inverted_cdf", QuantileMethod::inverted_cdf},
    {"averaged_inverted_cdf", QuantileMethod::averaged_inverted_cdf},
    {"closest_observation", QuantileMethod::closest_observation},
    {"interpolated_inverted_cdf", QuantileMethod::interpolated_inverted_cdf},
    {"hazen", QuantileMethod::hazen},
    {"weibull", QuantileMethod::weibull},
    {"linear", QuantileMethod::linear},
    {"median_unbiased", QuantileMethod::median_unbiased},
    {"normal_unbiased", QuantileMethod::normal_unbiased},
    {"lower", QuantileMethod::lower},
    {"higher", QuantileMethod::higher},
    {"nearest", QuantileMethod::nearest},
    {"midpoint", QuantileMethod::midpoint}};

// ---- elements ---------------------------------------------------------------

// Returns the type in which places are computed. GPUs have no float64.
Dtype type_of_places(const Stream& s) {
  return s.device == Device::cpu ? float64 : float32;
}

// Returns a vector as an array that has ``ndim`` axes, and its elements along
// ``axis``.
array along_axis(const array& vector, int ndim, int axis, const Stream& s) {
  std::vector<int> others;
  for (int i = 0; i < ndim; ++i) {
    if (i != axis) {
      others.push_back(i);
    }
  }
  return others.empty() ? vector : expand_dims(vector, others, s);
}

// Returns ``count`` elements of an axis, from ``first`` on.
array part_of(
    const array& a,
    int first,
    int count,
    int axis,
    bool any_shape,
    const Stream& s) {
  if (any_shape) {
    // MLX's slice has a fixed shape.
    auto indices = arange(first, first + count, uint32, s);
    return take_along_axis(a, along_axis(indices, a.ndim(), axis, s), axis, s);
  }
  auto start = Shape(a.ndim(), 0);
  auto stop = a.shape();
  start[axis] = first;
  stop[axis] = first + count;
  return slice(a, start, stop, s);
}

// The number of elements of a row, and whether the graph must hold for others.
struct RowSize {
  array count;
  bool any;
};

RowSize row_size(const Rows& rows, Dtype type, const Stream& s) {
  // MLX builds a node only while it traces a function for all shapes.
  auto count = number_of_elements(rows.elements, {rows.axis}, false, type, s);
  return {count, count.has_primitive()};
}

// Replaces what was computed from a NaN. ``element`` is NaN if any is.
array nan_from(const array& element, const array& result, const Stream& s) {
  if (!issubdtype(element.dtype(), inexact)) {
    return result;
  }
  auto nan = array(std::numeric_limits<float>::quiet_NaN(), result.dtype());
  return where(isnan(element, s), nan, result, s);
}

// Interpolates so that the result is between both, grows with the weight, and
// is exact for the weights 0 and 1.
array interpolate(
    const array& lower,
    const array& upper,
    const array& weight,
    const Stream& s) {
  auto step = subtract(upper, lower, s);
  auto rest = subtract(array(1, weight.dtype()), weight, s);
  auto half = array(0.5, weight.dtype());
  return where(
      greater_equal(weight, half, s),
      subtract(upper, multiply(step, rest, s), s),
      add(lower, multiply(step, weight, s), s),
      s);
}

// ---- probabilities ----------------------------------------------------------

// Returns the elements of ``q`` if they are known, in row-major order.
std::optional<std::vector<double>> known_elements(const array& q) {
  if (q.is_tracer() || !q.is_available()) {
    return {};
  }
  std::vector<double> elements;
  dispatch_all_types(q.dtype(), [&](auto type_tag) {
    using T = MLX_GET_TYPE(type_tag);
    if constexpr (!std::is_same_v<T, complex64_t>) {
      auto data = q.data<T>();
      for (size_t i = 0; i < q.size(); ++i) {
        int64_t offset = 0;
        auto rest = static_cast<int64_t>(i);
        for (int axis = q.ndim() - 1; axis >= 0; --axis) {
          offset += rest % q.shape(axis) * q.strides(axis);
          rest /= q.shape(axis);
        }
        elements.push_back(static_cast<double>(data[offset]));
      }
    }
  });
  for (auto element : elements) {
    if (!(element >= 0 && element <= 1)) {
      std::ostringstream msg;
      msg << "[quantile] q must be between 0 and 1, got " << element << ".";
      throw std::invalid_argument(msg.str());
    }
  }
  return elements;
}

// The places of all quantiles, those of the lower elements first, and unless
// the method reads one place, then those of the upper elements.
struct Wanted {
  array places;
  array weights;
};

Wanted known_places(
    QuantileMethod method,
    double size,
    const std::vector<double>& q,
    Dtype type) {
  std::vector<uint32_t> places, upper;
  std::vector<double> weights;
  for (auto probability : q) {
    auto found = quantile_places(method, size, probability);
    places.push_back(static_cast<uint32_t>(found.lower));
    upper.push_back(static_cast<uint32_t>(found.upper));
    weights.push_back(found.weight);
  }
  if (!reads_one_place(method)) {
    places.insert(places.end(), upper.begin(), upper.end());
  }
  int count = places.size();
  return {
      array(places.begin(), {count}, uint32),
      array(weights.begin(), {static_cast<int>(q.size())}, type)};
}

Wanted computed_places(
    QuantileMethod method,
    const array& size,
    const array& q,
    Dtype type,
    const Stream& s) {
  auto found = quantile_places<GraphNumber>(method, {size, s}, {q, s});
  auto places = astype(found.lower.value, uint32, s);
  if (!reads_one_place(method)) {
    auto upper = astype(found.upper.value, uint32, s);
    places = concatenate({places, upper}, 0, s);
  }
  return {places, astype(found.weight.value, type, s)};
}

// Throws for complex numbers. ``name`` is that of the argument.
void check_is_real(const char* name, const array& a) {
  if (issubdtype(a.dtype(), complexfloating)) {
    std::ostringstream msg;
    msg << "[quantile] " << name
        << " must not be complex, got an array of type " << a.dtype() << ".";
    throw std::invalid_argument(msg.str());
  }
}

// Returns whether the axes exist, are different and have elements.
bool median_exists(
    const array& a,
    const std::optional<std::vector<int>>& axes) {
  int ndim = a.ndim();
  if (!axes) {
    return a.size() > 0;
  }
  std::vector<bool> seen(ndim);
  for (auto axis : *axes) {
    if (axis < -ndim || axis >= ndim) {
      return false;
    }
    auto i = axis < 0 ? axis + ndim : axis;
    if (seen[i] || a.shape(i) == 0) {
      return false;
    }
    seen[i] = true;
  }
  return !axes->empty();
}

} // namespace

QuantileMethod quantile_method(const std::string& name) {
  for (auto [known, method] : method_names) {
    if (name == known) {
      return method;
    }
  }
  std::ostringstream msg;
  msg << "[quantile] method must be one of ";
  for (auto [known, method] : method_names) {
    msg << "'" << known << "', ";
  }
  auto text = msg.str();
  text.resize(text.size() - 2);
  throw std::invalid_argument(text + "; got '" + name + "'.");
}

array quantile(
    const array& a,
    const array& q,
    const std::optional<std::vector<int>>& axes /* = {} */,
    bool keepdims /* = false */,
    QuantileMethod method /* = QuantileMethod::linear */,
    StreamOrDevice stream /* = {} */) {
  auto s = to_stream(stream);
  check_is_real("a", a);
  check_is_real("q", q);
  auto result_type = issubdtype(a.dtype(), floating) ? a.dtype() : float32;
  auto along = checked_axes("quantile", a, axes);
  for (auto axis : along) {
    check_axis_has_elements("quantile", axis, a.shape());
  }
  auto rows = rows_along(a, along, s);
  auto& elements = rows.elements;
  int ndim = elements.ndim();
  int count = q.size();
  auto type = size_of(result_type) < size_of(float32) ? float32 : result_type;

  auto type_of_q = type_of_places(s);
  auto size = row_size(rows, type_of_q, s);
  auto known = known_elements(q);
  auto flat = reshape(astype(q, type_of_q, s), {count}, s);
  auto wanted = known && !size.any
      ? known_places(method, elements.shape(rows.axis), *known, type)
      : computed_places(method, size.count, flat, type, s);
  auto found =
      elements_at(
          "quantile", elements, wanted.places, rows.axis, NanRule::wins, s)
          .values;

  auto result = astype(found, type, s);
  auto upper = result;
  if (!reads_one_place(method)) {
    auto lower = part_of(result, 0, count, rows.axis, size.any, s);
    upper = part_of(result, count, count, rows.axis, size.any, s);
    auto weights = along_axis(wanted.weights, ndim, rows.axis, s);
    result = interpolate(lower, upper, weights, s);
  }
  if (issubdtype(elements.dtype(), floating)) {
    result = nan_from(upper, result, s);
  }
  if (!known) {
    auto valid = logical_and(
        greater_equal(flat, array(0, type_of_q), s),
        less_equal(flat, array(1, type_of_q), s),
        s);
    auto nan = array(std::numeric_limits<float>::quiet_NaN(), type);
    result = where(along_axis(valid, ndim, rows.axis, s), result, nan, s);
  }
  return shaped_result(
      astype(result, result_type, s), rows, q.shape(), keepdims, s);
}

array median(
    const array& a,
    const std::optional<std::vector<int>>& axes /* = {} */,
    bool keepdims /* = false */,
    StreamOrDevice stream /* = {} */) {
  auto s = to_stream(stream);
  if (!median_exists(a, axes)) {
    // Stock MLX raises the error.
    return axes ? core::median(a, *axes, keepdims, s)
                : core::median(a, keepdims, s);
  }
  auto type = issubdtype(a.dtype(), inexact) ? a.dtype() : float32;
  auto rows = rows_along(a, checked_axes("median", a, axes), s);
  auto size = row_size(rows, type_of_places(s), s);
  auto n = static_cast<uint32_t>(rows.elements.shape(rows.axis));
  // Both places are the same one if the number of elements is odd.
  bool two = size.any || n % 2 == 0;
  auto places =
      two ? array({(n - 1) / 2, n / 2}, uint32) : array({n / 2}, uint32);
  if (size.any) {
    auto twice = subtract(size.count, array({1.0, 0.0}, size.count.dtype()), s);
    auto half = multiply(twice, array(0.5, twice.dtype()), s);
    places = astype(half, uint32, s); // rounds down
  }
  auto found =
      elements_at("median", rows.elements, places, rows.axis, NanRule::wins, s)
          .values;

  auto result = astype(found, type, s);
  auto upper = result;
  if (two) {
    auto lower = part_of(result, 0, 1, rows.axis, size.any, s);
    upper = part_of(result, 1, 1, rows.axis, size.any, s);
    result = multiply(add(upper, lower, s), array(0.5, type), s);
  }
  if (size.any) {
    auto first = part_of(places, 0, 1, 0, true, s);
    auto is_odd = equal(first, part_of(places, 1, 1, 0, true, s), s);
    auto one_each = along_axis(is_odd, result.ndim(), rows.axis, s);
    result = where(one_each, upper, result, s);
  }
  if (issubdtype(a.dtype(), inexact)) {
    result = nan_from(upper, result, s);
  }
  return shaped_result(result, rows, {}, keepdims, s);
}

} // namespace mlx::core::selection
