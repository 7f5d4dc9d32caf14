// Copyright © 2026 the mlx-topk authors. MIT licence.

// Plans topk_bound, which has a threadgroup per row. Plans topk_bound_split,
// which has several, and topk_bound_merge, which merges what they find.

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "mlx/backend/gpu/plan_launches.h"

namespace mlx::core::gpu {

namespace {

// The kernels define the same numbers.
constexpr int64_t group_threads = 256;
constexpr int64_t bound_capacity = 1024;
// For k up to this, four maxima of each thread are enough.
constexpr int64_t few_best = 512;
// Up to this many elements of a segment stay in a threadgroup's registers.
constexpr int64_t greatest_tile = 32 * group_threads;

/** How the rows are divided, and what is looked for in each segment. */
struct Split {
  int64_t segments;
  int64_t share;
  int64_t room;
  int64_t groups;
  // How many elements topk_bound_merge has to have room for.
  int64_t candidates;
};

int64_t rounded_up(double x) {
  return static_cast<int64_t>(std::ceil(x));
}

/** Returns how many of the k best are at most in one of ``segments``. */
int64_t share_of(int64_t segments, int64_t k) {
  double mean = static_cast<double>(k) / segments;
  return std::min(k, rounded_up(mean + 4 * std::sqrt(mean) + 3));
}

/**
 * Returns the split of a row into ``segments``. Elements in random order would
 * rarely put more than `share` of the k best into one segment, or more than
 * `room` elements above its bound. If that happens, the kernels stream the row,
 * so that the result is exact anyway. Returns nothing if `share` is too
 * large for the number of maxima that a segment has.
 */
std::optional<Split> split_for_few(int64_t segments, int64_t k) {
  auto share = share_of(segments, k);
  int64_t groups = share <= 48 ? 1 : 4;
  double maxima = group_threads * groups;
  if (share > 0.6 * maxima) {
    return {};
  }
  double found = maxima * std::log(maxima / (maxima - share));
  double most = found + 5 * std::sqrt(found - share + 1) + 2;
  // The bound is one of 32 pivots. With 4 groups, up to about 48 more maxima
  // reach it than would reach the best bound.
  most += groups > 1 ? 48 : 0;
  auto room = std::max(share + 32, rounded_up(most));
  return Split{segments, share, room, groups, segments * room};
}

/**
 * Returns the same for k above few_best. Then there is not enough threadgroup
 * memory for `room` elements of all segments. But in many segments together,
 * few more elements than usual reach the bounds.
 */
std::optional<Split>
split_for_many(int64_t segments, int64_t groups, int64_t size, int64_t k) {
  double maxima = group_threads * groups;
  auto share = share_of(segments, k);
  if (share > 0.6 * maxima) {
    return {};
  }
  double elements = static_cast<double>(size) / segments;
  double of_group = std::max(1.0, elements / maxima);
  double reached = 1 - std::pow(1 - share / maxima, 1 / of_group);
  double found = std::max<double>(share, of_group * maxima * reached);
  // How many more elements reach the pivot that is taken than would reach the
  // best bound, on average. The number is distributed exponentially, so a
  // segment has 14 times as many with probability 1e-6.
  double more = groups / 4 + 4 + share / 64.0;
  auto room = rounded_up(found + 14 * more);
  auto all = segments * (found + more) + 5 * std::sqrt(segments) * more;
  return Split{segments, share, room, groups, rounded_up(all)};
}

/**
 * Returns how many candidates topk_bound_merge has room for. With the kernel's
 * static variables they take less than the 32 KiB that Metal grants.
 */
int64_t most_candidates(const Selection& selection) {
  return selection.key_bytes() == 8 ? 2304 : 3456;
}

/** Returns the split into ``segments`` if topk_bound_merge can merge it. */
std::optional<Split> split_into(int64_t segments, const Selection& selection) {
  auto most = most_candidates(selection);
  if (selection.k <= few_best) {
    auto split = split_for_few(segments, selection.k);
    return split && split->candidates <= most ? split : std::nullopt;
  }
  // More groups make a tighter bound, but finding it takes longer. With keys of
  // 64 bits it would also take too much threadgroup memory.
  for (int64_t groups : {4, 16}) {
    auto split =
        split_for_many(segments, groups, selection.rows.axis_size, selection.k);
    bool exists = groups == 4 || selection.key_bytes() == 4;
    if (exists && split && split->candidates <= most) {
      return split;
    }
  }
  return {};
}

/** Returns the split with the most segments that topk_bound_merge can merge. */
std::optional<Split> split_for(const Selection& selection, bool forced) {
  auto size = selection.rows.axis_size;
  auto segments = ceildiv(size, greatest_tile);
  if (selection.k > few_best) {
    segments = std::max<int64_t>(segments, 2);
  }
  if (forced) {
    segments = std::min<int64_t>(5, size / std::max<int64_t>(selection.k, 1));
  }
  for (segments = std::min<int64_t>(segments, 256); segments > 1; --segments) {
    if (auto split = split_into(segments, selection)) {
      return split;
    }
  }
  return {};
}

/** Whether a thread can read 16 bytes of a row at a time. */
bool is_dense(const Selection& selection) {
  auto& rows = selection.rows;
  auto chunk = 16 / selection.itemsize;
  bool dense = selection.aligned && !selection.mirrored &&
      rows.in_axis_stride == 1 && rows.axis_size % chunk == 0;
  for (auto stride : rows.in_strides) {
    dense = dense && stride % chunk == 0;
  }
  return dense;
}

const char* text_of(bool flag) {
  return flag ? "true" : "false";
}

void add_threadgroup_memory(
    Launch& launch,
    const Selection& selection,
    int64_t capacity) {
  launch.arguments.capacity = capacity;
  launch.threadgroup_bytes = {capacity * selection.key_bytes(), capacity * 4};
}

LaunchPlan plan_bound(const Selection& selection) {
  auto launch = base_launch(selection, "topk_bound", 1);
  bind_outputs(launch);
  bool is_short = selection.rows.axis_size <= 16 * group_threads;
  add_template_argument(launch, is_short ? "16" : "32");
  add_template_argument(launch, selection.k <= 128 ? "1" : "4");
  add_template_argument(launch, text_of(is_dense(selection)));
  add_template_argument(launch, "false");
  add_threadgroup_memory(launch, selection, bound_capacity);
  return {{std::move(launch)}, {}};
}

Launch split_launch(const Selection& selection, const Split& split) {
  auto launch = base_launch(selection, "topk_bound_split", split.segments);
  bind_found(launch, true);
  bool loops = greatest_tile * split.segments < selection.rows.axis_size;
  // A segment of several tiles does not stay in registers: it is read twice. So
  // its tiles can be smaller.
  add_template_argument(launch, loops ? "16" : "32");
  add_template_argument(launch, std::to_string(split.groups));
  add_template_argument(launch, text_of(is_dense(selection)));
  add_template_argument(launch, text_of(loops));
  return launch;
}

Launch merge_launch(const Selection& selection, const Split& split) {
  auto launch = base_launch(selection, "topk_bound_merge", split.segments);
  launch.groups = grid(1, selection.rows.rows);
  bind_outputs(launch);
  bind_found(launch, false);
  auto slots = split.segments * split.room;
  bool few = slots <= 4 * group_threads;
  bool many = slots > 9 * group_threads;
  add_template_argument(launch, few ? "4" : many ? "14" : "9");
  auto capacity = std::clamp(
      32 * ceildiv(slots, 32), bound_capacity, most_candidates(selection));
  add_threadgroup_memory(launch, selection, capacity);
  return launch;
}

LaunchPlan plan_split(const Selection& selection, const Split& split) {
  LaunchPlan plan;
  plan.launches.reserve(2);
  plan.launches.push_back(split_launch(selection, split));
  plan.launches.push_back(merge_launch(selection, split));
  for (auto& launch : plan.launches) {
    launch.arguments.share = split.share;
    launch.arguments.room = split.room;
    // topk_bound_merge has room for so many elements of every segment.
    launch.arguments.wanted =
        std::min(split.room, most_candidates(selection) / split.segments);
  }
  auto found = selection.rows.rows * split.segments * (split.room + 1);
  plan.scratch = {
      {KernelArray::found_keys, found * selection.key_bytes()},
      {KernelArray::found_positions, found * 4}};
  return plan;
}

} // namespace

std::optional<LaunchPlan> plan_bounds(
    const Selection& selection,
    const LaunchTuning& tuning) {
  auto size = selection.rows.axis_size;
  bool many = selection.k > few_best;
  bool splits = tuning.only ? tuning.only == TopKKernel::bound_split
                            : size > tuning.resident_size || many;
  bool may_use = !tuning.only || splits || tuning.only == TopKKernel::bound;
  if (!may_use || (many && !splits) || selection.k > tuning.bound_k) {
    return {};
  }
  if (splits) {
    auto split = split_for(selection, tuning.only.has_value());
    return split ? std::optional(plan_split(selection, *split)) : std::nullopt;
  }
  return size <= greatest_tile ? std::optional(plan_bound(selection))
                               : std::nullopt;
}

} // namespace mlx::core::gpu
