// Copyright © 2026 the mlx-topk authors. MIT licence.

// Chooses experts for each row of logits, and weighs them. `width` lanes of a
// simdgroup share a row. They compute the scores in registers, select as
// topk_lanes does, and pass the chosen scores through threadgroup memory.
//
// The results depend on the order in which floats are added:
//   - For the sum of a softmax, each lane adds its exponentials by ascending
//     index. The lanes then add each other's sums, those of lanes width / 2
//     apart first, and those of neighbours last.
//   - The sum of the weights is taken in the order of the results.
// exp, log, sqrt and the division are those of the device.

#pragma once

#include "mlx/backend/metal/kernels/topk.h"
#include "overlay/backend/metal/kernels/route_arguments.h"

// ---- numbers ----------------------------------------------------------------

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
 * Returns the key by which experts are chosen. Unlike in order_float32, the key
 * of NaN is the least: it is the complement of the key of -x.
 */
METAL_FUNC uint choice_key(float x) {
  return ~order_float32::key(as_type<uint>(x) ^ 0x80000000u);
}

/** Returns the number that has this key in order_float32. */
METAL_FUNC float number_of_key(uint key) {
  uint number = key - 0x7f800000u;
  bool negative = (number >> 31) != 0;
  return as_type<float>(negative ? 0x80000000u | (0u - number) : number);
}

// ---- groups -----------------------------------------------------------------

/** The keys of the two greatest numbers, NaN being the greatest. */
struct BestPair {
  uint best;
  uint second;

  METAL_FUNC void add(BestPair other) thread {
    second = max(max(second, other.second), min(best, other.best));
    best = max(best, other.best);
  }
};

/** Returns the key of a group's score. */
METAL_FUNC uint
group_key(BestPair pair, const constant RouteArguments& settings) {
  // Key 0 is that of -infinity. A masked expert does not count.
  bool alone = settings.masks_infinity != 0 && pair.second == 0;
  if (settings.sums_pair == 0 || alone) {
    return pair.best;
  }
  float sum = number_of_key(pair.second) + number_of_key(pair.best);
  return order_float32::key(as_type<uint>(sum));
}

/**
 * Writes to memory[g], for each group g, whether the row may choose from it.
 * At first `memory` has the order_float32 keys of the row's `size` experts.
 * After these it has room for one key of each group.
 */
template <ushort width>
METAL_FUNC void choose_groups(
    uint lane,
    uint size,
    threadgroup uint* memory,
    const constant RouteArguments& settings) {
  uint first = lane % width;
  uint lanes = settings.group_lanes;
  threadgroup uint* group_keys = memory + settings.members * settings.groups;
  uint groups_at_once = width / lanes;
  for (uint start = 0; start < settings.groups; start += groups_at_once) {
    uint group = start + first / lanes;
    bool exists = size > 0 && group < settings.groups;
    uint count = exists ? settings.members : 0u;
    BestPair pair = {0, 0};
    for (uint i = first % lanes; i < count; i += lanes) {
      pair.add({memory[group * settings.members + i], 0});
    }
    for (uint step = lanes / 2; step > 0; step /= 2) {
      pair.add({exchanged(pair.best, step), exchanged(pair.second, step)});
    }
    if (exists && first % lanes == 0) {
      group_keys[group] = group_key(pair, settings);
    }
  }
  simdgroup_barrier(mem_flags::mem_threadgroup);
  uint groups = size > 0 ? settings.groups : 0u;
  for (uint group = first; group < groups; group += width) {
    uint mine = group_keys[group];
    uint better = 0;
    for (uint i = 0; i < groups; ++i) {
      uint other = group_keys[i];
      better += uint(other > mine || (other == mine && i < group));
    }
    memory[group] = uint(better < settings.topk_groups);
  }
  simdgroup_barrier(mem_flags::mem_threadgroup);
}

// ---- a row ------------------------------------------------------------------

// The bits of -0, which is no expert's score.
constant constexpr uint masked_score = 0x80000000u;

/** The chosen experts of a row, in threadgroup memory. */
struct Chosen {
  // The elements that are compared with each other, and the bits of their
  // scores. A masked expert has `masked_score` instead.
  threadgroup Ranked<uint>* slots;
  threadgroup uint* slot_scores;
  // The same for the k best, in the order of the results.
  threadgroup uint* scores;
};

/** A row of up to N * width experts in the registers of `width` lanes. */
template <ushort N, ushort width>
struct RouteRow {
  // The keys are at first the bits of score plus bias, then choice keys.
  LaneRow<order_float32, N, width, true> elements;
  float scores[N];
  uint masked; // Bit i is set if the lane's i-th expert is masked.
  uint size; // 0 for a lane beyond the last row.

  METAL_FUNC bool is_masked(uint i) const thread {
    return ((masked >> i) & 1u) != 0;
  }

