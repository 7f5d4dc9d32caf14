// Copyright © 2026 the mlx-topk authors. MIT licence.

// Types of numbers, scores of logits, and the keys by which scores compare.

#pragma once

#include "mlx/backend/metal/kernels/topk.h"
#include "overlay/backend/metal/kernels/route_arguments.h"

/** Reads and rounds the type of number that has this order. */
template <typename Order>
struct Real;

template <>
struct Real<order_float32> {
  static METAL_FUNC float of(uint word) {
    return as_type<float>(word);
  }
  static METAL_FUNC uint word(float x) {
    return as_type<uint>(x);
  }
};

template <>
struct Real<order_float16> {
  static METAL_FUNC float of(ushort word) {
    return float(as_type<half>(word));
  }
  static METAL_FUNC ushort word(float x) {
    return as_type<ushort>(half(x));
  }
};

METAL_FUNC bool is_nan(float x) {
  return (as_type<uint>(x) & 0x7fffffffu) > 0x7f800000u;
}

template <>
struct Real<order_bfloat16> {
  static METAL_FUNC float of(ushort word) {
    return as_type<float>(uint(word) << 16);
  }
  // Rounds to the nearest, and halfway to the even one.
  static METAL_FUNC ushort word(float x) {
    uint bits = as_type<uint>(x);
    uint rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    return ushort(is_nan(x) ? 0x7fc0u : rounded >> 16);
  }
};

/**
 * Returns what stands for the score of a masked expert: the bits of -infinity.
 * If -infinity masks, it is no expert's score.
 */
METAL_FUNC uint masked_score() {
  return 0xff800000u;
}

METAL_FUNC float exchanged_float(float x, uint step) {
  return as_type<float>(exchanged(as_type<uint>(x), step));
}

/**
 * Returns a * b, rounded. `zero` is 0, but the compiler does not know that, so
 * it cannot fuse the product with an addition that follows.
 */
METAL_FUNC float rounded_product(float a, float b, uint zero) {
  return as_type<float>(as_type<uint>(a * b) ^ zero);
}

METAL_FUNC float sigmoid_of(float x) {
  float y = 1.0f / (1.0f + exp(fabs(x)));
  return x < 0.0f ? y : 1.0f - y;
}

/** Returns the square root of log(1 + e^x). */
METAL_FUNC float sqrtsoftplus_of(float x, uint zero) {
  // max() ignores NaN, but the exponential of a NaN makes the result NaN.
  float high = max(x, 0.0f);
  float small = exp(-fabs(x));
  // log(1 + small), by Theorem 4 of Goldberg, "What every computer scientist
  // should know about floating-point arithmetic" (1991).
  float sum = 1.0f + small;
  float log_of_sum = small;
  if (sum != 1.0f) {
    log_of_sum = rounded_product(log(sum), small / (sum - 1.0f), zero);
  }
  return sqrt(high + log_of_sum);
}

/**
 * Returns the key by which experts are chosen. If NaN is not the best score,
 * its key is the least, unlike in order_float32: the key is the complement of
 * the key of -x.
 */
METAL_FUNC uint choice_key(float x, bool nan_is_best) {
  uint bits = as_type<uint>(x);
  return nan_is_best ? order_float32::key(bits)
                     : ~order_float32::key(bits ^ 0x80000000u);
}

/** Returns the number that has this key in order_float32. */
METAL_FUNC float number_of_key(uint key) {
  uint number = key - 0x7f800000u;
  bool negative = (number >> 31) != 0;
  return as_type<float>(negative ? 0x80000000u | (0u - number) : number);
}
