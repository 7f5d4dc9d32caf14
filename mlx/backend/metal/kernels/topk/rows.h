// Copyright © 2026 the mlx-topk authors. MIT licence.

// Where rows are in the input and the output.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/order.h"

/** A row of the input. Positions count from its first element. */
template <typename Order>
struct Row {
  typedef typename Order::Word Word;
  typedef typename Order::Key Key;

  const device Word* in;
  int64_t stride;
  Key flip;

  METAL_FUNC Key key(uint position) const thread {
    return Order::key(in[int64_t(position) * stride]) ^ flip;
  }

  METAL_FUNC uint position(uint i) const thread {
    return i;
  }
};

METAL_FUNC uint64_t row_of_group(uint3 group, uint3 groups) {
  return uint64_t(group.z) * groups.y + group.y;
}

struct RowStart {
  int64_t in;
  int64_t out;
};

METAL_FUNC RowStart row_start(
    uint64_t row,
    const constant TopKArguments& args,
    const constant int64_t* axes) {
  RowStart start = {args.in_start, args.out_start};
  for (uint axis = args.row_axes; axis > 0; --axis) {
    const constant int64_t* of_axis = axes + 3 * (axis - 1);
    uint64_t position = row;
    if (axis > 1) { // The outermost axis needs no division, which is slow.
      uint64_t size = uint64_t(of_axis[0]);
      position = row % size;
      row /= size;
    }
    start.in += int64_t(position) * of_axis[1];
    start.out += int64_t(position) * of_axis[2];
  }
  return start;
}

template <typename Order>
METAL_FUNC Row<Order> row_at(
    const device typename Order::Word* in,
    RowStart start,
    const constant TopKArguments& args) {
  typedef typename Order::Key Key;
  Key flip = args.smallest != 0 ? ~Key(0) : Key(0);
  return {in + start.in, args.in_stride, flip};
}

/** A row of the output. */
template <typename Order>
struct Output {
  typedef typename Order::Word Word;

  device Word* values;
  device uint* indices;
  int64_t stride;
  uint last;
  bool mirrored;
  bool writes_values;
  bool writes_indices;

  /** Writes the row's element at `position` to place `rank` of the output. */
  METAL_FUNC void put(uint rank, uint position, thread const Row<Order>& row)
      const thread {
    int64_t at = int64_t(rank) * stride;
    if (writes_values) {
      values[at] = row.in[int64_t(position) * row.stride];
    }
    if (writes_indices) {
      indices[at] = mirrored ? last - position : position;
    }
  }
};

template <typename Order>
METAL_FUNC Output<Order> output_at(
    device typename Order::Word* values,
    device uint* indices,
    RowStart start,
    const constant TopKArguments& args) {
  return {
      values + start.out,
      indices + start.out,
      args.out_stride,
      args.axis_size - 1u,
      args.mirrored != 0,
      args.writes_values != 0,
      args.writes_indices != 0};
}