  /** Reads logits into `scores`. */
  template <typename Order>
  METAL_FUNC void load(
      const device typename Order::Word* in,
      int64_t stride,
      bool masks_infinity) thread {
    uint first = elements.lane % width;
    uint count = (size + width - 1u - first) / width;
    elements.there = count < 32u ? (1u << count) - 1u : ~0u;
    const device typename Order::Word* from = in + int64_t(first) * stride;
    typename Order::Word words[N];
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      words[i] = 0;
      if (elements.position(i) < size) {
        words[i] = from[int64_t(i * width) * stride];
      }
    }
    masked = 0;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      scores[i] = Real<Order>::of(words[i]);
      bool infinite = as_type<uint>(scores[i]) == 0xff800000u;
      masked |= uint(infinite && masks_infinity) << i;
    }
  }

  METAL_FUNC void softmax(uint zero) thread {
    // max() ignores NaN, but the exponential of a NaN makes the sum NaN.
    float highest = as_type<float>(0xff800000u);
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      highest = elements.has(i) ? max(highest, scores[i]) : highest;
    }
    TOPK_UNROLL
    for (uint step = width / 2; step > 0; step /= 2) {
      highest = max(highest, exchanged_float(highest, step));
    }
    float total = 0;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      scores[i] = elements.has(i) ? exp(scores[i] - highest) : 0.0f;
      total += scores[i];
    }
    TOPK_UNROLL
    for (uint step = width / 2; step > 0; step /= 2) {
      total += exchanged_float(total, step);
    }
    float factor = 1.0f / total;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      scores[i] = rounded_product(scores[i], factor, zero);
    }
  }

  /** Turns logits into scores. Masked experts have the score 0. */
  METAL_FUNC void score(const constant RouteArguments& settings) thread {
    if (settings.score == 0) {
      softmax(settings.zero);
    } else if (settings.score == 1) {
      TOPK_UNROLL
      for (ushort i = 0; i < N; ++i) {
        scores[i] = sigmoid_of(scores[i]);
      }
    } else {
      TOPK_UNROLL
      for (ushort i = 0; i < N; ++i) {
        scores[i] = sqrtsoftplus_of(scores[i], settings.zero);
      }
    }
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      scores[i] = is_masked(i) ? 0.0f : scores[i];
    }
  }

  METAL_FUNC void write_scores(device float* out) const thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      if (elements.position(i) < size) {
        out[elements.position(i)] = scores[i];
      }
    }
  }

  /** Sets the i-th key to the bits of a number, or of -infinity if masked. */
  METAL_FUNC void set_bits(ushort i, float x) thread {
    elements.keys[i] = is_masked(i) ? 0xff800000u : as_type<uint>(x);
  }

  METAL_FUNC void add_bias(
      const device float* bias,
      const constant RouteArguments& settings) thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      float biased = scores[i];
      if (settings.has_bias != 0 && elements.position(i) < size) {
        biased += bias[int64_t(elements.position(i)) * settings.bias_stride];
      }
      set_bits(i, biased);
    }
  }

  /** Sets the keys of experts in all but the best groups. See choose_groups. */
  METAL_FUNC void exclude_groups(
      threadgroup uint* memory,
      const constant RouteArguments& settings) thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      if (elements.position(i) < size) {
        memory[elements.position(i)] = order_float32::key(elements.keys[i]);
      }
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
    choose_groups<width>(elements.lane, size, memory, settings);
    // Of the i-th element: its group, and its number in the group.
    uint members = settings.members;
    uint group = elements.lane % width / members;
    uint number = elements.lane % width % members;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      if (elements.position(i) < size && memory[group] == 0) {
        set_bits(i, settings.excluded_score);
      }
      number += width % members;
      group += width / members + uint(number >= members);
      number -= number >= members ? members : 0u;
    }
  }

  METAL_FUNC void set_keys() thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      uint key = choice_key(as_type<float>(elements.keys[i]));
      elements.keys[i] = elements.position(i) < size ? key : 0u;
    }
  }

  /** Returns the k-th greatest key of the row, by bisection. */
  METAL_FUNC uint kth_key() const thread {
    uint key = 0;
    for (uint bit = 0x80000000u; bit != 0; bit >>= 1) {
      uint count = popcount(elements.reaching(key | bit));
      TOPK_UNROLL
      for (uint step = width / 2; step > 0; step /= 2) {
        count += exchanged(count, step);
      }
      key |= count >= elements.k ? bit : 0u;
    }
    return key;
  }

  /**
   * Returns a bit for each of this lane's elements that may be one of the k
   * best. The row has at most 2 * width of them. `up_to` becomes how many the
   * lanes up to this one have, and `count` how many the row has.
   */
  template <ushort groups>
  METAL_FUNC uint
  candidates(thread uint& up_to, thread uint& count) const thread {
    uint lane = elements.lane;
    uint last = lane / width * width + width - 1;
    uint passing = 0;
    count = ~0u;
    if (elements.k <= width) {
      uint bound = elements.template bound<groups>();
      passing = elements.reaching(bound);
      up_to = sum_up_to<width>(popcount(passing), lane);
      count = of_lane(up_to, last);
      if (simd_max(count) > 2u * width) {
        passing = elements.reaching_first(bound);
        up_to = sum_up_to<width>(popcount(passing), lane);
        count = of_lane(up_to, last);
      }
    }
    if (simd_max(count) > 2u * width) {
      passing = elements.reaching_first(kth_key());
      up_to = sum_up_to<width>(popcount(passing), lane);
      count = of_lane(up_to, last);
    }
    return passing;
  }

  METAL_FUNC void gather(uint passing, uint slot, thread const Chosen& chosen)
      const thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      if (((passing >> i) & 1u) != 0) {
        uint position = elements.position(i);
        chosen.slots[slot] = Ranked<uint>::of(elements.keys[i], position);
        chosen.slot_scores[slot] =
            is_masked(i) ? masked_score : as_type<uint>(scores[i]);
        ++slot;
      }
    }
  }

  /** Writes the indices of the k best, and their scores to `chosen`. */
  template <ushort groups>
  METAL_FUNC void select(
      bool sorted,
      device uint* indices,
      thread const Chosen& chosen) const thread {
    uint up_to;
    uint count;
    uint passing = candidates<groups>(up_to, count);
    gather(passing, up_to - popcount(passing), chosen);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    uint k = elements.k;
    for (uint i = elements.lane % width; i < count; i += width) {
      Ranked<uint> mine = chosen.slots[i];
      uint rank = preceding(mine, count, chosen.slots);
      if (rank < k) {
        uint place = sorted ? rank : k - 1u - rank;
        indices[place] = mine.position();
        chosen.scores[place] = chosen.slot_scores[i];
      }
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
  }
};

