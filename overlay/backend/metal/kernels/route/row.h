// Copyright © 2026 the mlx-topk authors. MIT licence.

// A row of logits in registers: its scores, and the choice of its experts.

#pragma once

#include "mlx/backend/metal/kernels/topk.h"
#include "overlay/backend/metal/kernels/route/groups.h"
#include "overlay/backend/metal/kernels/route/scores.h"

/** The chosen experts of a row, in threadgroup memory. */
struct Chosen {
  // The elements that are compared with each other, and the bits of their
  // scores. A masked expert has `masked_score()` instead.
  threadgroup Ranked<uint>* slots;
  threadgroup uint* slot_scores;
  // The same for the k best, in the order of the results.
  threadgroup uint* scores;
};

/**
 * A row of up to N * width experts in the registers of `width` lanes. A
 * mirrored row is read from its end: position 0 is that of the last expert.
 */
template <ushort N, ushort width>
struct RouteRow {
  // The keys are at first the bits of score plus bias, then choice keys.
  LaneRow<order_float32, N, width, true> elements;
  float scores[N];
  uint masked; // Bit i is set if the lane's i-th expert is masked.
  uint size; // 0 for a lane beyond the last row.
  bool mirrored;

  METAL_FUNC bool is_masked(uint i) const thread {
    return ((masked >> i) & 1u) != 0;
  }

  /** Returns the index of the expert at a position. */
  METAL_FUNC uint expert(uint position) const thread {
    return mirrored ? size - 1u - position : position;
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
    } else if (settings.score == 2) {
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
        out[expert(elements.position(i))] = scores[i];
      }
    }
  }

  /** Sets the i-th key to the bits of a number, or of -infinity if masked. */
  METAL_FUNC void set_bits(ushort i, float x) thread {
    elements.keys[i] = is_masked(i) ? masked_score() : as_type<uint>(x);
  }

  METAL_FUNC void add_bias(
      const device float* bias,
      const constant RouteArguments& settings) thread {
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      float biased = scores[i];
      if (settings.has_bias != 0 && elements.position(i) < size) {
        uint index = expert(elements.position(i));
        biased += bias[int64_t(index) * settings.bias_stride];
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
      uint key = choice_key(as_type<float>(elements.keys[i]), mirrored);
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
            is_masked(i) ? masked_score() : as_type<uint>(scores[i]);
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
        indices[place] = expert(mine.position());
        chosen.scores[place] = chosen.slot_scores[i];
      }
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
  }
};
