// Copyright © 2026 the mlx-topk authors. MIT licence.

// What the host tells the kernels of topk.h, read by both.

struct TopKArguments {
  uint64_t rows;
  // Of a row: how many elements, how many are selected, and over how many
  // threadgroups it is split.
  uint32_t axis_size;
  uint32_t k;
  uint32_t segments;
  // How many (key, index) pairs the threadgroup memory holds.
  uint32_t capacity;
  // Strides are in elements. A mirrored row is read from its end, and written
  // from its end: so that among equals the higher index wins.
  int64_t in_start;
  int64_t in_stride;
  int64_t out_start;
  int64_t out_stride;
  uint32_t mirrored;
  uint32_t smallest;
  uint32_t sorted;
  uint32_t writes_values;
  uint32_t writes_indices;
  // Whether what is not selected is written too, after what is.
  uint32_t writes_rest;
  // How many axes the rows have; their table is the buffer `axes`: for each,
  // outermost first, its size, its stride in the input, and in the output.
  uint32_t row_axes;
  uint32_t padding;
};
