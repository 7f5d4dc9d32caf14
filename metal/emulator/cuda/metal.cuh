// Copyright © 2026 the mlx-topk authors. MIT licence.

// Defines a part of Metal's library in CUDA: the functions that the selection
// kernels use, and all simdgroup functions of numbers. A warp stands for a
// simdgroup, since both have 32 lanes. cuda.py includes this header before a
// translated kernel. Each kernel becomes a __global__ function under its host
// name, with one argument of type emulator_arguments.

#pragma once

#include <cstdint>
#include <type_traits>

#define METAL_FUNC __device__ __forceinline__
#define EMULATOR_KERNEL __device__ __forceinline__
// Defines the __global__ function of a kernel. `kernel` is in parentheses,
// because its template arguments contain commas.
#define EMULATOR_UNPACK(...) __VA_ARGS__
#define EMULATOR_ENTRY(name, most_threads, kernel)                 \
  extern "C" __global__ void __launch_bounds__(most_threads)       \
      name(const __grid_constant__ emulator_arguments arguments) { \
    if (threadIdx.x == 0) {                                        \
      emulator::arguments() = arguments;                           \
    }                                                              \
    __syncthreads();                                               \
    (EMULATOR_UNPACK kernel)();                                    \
  }

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;

#include "../shim/mem_flags.h" // needs METAL_FUNC

struct emulator_arguments {
  void* buffers[31]; // by index
  // The offset of each threadgroup argument in dynamic shared memory.
  uint32_t threadgroup_offsets[31];
};

namespace metal {

template <bool condition, typename T, typename F>
using conditional_t = std::conditional_t<condition, T, F>;

// min and max need no definition: CUDA has functions of the same name.
__device__ inline uint popcount(uint x) {
  return __popc(x);
}
__device__ inline uint clz(uint x) {
  return __clz(x);
}
__device__ inline uint ctz(uint x) {
  return x == 0 ? 32 : __ffs(x) - 1;
}

// ---- atomic operations ------------------------------------------------------

struct atomic_uint {
  uint value;
};

enum memory_order { memory_order_relaxed };

__device__ inline uint
atomic_fetch_add_explicit(atomic_uint* a, uint x, memory_order) {
  return atomicAdd(&a->value, x);
}
__device__ inline uint atomic_load_explicit(
    const atomic_uint* a,
    memory_order) {
  return *const_cast<const volatile uint*>(&a->value);
}
__device__ inline void
atomic_store_explicit(atomic_uint* a, uint x, memory_order) {
  *const_cast<volatile uint*>(&a->value) = x;
}

// ---- simdgroup functions ----------------------------------------------------

// All lanes of a warp must call these together. They take integers of 16 or 32
// bits and float. nvcc compiles the overloads for uint to one instruction each.

constexpr uint all_lanes = ~0u;

// What simd_ballot returns. It converts to a word with a bit for each lane.
struct simd_vote {
  typedef uint64_t vote_t;
  uint votes;
  __device__ explicit operator vote_t() const {
    return votes;
  }
};

__device__ inline simd_vote simd_ballot(bool x) {
  return {__ballot_sync(all_lanes, x)};
}

template <typename T>
using Simd = std::enable_if_t<
    std::is_arithmetic_v<T> && (sizeof(T) == 2 || sizeof(T) == 4),
    T>;

#define EMULATOR_SHUFFLE(name, intrinsic)                        \
  template <typename T>                                          \
  __device__ inline Simd<T> name(T value, ushort operand) {      \
    return static_cast<T>(intrinsic(all_lanes, value, operand)); \
  }
EMULATOR_SHUFFLE(simd_shuffle, __shfl_sync)
EMULATOR_SHUFFLE(simd_shuffle_xor, __shfl_xor_sync)
EMULATOR_SHUFFLE(simd_shuffle_up, __shfl_up_sync)
EMULATOR_SHUFFLE(simd_shuffle_down, __shfl_down_sync)
#undef EMULATOR_SHUFFLE

template <typename T>
__device__ inline Simd<T> simd_broadcast(T value, ushort lane) {
  return simd_shuffle(value, lane);
}
template <typename T>
__device__ inline Simd<T> simd_broadcast_first(T value) {
  return simd_shuffle(value, 0);
}

#define EMULATOR_REDUCTION(name, expression)                  \
  template <typename T>                                       \
  __device__ inline Simd<T> name(T value) {                   \
    for (ushort distance = 1; distance < 32; distance *= 2) { \
      T other = simd_shuffle_xor(value, distance);            \
      value = static_cast<T>(expression);                     \
    }                                                         \
    return value;                                             \
  }
EMULATOR_REDUCTION(simd_max, value < other ? other : value)
EMULATOR_REDUCTION(simd_min, other < value ? other : value)
EMULATOR_REDUCTION(simd_sum, value + other)
EMULATOR_REDUCTION(simd_product, value* other)
EMULATOR_REDUCTION(simd_or, value | other)
EMULATOR_REDUCTION(simd_and, value& other)
EMULATOR_REDUCTION(simd_xor, value ^ other)
#undef EMULATOR_REDUCTION

__device__ inline uint simd_max(uint x) {
  return __reduce_max_sync(all_lanes, x);
}
__device__ inline uint simd_min(uint x) {
  return __reduce_min_sync(all_lanes, x);
}
__device__ inline uint simd_sum(uint x) {
  return __reduce_add_sync(all_lanes, x);
}

template <typename T>
__device__ inline Simd<T> simd_prefix_inclusive_sum(T value) {
  uint lane = threadIdx.x % 32;
  for (ushort distance = 1; distance < 32; distance *= 2) {
    T before = simd_shuffle_up(value, distance);
    value = static_cast<T>(value + (lane >= distance ? before : T(0)));
  }
  return value;
}
template <typename T>
__device__ inline Simd<T> simd_prefix_exclusive_sum(T value) {
  // Subtracting the lane's own value is exact for integers only. Floats would
  // be rounded.
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(simd_prefix_inclusive_sum(value) - value);
  }
  T before = simd_shuffle_up(simd_prefix_inclusive_sum(value), 1);
  return threadIdx.x % 32 == 0 ? T(0) : before;
}

