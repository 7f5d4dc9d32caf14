// Copyright © 2026 the mlx-topk authors. MIT licence.

// Arithmetic on pairs: two numbers of 16 bits in one word.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"

// Another compiler than Metal's brings its own definitions of these functions.
#ifndef TOPK_PAIRS

/** Returns the greater of each two numbers. */
METAL_FUNC uint pair_max(uint a, uint b) {
  return as_type<uint>(max(as_type<ushort2>(a), as_type<ushort2>(b)));
}

/** Returns the sums without their carries. */
METAL_FUNC uint pair_sum(uint a, uint b) {
  return as_type<uint>(as_type<ushort2>(a) + as_type<ushort2>(b));
}

/** Returns 0xffff for each number whose highest bit is set, else 0. */
METAL_FUNC uint pair_signs(uint a) {
  return as_type<uint>(as_type<short2>(a) >> 15);
}

#endif

/** Returns a pair of equal numbers: the low 16 bits of `a`. */
METAL_FUNC uint pair_of(uint a) {
  return (a & 0xffffu) * 0x10001u;
}
