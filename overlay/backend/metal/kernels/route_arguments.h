// Copyright © 2026 the mlx-topk authors. MIT licence.

// The settings of the kernels of route.h and route_gradient.h, beside their
// TopKArguments. Metal and C++ both include this, so it includes nothing: C++
// needs <cstdint>.

struct RouteArguments {
  int64_t bias_stride; // In elements.
  // 0 for softmax, 1 for sigmoid, 2 for sqrtsoftplus, 3 for logits.
  uint32_t score;
  // The size of a group, and how many lanes find the score of a group.
  uint32_t members;
  uint32_t group_lanes;
  uint32_t groups;
  // All groups if this is equal to `groups`.
  uint32_t topk_groups;
  // Whether the score of a group is the sum of its two best experts.
  uint32_t sums_pair;
  // Whether the later of two equal groups is chosen, in the order in which the
  // row is read.
  uint32_t later_group_first;
  float excluded_score;
  uint32_t renormalizes;
  float eps;
  float scale;
  uint32_t masks_infinity;
  uint32_t has_bias;
  uint32_t writes_scores;
  // Whether there are cotangents of scores.
  uint32_t adds_of_scores;
  // Always 0, which a compiler cannot know.
  uint32_t zero;
};