// ---- barriers ---------------------------------------------------------------

// CUDA's barriers order all memory.
__device__ inline void threadgroup_barrier(mem_flags) {
  __syncthreads();
}
__device__ inline void simdgroup_barrier(mem_flags) {
  __syncwarp();
}

} // namespace metal

namespace emulator {

__device__ inline emulator_arguments& arguments() {
  __shared__ emulator_arguments arguments_;
  return arguments_;
}

template <int id, typename T>
__device__ inline T* threadgroup_variable(const char*) {
  __shared__ T variable;
  return &variable;
}

/** Contains the functions that return the values of kernel parameters. Kernels
 * are called without arguments. The pre-pass therefore gives each parameter a
 * default argument: a call of the function that is named like its attribute. */
namespace argument {

/** Converts to the type of the parameter, which is a pointer or a reference. */
struct Memory {
  void* start;
  template <typename T>
  __device__ operator T*() const {
    return static_cast<T*>(start);
  }
  template <typename T>
  __device__ operator T&() const {
    return *static_cast<T*>(start);
  }
};
__device__ inline Memory buffer(int index) {
  return {arguments().buffers[index]};
}
__device__ inline Memory threadgroup(int index) {
  extern __shared__ __align__(16) unsigned char dynamic[];
  return {dynamic + arguments().threadgroup_offsets[index]};
}
__device__ inline uint3 threadgroup_position_in_grid() {
  return blockIdx;
}
__device__ inline uint3 threadgroups_per_grid() {
  return make_uint3(gridDim.x, gridDim.y, gridDim.z);
}
// The functions below assume that a threadgroup has one dimension and that its
// size is a multiple of 32.
__device__ inline uint thread_index_in_threadgroup() {
  return threadIdx.x;
}
__device__ inline uint threads_per_threadgroup() {
  return blockDim.x;
}
__device__ inline uint thread_index_in_simdgroup() {
  return threadIdx.x % 32;
}
__device__ inline uint simdgroup_index_in_threadgroup() {
  return threadIdx.x / 32;
}
__device__ inline uint simdgroups_per_threadgroup() {
  return blockDim.x / 32;
}

} // namespace argument
} // namespace emulator
