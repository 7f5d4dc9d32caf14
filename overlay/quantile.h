// Copyright © 2026 the mlx-topk authors. MIT licence.

// Quantiles and medians by selection. docs/topk.md is the contract.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mlx/array.h"
#include "mlx/utils.h"

namespace mlx::core::selection {

/**
 * How a quantile is found between two elements. The first nine are those of
 * Hyndman and Fan, in their order; the last four choose or average the two
 * neighbours of the place that ``linear`` interpolates at. R. J. Hyndman and Y.
 * Fan, Sample quantiles in statistical packages, The American Statistician 50,
 * 1996.
 */
enum class QuantileMethod {
  inverted_cdf,
  averaged_inverted_cdf,
  closest_observation,
  interpolated_inverted_cdf,
  hazen,
  weibull,
  linear,
  median_unbiased,
  normal_unbiased,
  lower,
  higher,
  nearest,
  midpoint
};

/** Returns the method of this name. Throws std::invalid_argument if none is. */
MLX_API QuantileMethod quantile_method(const std::string& name);

/**
 * Returns the quantiles ``q`` along ``axes``, or of the whole array without
 * them. The result has the axes of ``q`` first, then those of ``a`` that are
 * not reduced, or with ``keepdims`` all of them. Its type is that of ``a``, or
 * float32 if ``a`` has integers. The quantile of elements with a NaN is NaN.
 *
 * The gradient goes to the elements that the quantile was computed from. For
 * methods that interpolate, ``q`` has a gradient too.
 *
 * A ``q`` that is not between 0 and 1 gives NaN, if ``q`` is not known when the
 * op is called. If it is, throws std::invalid_argument. Throws this also for
 * complex numbers and for no elements, and std::out_of_range for a bad axis.
 */
MLX_API array quantile(
    const array& a,
    const array& q,
    const std::optional<std::vector<int>>& axes = {},
    bool keepdims = false,
    QuantileMethod method = QuantileMethod::linear,
    StreamOrDevice s = {});

/**
 * Returns the medians along ``axes``, or that of the whole array without them:
 * the mean of the two elements in the middle, or the one in the middle. Does
 * what MLX's median does. The gradient goes to these elements.
 */
MLX_API array median(
    const array& a,
    const std::optional<std::vector<int>>& axes = {},
    bool keepdims = false,
    StreamOrDevice s = {});

} // namespace mlx::core::selection
