// Copyright © 2026 the mlx-topk authors. MIT licence.

// Metal's library for nvcc, as far as the selection kernels use it: a second
// opinion on their source, from the compiler of another GPU with simdgroups of
// 32. A kernel of that name is launched with one emulator_arguments.

#pragma once

#include <cstdint>
#include <type_traits>

#define METAL_FUNC __device__ __forceinline__
#define EMULATOR_KERNEL __device__ __forceinline__
#define EMULATOR_UNPACK(...) __VA_ARGS__
#define EMULATOR_ENTRY(name, most_threads, kernel)                       \
  extern "C" __global__ void __launch_bounds__(most_threads)             \
      name(const __grid_constant__ emulator_arguments arguments) {       \
    if (threadIdx.x == 0) {                                              \
      emulator::arguments() = arguments;                                 \
    }                                                                    \
    __syncthreads();                                                     \
    (EMULATOR_UNPACK kernel)();                                          \
  }

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;

struct emulator_arguments {
  void* buffers[31];
  // Where the threadgroup arguments begin in dynamic shared memory.
  uint32_t threadgroup_offsets[31];
};

namespace metal {

template <bool condition, typename T, typename F>
using conditional_t = std::conditional_t<condition, T, F>;

// CUDA has min and max of its own.
__device__ inline uint popcount(uint x) {
  return __popc(x);
}

constexpr uint all_lanes = ~0u;

__device__ inline uint simd_max(uint x) {
  return __reduce_max_sync(all_lanes, x);
}
__device__ inline uint simd_min(uint x) {
  return __reduce_min_sync(all_lanes, x);
}
__device__ inline uint simd_sum(uint x) {
  return __reduce_add_sync(all_lanes, x);
}
__device__ inline uint simd_prefix_exclusive_sum(uint x) {
  uint lane = threadIdx.x % 32;
  uint sum = x;
  for (uint step = 1; step < 32; step *= 2) {
    uint before = __shfl_up_sync(all_lanes, sum, step);
    sum += lane >= step ? before : 0;
  }
  return sum - x;
}

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };
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

/** The values of kernel parameters, as default arguments of the kernel. */
namespace argument {

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
// Threadgroups have one dimension.
__device__ inline uint thread_index_in_threadgroup() {
  return threadIdx.x;
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
