// Copyright © 2026 the mlx-topk authors. MIT licence.

// Defines a value that holds an element's key and position and can be compared,
// and functions by which the lanes of a simdgroup sort and exchange keys.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/rows.h"

/** A key and a position. See before() for the order. */
template <typename Key>
struct Ranked;

template <>
struct Ranked<uint> {
  ulong bits; // The key in the high half, the position's complement in the low.

  static METAL_FUNC Ranked of(uint key, uint position) {
    return {(ulong(key) << 32) | ulong(~position)};
  }
  METAL_FUNC uint key() const thread {
    return uint(bits >> 32);
  }
  METAL_FUNC uint position() const thread {
    return ~uint(bits);
  }
};

template <>
struct Ranked<ulong> {
  ulong bits;
  uint at;

  static METAL_FUNC Ranked of(ulong key, uint position) {
    return {key, position};
  }
  METAL_FUNC ulong key() const thread {
    return bits;
  }
  METAL_FUNC uint position() const thread {
    return at;
  }
};

/** Returns whether a comes before b in the order of sorted results. */
METAL_FUNC bool before(Ranked<uint> a, Ranked<uint> b) {
  return a.bits > b.bits;
}
METAL_FUNC bool before(Ranked<ulong> a, Ranked<ulong> b) {
  return a.bits > b.bits || (a.bits == b.bits && a.at < b.at);
}

/** Returns the x of another lane. */
METAL_FUNC uint of_lane(uint x, uint lane) {
  return simd_shuffle(x, ushort(lane));
}
METAL_FUNC ulong of_lane(ulong x, uint lane) {
  uint high = simd_shuffle(uint(x >> 32), ushort(lane));
  uint low = simd_shuffle(uint(x), ushort(lane));
  return (ulong(high) << 32) | ulong(low);
}

/** Returns the x of the lane whose number differs in the bits of `step`. */
METAL_FUNC uint exchanged(uint x, uint step) {
  return simd_shuffle_xor(x, ushort(step));
}
METAL_FUNC ulong exchanged(ulong x, uint step) {
  uint high = simd_shuffle_xor(uint(x >> 32), ushort(step));
  uint low = simd_shuffle_xor(uint(x), ushort(step));
  return (ulong(high) << 32) | ulong(low);
}

/** Compares and exchanges the keys of lanes `step` apart. */
template <typename Key>
METAL_FUNC Key sort_stage(Key key, uint lane, uint step, bool descending) {
  Key other = exchanged(key, step);
  bool greater = ((lane & step) == 0) == descending;
  return greater ? max(key, other) : min(key, other);
}

/** Sorts the keys of each `width` lanes by a bitonic sort, greatest first. */
template <uint width, typename Key>
METAL_FUNC Key sorted_keys(Key key, uint lane) {
  TOPK_UNROLL
  for (uint run = 2; run <= width; run *= 2) {
    TOPK_UNROLL
    for (uint step = run / 2; step > 0; step /= 2) {
      key = sort_stage(key, lane, step, run == width || (lane & run) == 0);
    }
  }
  return key;
}

/** Sorts a bitonic sequence over each `width` lanes, greatest first. */
template <uint width, typename Key>
METAL_FUNC Key merged_keys(Key key, uint lane) {
  TOPK_UNROLL
  for (uint step = width / 2; step > 0; step /= 2) {
    key = sort_stage(key, lane, step, true);
  }
  return key;
}

/**
 * Returns a bit for each lane of the caller's `width` lanes that passes true
 * for `flag`. Bit 0 is that of the first of these lanes.
 */
template <uint width>
METAL_FUNC uint votes_of(bool flag, uint lane) {
  simd_vote vote = simd_ballot(flag);
  uint votes = uint(static_cast<simd_vote::vote_t>(vote));
  if (width == simd_size) {
    return votes;
  }
  return (votes >> (lane / width * width)) & ((1u << (width % simd_size)) - 1u);
}

/** Returns the inclusive prefix sum over the caller's `width` lanes. */
template <uint width>
METAL_FUNC uint sum_up_to(uint mine, uint lane) {
  TOPK_UNROLL
  for (uint step = 1; step < width; step *= 2) {
    uint other = simd_shuffle_up(mine, ushort(step));
    mine += lane % width >= step ? other : 0u;
  }
  return mine;
}

/** Returns the same as row_start, but faster if one axis describes the rows. */
METAL_FUNC RowStart start_of_row(
    uint64_t row,
    const constant TopKArguments& args,
    const constant int64_t* axes) {
  if (args.row_axes == 1) {
    int64_t position = int64_t(row);
    return {
        args.in_start + position * axes[1],
        args.out_start + position * axes[2]};
  }
  return row_start(row, args, axes);
}
