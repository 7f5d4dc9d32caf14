// Copyright © 2026 the mlx-topk authors. MIT licence.

// The arguments of the kernels of topk.h. Metal and C++ both include this, so
// it includes nothing: C++ needs <cstdint>.

struct TopKArguments {
  uint64_t rows;
  // The elements of a row, how many of them are selected, and how many
  // threadgroups share the row.
  uint32_t axis_size;
  uint32_t k;
  uint32_t segments;
  // How many (key, position) pairs the threadgroup memory holds.
  uint32_t capacity;
  // In elements. A mirrored row is read and written from its end, so that the
  // higher index wins among equal elements.
  int64_t in_start;
  int64_t in_stride;
  int64_t out_start;
  int64_t out_stride;
  uint32_t mirrored;
  uint32_t smallest;
  uint32_t sorted;
  uint32_t writes_values;
  uint32_t writes_indices;
  // Whether the elements that are not selected are written too, after those
  // that are.
  uint32_t writes_rest;
  // How many axes the buffer `axes` describes. It has 3 int64 per axis,
  // outermost first: size, stride in the input, stride in the output.
  uint32_t row_axes;
  // topk_bound_split looks in each segment for `share` of the k best, and has
  // room for `room` of the elements that reach its bound. If more reach it, it
  // keeps those greater than the bound and then the first equal ones, `wanted`
  // together.
  uint32_t share;
  uint32_t room;
  uint32_t wanted;
};
