// Copyright © 2026 the mlx-topk authors. MIT licence.

// Part of the shim (metal.h): Metal's simdgroup functions and barriers. Each
// calls emulator::collective or one of the executor's two barriers.

#pragma once
#pragma GCC system_header

#include "../runtime/executor.h"
#include "math.h"
#include "mem_flags.h"

// Parameters that default to the file and line of the call.
#define EMULATOR_SITE \
  const char *file = __builtin_FILE(), int line = __builtin_LINE()

// Marks functions that work for the executor: the tracker ignores their
// accesses.
#define EMULATOR_UNTRACKED __attribute__((no_sanitize_thread))

namespace metal {

using emulator::Lanes;
using emulator::Site;

// Metal has simdgroup functions for half, float and integers of up to 32 bits,
// and for vectors of these. It has none for bool, 64-bit integers and bfloat.
template <typename T>
constexpr bool is_simd_scalar =
    std::is_same_v<T, half> || std::is_same_v<T, float> ||
    (std::is_integral_v<T> && !std::is_same_v<T, bool> && sizeof(T) <= 4);
template <typename T>
struct IsSimd : bool_constant<is_simd_scalar<T>> {};
template <typename T, int size>
struct IsSimd<vec<T, size>> : bool_constant<is_simd_scalar<T>> {};
template <typename T>
using Simd = std::enable_if_t<IsSimd<T>::value, T>;

template <typename T>
EMULATOR_UNTRACKED T lane_value(const Lanes& lanes, uint lane) {
  T value;
  __builtin_memcpy(&value, lanes.values[lane], sizeof(T));
  return value;
}
template <typename T>
EMULATOR_UNTRACKED void set_lane_value(Lanes& lanes, uint lane, T value) {
  __builtin_memcpy(lanes.values[lane], &value, sizeof(T));
}

/** Sets each lane to Operation over all lanes. */
template <typename Operation, typename T>
EMULATOR_UNTRACKED void reduce(Lanes& lanes) {
  T result = lane_value<T>(lanes, 0);
  for (uint i = 1; i < lanes.count; ++i) {
    result = Operation::apply(result, lane_value<T>(lanes, i));
  }
  for (uint i = 0; i < lanes.count; ++i) {
    set_lane_value(lanes, i, result);
  }
}

/** Sets each lane to the sum of the lanes before it, itself included or not. */
template <typename T, bool inclusive>
EMULATOR_UNTRACKED void prefix_sum(Lanes& lanes) {
  T before = T(0);
  for (uint i = 0; i < lanes.count; ++i) {
    T after = static_cast<T>(before + lane_value<T>(lanes, i));
    set_lane_value(lanes, i, inclusive ? after : before);
    before = after;
  }
}

/** Gives `operand` to a simdgroup function and returns this lane's result. */
template <typename T>
T call_collective(T operand, emulator::Combine combine, Site site) {
  auto lanes = emulator::collective(&operand, sizeof(T), combine, site);
  return lane_value<T>(*lanes, emulator::current->lane);
}

#define EMULATOR_REDUCTION(name, expression)                           \
  struct name##_operation {                                            \
    template <typename T>                                              \
    static T apply(T a, T b) {                                         \
      return static_cast<T>(expression);                               \
    }                                                                  \
  };                                                                   \
  template <typename T>                                                \
  Simd<T> name(T value, EMULATOR_SITE) {                               \
    return call_collective(                                            \
        value, &reduce<name##_operation, T>, Site{#name, file, line}); \
  }
EMULATOR_REDUCTION(simd_max, metal::max(a, b))
EMULATOR_REDUCTION(simd_min, metal::min(a, b))
EMULATOR_REDUCTION(simd_sum, a + b)
EMULATOR_REDUCTION(simd_product, a* b)
EMULATOR_REDUCTION(simd_or, a | b)
EMULATOR_REDUCTION(simd_and, a& b)
EMULATOR_REDUCTION(simd_xor, a ^ b)
#undef EMULATOR_REDUCTION

template <typename T>
Simd<T> simd_prefix_exclusive_sum(T value, EMULATOR_SITE) {
  Site site{"simd_prefix_exclusive_sum", file, line};
  return call_collective(value, &prefix_sum<T, false>, site);
}
template <typename T>
Simd<T> simd_prefix_inclusive_sum(T value, EMULATOR_SITE) {
  Site site{"simd_prefix_inclusive_sum", file, line};
  return call_collective(value, &prefix_sum<T, true>, site);
}

/** Returns the value of another lane. It is an error if there is no such lane.
 */
template <typename T>
T value_of_lane(T value, int lane, Site site) {
  auto lanes = emulator::collective(&value, sizeof(T), nullptr, site);
  if (lane < 0 || lane >= static_cast<int>(lanes->count)) {
    emulator::missing_lane(lane, site);
  }
  return lane_value<T>(*lanes, lane);
}
/** Returns the value of another lane, or this lane's if there is no such lane.
 */
template <typename T>
T value_of_lane_or_own(T value, int lane, Site site) {
  auto lanes = emulator::collective(&value, sizeof(T), nullptr, site);
  bool exists = lane >= 0 && lane < static_cast<int>(lanes->count);
  return exists ? lane_value<T>(*lanes, lane) : value;
}

template <typename T>
Simd<T> simd_shuffle(T value, ushort lane, EMULATOR_SITE) {
  return value_of_lane(value, lane, Site{"simd_shuffle", file, line});
}
template <typename T>
Simd<T> simd_broadcast(T value, ushort lane, EMULATOR_SITE) {
  return value_of_lane(value, lane, Site{"simd_broadcast", file, line});
}
template <typename T>
Simd<T> simd_broadcast_first(T value, EMULATOR_SITE) {
  return value_of_lane(value, 0, Site{"simd_broadcast_first", file, line});
}
template <typename T>
Simd<T> simd_shuffle_xor(T value, ushort mask, EMULATOR_SITE) {
  int lane = static_cast<int>(emulator::current->lane ^ mask);
  return value_of_lane(value, lane, Site{"simd_shuffle_xor", file, line});
}
template <typename T>
Simd<T> simd_shuffle_down(T value, ushort delta, EMULATOR_SITE) {
  int lane = static_cast<int>(emulator::current->lane) + delta;
  Site site{"simd_shuffle_down", file, line};
  return value_of_lane_or_own(value, lane, site);
}
template <typename T>
Simd<T> simd_shuffle_up(T value, ushort delta, EMULATOR_SITE) {
  int lane = static_cast<int>(emulator::current->lane) - delta;
  return value_of_lane_or_own(value, lane, Site{"simd_shuffle_up", file, line});
}

struct simd_vote {
  typedef uint64_t vote_t;
  simd_vote() = default;
  explicit constexpr simd_vote(vote_t vote) : votes(vote) {}
  explicit constexpr operator vote_t() const {
    return votes;
  }
  bool all() const {
    return votes == 0xffffffffu;
  }
  bool any() const {
    return votes != 0;
  }

 private:
  vote_t votes;
};

/** Sets each lane to a mask of the lanes that voted 1. */
EMULATOR_UNTRACKED inline void ballot(Lanes& lanes) {
  uint votes = 0;
  for (uint i = 0; i < lanes.count; ++i) {
    votes |= lane_value<uint>(lanes, i) << i;
  }
  for (uint i = 0; i < lanes.count; ++i) {
    set_lane_value(lanes, i, votes);
  }
}
inline simd_vote simd_ballot(bool vote, EMULATOR_SITE) {
  Site site{"simd_ballot", file, line};
  return simd_vote(call_collective<uint>(vote, &ballot, site));
}
inline bool simd_any(bool vote, EMULATOR_SITE) {
  Site site{"simd_any", file, line};
  return call_collective<uint>(vote, &reduce<simd_or_operation, uint>, site);
}
inline bool simd_all(bool vote, EMULATOR_SITE) {
  Site site{"simd_all", file, line};
  return call_collective<uint>(vote, &reduce<simd_and_operation, uint>, site);
}

// ---- barriers ---------------------------------------------------------------

inline void threadgroup_barrier(mem_flags flags, EMULATOR_SITE) {
  Site site{"threadgroup_barrier", file, line};
  emulator::threadgroup_barrier(static_cast<int>(flags), site);
}
inline void simdgroup_barrier(mem_flags flags, EMULATOR_SITE) {
  Site site{"simdgroup_barrier", file, line};
  emulator::simdgroup_barrier(static_cast<int>(flags), site);
}

} // namespace metal