/** Writes the weights of the k chosen experts. `first` is the lane's place. */
template <typename Order, ushort width>
METAL_FUNC void write_weights(
    uint first,
    uint k,
    const threadgroup uint* chosen,
    device typename Order::Word* weights,
    const constant RouteArguments& settings) {
  float total = 0;
  bool some = settings.masks_infinity == 0;
  for (uint i = 0; i < k; ++i) {
    total += as_type<float>(chosen[i]);
    some = some || chosen[i] != masked_score;
  }
  total = settings.eps != 0.0f ? total + settings.eps : total;
  for (uint i = first; i < k; i += width) {
    uint bits = chosen[i];
    float weight = bits == masked_score ? 0.0f : as_type<float>(bits);
    if (settings.renormalizes != 0) {
      weight /= some ? total : 1.0f;
    }
    weight *= settings.scale;
    weights[i] = Real<Order>::word(weight);
  }
}

// ---- the kernel -------------------------------------------------------------

/**
 * `width` lanes share a row of logits, with up to N in each. k is at most
 * 2 * width. `groups` is how many maxima each lane finds, as for topk_lanes.
 * Without a bias or scores, any array is bound in their place. `memory` has
 * size + groups words for each row of the threadgroup, if there are groups.
 */
template <typename Order, ushort N, ushort width, ushort groups>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_route(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* weights [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    const device float* bias [[buffer(5)]],
    device float* scores [[buffer(6)]],
    const constant RouteArguments& settings [[buffer(7)]],
    threadgroup uint* memory [[threadgroup(0)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint3 group_count [[threadgroups_per_grid]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  static_assert(N <= 32, "`there` has one bit for each element");
  TOPK_SHARED Ranked<uint> slots[2 * group_threads];
  TOPK_SHARED uint slot_scores[2 * group_threads];
  TOPK_SHARED uint chosen_scores[2 * group_threads];
  uint64_t first =
      (row_of_group(group, group_count) * simds + simd) * (simd_size / width);
  if (first >= args.rows) {
    return;
  }
  // All lanes of a simdgroup have to take part in its functions, so lanes
  // beyond the last row have an empty row.
  uint64_t number = first + lane / width;
  bool live = number < args.rows;
  RowStart start = start_of_row(live ? number : first, args, axes);
  RouteRow<N, width> row;
  row.elements.k = args.k;
  row.elements.lane = lane;
  row.size = live ? args.axis_size : 0u;
  row.template load<Order>(
      in + start.in, args.in_stride, settings.masks_infinity != 0);
  row.score(settings);
  if (settings.writes_scores != 0) {
    row.write_scores(scores + number * args.axis_size);
  }
  row.add_bias(bias, settings);
  uint row_of_threads = (simd * simd_size + lane) / width;
  if (settings.topk_groups < settings.groups) {
    uint words = args.axis_size + settings.groups;
    row.exclude_groups(memory + row_of_threads * words, settings);
  }
  row.set_keys();
  uint slot = 2u * width * row_of_threads;
  Chosen chosen = {slots + slot, slot_scores + slot, chosen_scores + slot};
  row.template select<groups>(
      args.sorted != 0, indices + number * args.k, chosen);
  if (live) {
    write_weights<Order, width>(
        lane % width,
        args.k,
        chosen.scores,
        weights + number * args.k,
        settings);
  }
}
