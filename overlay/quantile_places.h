// Copyright © 2026 the mlx-topk authors. MIT licence.

// The formulas of the quantile methods: at which places of the sorted elements
// a quantile is found. They are written once, for numbers and for arrays.
//
// R. J. Hyndman and Y. Fan, Sample quantiles in statistical packages, The
// American Statistician 50, 1996, define the methods. NumPy's numpy.quantile
// has the same ones.

#pragma once

#include <cmath>

#include "mlx/array.h"
#include "mlx/ops.h"
#include "overlay/quantile.h"

namespace mlx::core::selection {

/**
 * An array as a number of a formula. The operators build graph nodes on the
 * stream of the left operand.
 */
struct GraphNumber {
  array value;
  Stream stream;

  GraphNumber constant(double number) const {
    return {array(number, value.dtype()), stream};
  }
};

inline GraphNumber operator+(const GraphNumber& a, const GraphNumber& b) {
  return {add(a.value, b.value, a.stream), a.stream};
}
inline GraphNumber operator-(const GraphNumber& a, const GraphNumber& b) {
  return {subtract(a.value, b.value, a.stream), a.stream};
}
inline GraphNumber operator*(const GraphNumber& a, const GraphNumber& b) {
  return {multiply(a.value, b.value, a.stream), a.stream};
}
inline GraphNumber operator+(const GraphNumber& a, double b) {
  return a + a.constant(b);
}
inline GraphNumber operator-(const GraphNumber& a, double b) {
  return a - a.constant(b);
}
inline GraphNumber operator*(const GraphNumber& a, double b) {
  return a * a.constant(b);
}

inline double floor_of(double x) {
  return std::floor(x);
}
inline GraphNumber floor_of(const GraphNumber& x) {
  return {floor(x.value, x.stream), x.stream};
}

inline double ceil_of(double x) {
  return std::ceil(x);
}
inline GraphNumber ceil_of(const GraphNumber& x) {
  return {ceil(x.value, x.stream), x.stream};
}

/** Rounds to the nearest integer, and a half to the even one. */
inline double round_of(double x) {
  return std::nearbyint(x);
}
inline GraphNumber round_of(const GraphNumber& x) {
  return {round(x.value, 0, x.stream), x.stream};
}

/** Returns ``yes`` where x is 0, and ``no`` elsewhere. */
inline double choose_at_zero(double x, double yes, double no) {
  return x == 0 ? yes : no;
}
inline GraphNumber choose_at_zero(
    const GraphNumber& x,
    const GraphNumber& yes,
    const GraphNumber& no) {
  auto is_zero = equal(x.value, x.constant(0).value, x.stream);
  return {where(is_zero, yes.value, no.value, x.stream), x.stream};
}

inline double constant_like(double, double value) {
  return value;
}
inline GraphNumber constant_like(const GraphNumber& x, double value) {
  return x.constant(value);
}

/** Limits x to the range from 0 to ``most``. */
inline double clip_to(double x, double most) {
  return std::fmin(std::fmax(x, 0), most);
}
inline GraphNumber clip_to(const GraphNumber& x, const GraphNumber& most) {
  auto positive = maximum(x.value, x.constant(0).value, x.stream);
  return {minimum(positive, most.value, x.stream), x.stream};
}

/** The quantile is ``weight`` of the way from one place to the other. */
template <typename Number>
struct QuantilePlaces {
  Number lower;
  Number upper;
  Number weight;
};

/** Whether a method reads one place only, so that the weight is 0. */
inline bool reads_one_place(QuantileMethod method) {
  using enum QuantileMethod;
  return method == inverted_cdf || method == closest_observation ||
      method == lower || method == higher || method == nearest;
}

/** Returns the place, which may be between two, in ``n`` sorted elements. */
template <typename Number>
Number virtual_place(QuantileMethod method, const Number& n, const Number& q) {
  using enum QuantileMethod;
  auto between = [&](double alpha, double beta) {
    return n * q + (q * (1 - alpha - beta) + alpha) - 1.0;
  };
  switch (method) {
    case inverted_cdf:
    case averaged_inverted_cdf:
      return n * q - 1.0;
    case closest_observation:
      return n * q - 1.0 - 0.5;
    case interpolated_inverted_cdf:
      return between(0, 1);
    case hazen:
      return between(0.5, 0.5);
    case weibull:
      return between(0, 0);
    case median_unbiased:
      return between(1 / 3.0, 1 / 3.0);
    case normal_unbiased:
      return between(3 / 8.0, 3 / 8.0);
    default:
      return (n - 1.0) * q;
  }
}

/** Returns the places of the quantile ``q`` in ``n`` sorted elements. */
template <typename Number>
QuantilePlaces<Number>
quantile_places(QuantileMethod method, const Number& n, const Number& q) {
  using enum QuantileMethod;
  auto at = virtual_place(method, n, q);
  auto whole = floor_of(at);
  auto fraction = at - whole;
  auto zero = constant_like(at, 0);
  auto place = whole;
  auto weight = zero;
  switch (method) {
    case inverted_cdf:
      place = choose_at_zero(fraction, whole, whole + 1.0);
      break;
    case closest_observation: {
      // Halfway between two places, the one that is even if counted from 1.
      auto parity = whole - floor_of(whole * 0.5) * 2.0;
      auto even = choose_at_zero(parity, whole + 1.0, whole);
      place = choose_at_zero(fraction, even, whole + 1.0);
      break;
    }
    case higher:
      place = ceil_of(at);
      break;
    case nearest:
      place = round_of(at);
      break;
    case lower:
      break;
    case averaged_inverted_cdf:
      weight = choose_at_zero(
          fraction, constant_like(at, 0.5), constant_like(at, 1));
      break;
    case midpoint:
      weight = choose_at_zero(fraction, zero, constant_like(at, 0.5));
      break;
    default:
      weight = fraction;
  }
  auto last = n - 1.0;
  auto next = reads_one_place(method) ? place : place + 1.0;
  return {clip_to(place, last), clip_to(next, last), weight};
}

} // namespace mlx::core::selection
