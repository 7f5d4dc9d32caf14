// Copyright © 2026 the mlx-topk authors. MIT licence.

// The arguments and the result of route, which chooses experts for each row of
// logits and weighs them.

#pragma once

#include <optional>

#include "mlx/array.h"

namespace mlx::core {

/** How a logit becomes the score of an expert. */
enum class RouteScore { softmax, sigmoid, sqrtsoftplus, logits };

/** Which of several experts, or groups, with equal scores is chosen. */
enum class RouteTies { lower, higher };

/** The score of a group: the sum of its two best experts, or its best one. */
enum class GroupScore { top2, max };

struct RouteSettings {
  int k = 1;
  RouteScore score = RouteScore::softmax;
  // Neighbouring experts form ``groups`` groups of equal size. A row may choose
  // from its best ``topk_groups`` groups.
  int groups = 1;
  int topk_groups = 1;
  GroupScore group_score = GroupScore::top2;
  RouteTies group_ties = RouteTies::lower;
  // Replaces score plus bias of the experts in all other groups.
  float excluded_score = 0;
  // Whether weights are divided by their sum plus ``eps``. If logits are
  // scores, whether the weights are the softmax of the chosen logits.
  bool renormalize = true;
  float eps = 0;
  // Multiplies the weights.
  float scale = 1;
  // Best first. Otherwise the indices are in the reverse of that order.
  bool sorted = true;
  // By which index equal experts are chosen and ordered. NaN is the worst score
  // with ``lower`` and the best one with ``higher``.
  RouteTies ties = RouteTies::lower;
  // Whether a logit of -inf masks its expert: score and weight are 0, and it is
  // chosen only if fewer than k experts are left.
  bool masks_infinity = false;

  bool uses_groups() const {
    return topk_groups < groups;
  }
  bool uses_softmax_of_chosen() const {
    return renormalize && score == RouteScore::logits;
  }
  bool operator==(const RouteSettings&) const = default;
};

struct RouteResult {
  array weights;
  array indices;
  // The scores of all experts, if they were asked for.
  std::optional<array> scores;
};

} // namespace mlx::core
