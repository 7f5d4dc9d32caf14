// Copyright © 2026 the mlx-topk authors. MIT licence.

// Finds the groups of experts that a row may choose from.

#pragma once

#include "mlx/backend/cpu/selection/simd/buffer-inl.h"
#include "overlay/backend/cpu/route/simd/scores-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/**
 * Combines each lane with the lane ``distance`` away, then those at half the
 * distance and so on. In the end every lane of ``best`` and ``second`` holds
 * the greatest and the second greatest of all lanes.
 */
template <size_t distance = lanes<float> / 2>
inline void fold_lanes(Floats& best, Floats& second) {
  if constexpr (distance > 0) {
    auto across = [](size_t l) constexpr { return l ^ distance; };
    auto other_best = shuffle<float>(best, best, across);
    auto other_second = shuffle<float>(second, second, across);
    second = max_of(max_of(second, other_second), min_of(best, other_best));
    best = max_of(best, other_best);
    fold_lanes<distance / 2>(best, second);
  }
}

/** The greatest element of a group and the second greatest. */
struct BestPair {
  float best;
  float second;
  bool has_nan;
};

inline BestPair best_pair(const float* group, size_t members) {
  auto best = broadcast(-infinity);
  auto second = best;
  Ints nan{};
  for (size_t i = 0; i < members; i += lanes<float>) {
    Floats x;
    if (i + lanes<float> <= members) {
      x = load(group + i);
    } else {
      x = broadcast(-infinity);
      std::memcpy(&x, group + i, (members - i) * sizeof(float));
    }
    nan |= x != x;
    second = max_of(second, min_of(best, x));
    best = max_of(best, x);
  }
  fold_lanes(best, second);
  return {best[0], second[0], any_of(nan)};
}

/** Returns an integer that orders as the score. NaN is greatest, -0 is 0. */
inline int32_t key_of(float score) {
  if (std::isnan(score)) {
    return std::numeric_limits<int32_t>::max();
  }
  auto bits = std::bit_cast<int32_t>(score + 0.0f);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

/** Chooses the best groups of one row after the other. */
class GroupChoice {
 public:
  GroupChoice(const RouteSettings& route, size_t experts)
      : route_(route),
        groups_(route.groups),
        members_(experts / groups_),
        keys_(route.uses_groups() ? round_up(groups_, lanes<int32_t>) : 0),
        kept_(route.uses_groups() ? round_up(groups_, lanes<int32_t>) : 0) {}

  size_t members() const {
    return members_;
  }

  /** Returns for each group whether it is among the best of this row. */
  const int32_t* choose(const float* biased) {
    for (size_t g = 0; g < groups_; ++g) {
      keys_.get()[g] = key_of(score(biased + g * members_));
    }
    for (size_t g = 0; g < groups_; g += lanes<int32_t>) {
      store(kept_.get() + g, is_kept(g));
    }
    return kept_.get();
  }

 private:
  float score(const float* group) const {
    auto [best, second, has_nan] = best_pair(group, members_);
    if (has_nan) {
      return std::numeric_limits<float>::quiet_NaN();
    }
    bool has_pair = route_.group_score == GroupScore::top2 && members_ > 1;
    // An expert at -inf does not count if -inf masks.
    if (!has_pair || (route_.masks_infinity && second == -infinity)) {
      return best;
    }
    return second + best;
  }

  // A group is kept if fewer than topk_groups groups are better.
  Ints is_kept(size_t first) const {
    auto keys = load(keys_.get() + first);
    auto numbers = lane_numbers<int32_t>() + static_cast<int32_t>(first);
    Ints better{};
    for (size_t g = 0; g < groups_; ++g) {
      auto key = broadcast(keys_.get()[g]);
      auto before = numbers > static_cast<int32_t>(g);
      better -= (key > keys) | ((key == keys) & before);
    }
    return better < route_.topk_groups;
  }

  const RouteSettings& route_;
  size_t groups_;
  size_t members_;
  Buffer<int32_t> keys_;
  Buffer<int32_t> kept_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
