// Copyright © 2026 the mlx-topk authors. MIT licence.

// Defines for NVRTC the words of Metal that the selection kernels use, so that
// their text compiles for NVIDIA's GPUs unchanged. NVRTC finds this file where
// the kernels include <metal_stdlib>. A simdgroup is a warp, and a threadgroup
// is a block. Functions without an execution space are taken for device
// functions (--device-as-default-execution-space).

#pragma once

// Attributes such as [[buffer(0)]] mean nothing here.
#pragma nv_diag_suppress unrecognized_attribute

#define METAL_FUNC __forceinline__
#define TOPK_UNROLL _Pragma("unroll")
#define TOPK_SHARED __shared__

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef unsigned int uint32_t;
typedef unsigned long uint64_t;
typedef int int32_t;
typedef long int64_t;

namespace metal {

template <bool condition, typename T, typename F>
struct Conditional {
  typedef T type;
};
template <typename T, typename F>
struct Conditional<false, T, F> {
  typedef F type;
};
template <bool condition, typename T, typename F>
using conditional_t = typename Conditional<condition, T, F>::type;

constexpr uint all_lanes = ~0u;

// A number of 16 bits, which only converts from float and to float.
struct half {
  ushort bits;

  METAL_FUNC explicit half(float x) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  }
  METAL_FUNC explicit operator float() const {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
  }

 private:
  template <typename To, typename From>
  friend struct Bits;
  half() = default;
};

// Reads the bits of a value as another type of the same size.
template <typename To, typename From>
struct Bits {
  static METAL_FUNC To of(From from) {
    static_assert(sizeof(To) == sizeof(From), "as_type: sizes differ");
    To to;
    memcpy(&to, &from, sizeof(To));
    return to;
  }
};
template <typename To, typename From>
METAL_FUNC To as_type(From from) {
  return Bits<To, From>::of(from);
}

METAL_FUNC uint popcount(uint x) {
  return __popc(x);
}

METAL_FUNC uint ctz(uint x) {
  return x == 0 ? 32 : __ffs(x) - 1;
}

METAL_FUNC uint clz(uint x) {
  return __clz(x);
}

// These take the place of the functions in pairs.h. From sm_90 on, the first two
// are one instruction each.
#define TOPK_PAIRS
METAL_FUNC uint pair_max(uint a, uint b) {
  return __vmaxu2(a, b);
}

METAL_FUNC uint pair_sum(uint a, uint b) {
  return __vadd2(a, b);
}

// The selector copies the sign of byte 1 to two bytes, and that of byte 3.
METAL_FUNC uint pair_signs(uint a) {
  uint signs;
  asm("prmt.b32 %0, %1, 0, 0xBB99;" : "=r"(signs) : "r"(a));
  return signs;
}

METAL_FUNC uint simd_shuffle(uint x, ushort lane) {
  return __shfl_sync(all_lanes, x, lane);
}

METAL_FUNC uint simd_shuffle_xor(uint x, ushort mask) {
  return __shfl_xor_sync(all_lanes, x, mask);
}

METAL_FUNC uint simd_shuffle_up(uint x, ushort delta) {
  return __shfl_up_sync(all_lanes, x, delta);
}

METAL_FUNC uint simd_prefix_inclusive_sum(uint x) {
  uint lane = threadIdx.x % 32;
  TOPK_UNROLL
  for (uint step = 1; step < 32; step *= 2) {
    uint before = __shfl_up_sync(all_lanes, x, step);
    x += lane >= step ? before : 0;
  }
  return x;
}

METAL_FUNC uint simd_prefix_exclusive_sum(uint x) {
  return simd_prefix_inclusive_sum(x) - x;
}

// What simd_ballot returns. It converts to a word with a bit for each lane.
struct simd_vote {
  typedef uint64_t vote_t;
  uint votes;
  METAL_FUNC explicit operator vote_t() const {
    return votes;
  }
};

METAL_FUNC simd_vote simd_ballot(bool x) {
  return {__ballot_sync(all_lanes, x)};
}

// The kernels use it in threadgroup memory only.
struct atomic_uint {
  uint value;
};

enum memory_order { memory_order_relaxed };

METAL_FUNC uint atomic_fetch_add_explicit(atomic_uint* a, uint x, memory_order) {
  return atomicAdd(&a->value, x);
}

METAL_FUNC uint atomic_load_explicit(const atomic_uint* a, memory_order) {
  return *const_cast<const volatile uint*>(&a->value);
}

METAL_FUNC void atomic_store_explicit(atomic_uint* a, uint x, memory_order) {
  *const_cast<volatile uint*>(&a->value) = x;
}

#if __CUDA_ARCH__ >= 800
METAL_FUNC uint simd_max(uint x) {
  return __reduce_max_sync(all_lanes, x);
}
METAL_FUNC uint simd_min(uint x) {
  return __reduce_min_sync(all_lanes, x);
}
METAL_FUNC uint simd_sum(uint x) {
  return __reduce_add_sync(all_lanes, x);
}
#else
// Turing has no instruction that reduces over a warp.
METAL_FUNC uint simd_max(uint x) {
  TOPK_UNROLL
  for (uint step = 16; step > 0; step /= 2) {
    x = max(x, __shfl_xor_sync(all_lanes, x, step));
  }
  return x;
}
METAL_FUNC uint simd_min(uint x) {
  TOPK_UNROLL
  for (uint step = 16; step > 0; step /= 2) {
    x = min(x, __shfl_xor_sync(all_lanes, x, step));
  }
  return x;
}
METAL_FUNC uint simd_sum(uint x) {
  TOPK_UNROLL
  for (uint step = 16; step > 0; step /= 2) {
    x += __shfl_xor_sync(all_lanes, x, step);
  }
  return x;
}
#endif

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };

METAL_FUNC void threadgroup_barrier(mem_flags) {
  __syncthreads();
}

METAL_FUNC void simdgroup_barrier(mem_flags) {
  __syncwarp();
}

} // namespace metal

///////////////////////////////////////////////////////////////////////////////
// Kernels
///////////////////////////////////////////////////////////////////////////////

// cuda_FAMILY(name, order, ...) defines the kernel `name` of a family. It takes
// the buffers in the order of their numbers in Metal, the arguments and the
// table of axes by value. Threadgroup memory begins with the keys, and the
// positions follow.

extern __shared__ __align__(16) unsigned char cuda_shared_memory[];

struct CudaAxes {
  int64_t table[24];
};

#define CUDA_KERNEL(name, ...) \
  extern "C" __global__ void __launch_bounds__(256) name(__VA_ARGS__)
#define CUDA_INPUT(order) const order::Word* in
#define CUDA_OUTPUTS(order) order::Word *values, uint *indices
#define CUDA_ARGUMENTS const __grid_constant__ TopKArguments args, \
    const __grid_constant__ CudaAxes axes
#define CUDA_KEYS(order) reinterpret_cast<order::Key*>(cuda_shared_memory)
#define CUDA_POSITIONS(order) reinterpret_cast<uint*>( \
    cuda_shared_memory + sizeof(order::Key) * args.capacity)
#define CUDA_GRID blockIdx, uint3{gridDim.x, gridDim.y, gridDim.z}
#define CUDA_SIMD threadIdx.x / 32, blockDim.x / 32, threadIdx.x % 32
#define CUDA_THREAD threadIdx.x, threadIdx.x / 32, threadIdx.x % 32

#define cuda_topk_lanes(name, order, elements, width, groups, dense)       \
  CUDA_KERNEL(name, CUDA_INPUT(order), CUDA_OUTPUTS(order), CUDA_ARGUMENTS) { \
    topk_lanes<order, elements, width, groups, dense>(                     \
        in, values, indices, args, axes.table, CUDA_GRID, CUDA_SIMD);      \
  }
#define cuda_topk_bound(name, order, ...)                                  \
  CUDA_KERNEL(name, CUDA_INPUT(order), CUDA_OUTPUTS(order), CUDA_ARGUMENTS) { \
    topk_bound<order, __VA_ARGS__>(                                        \
        in, values, indices, args, axes.table, CUDA_KEYS(order),           \
        CUDA_POSITIONS(order), CUDA_GRID, CUDA_THREAD);                    \
  }
#define cuda_topk_bound_split(name, order, ...)                            \
  CUDA_KERNEL(name, CUDA_INPUT(order), CUDA_ARGUMENTS,                     \
              order::Key* found_keys, uint* found_positions) {             \
    topk_bound_split<order, __VA_ARGS__>(                                  \
        in, args, axes.table, found_keys, found_positions, CUDA_GRID,      \
        CUDA_THREAD);                                                      \
  }
#define cuda_topk_bound_merge(name, order, count)                          \
  CUDA_KERNEL(name, CUDA_INPUT(order), CUDA_OUTPUTS(order), CUDA_ARGUMENTS, \
              const order::Key* found_keys, const uint* found_positions) { \
    topk_bound_merge<order, count>(                                        \
        in, values, indices, args, axes.table, found_keys, found_positions, \
        CUDA_KEYS(order), CUDA_POSITIONS(order), CUDA_GRID, CUDA_THREAD);  \
  }
#define cuda_topk_resident(name, order)                                    \
  CUDA_KERNEL(name, CUDA_INPUT(order), CUDA_OUTPUTS(order), CUDA_ARGUMENTS) { \
    topk_resident<order>(                                                  \
        in, values, indices, args, axes.table, CUDA_KEYS(order),           \
        CUDA_POSITIONS(order), CUDA_GRID, CUDA_THREAD);                    \
  }
#define cuda_topk_split(name, order)                                       \
  CUDA_KERNEL(name, CUDA_INPUT(order), CUDA_ARGUMENTS,                     \
              order::Key* found_keys, uint* found_positions) {             \
    topk_split<order>(                                                     \
        in, args, axes.table, found_keys, found_positions,                 \
        CUDA_KEYS(order), CUDA_POSITIONS(order), CUDA_GRID, CUDA_THREAD);  \
  }
#define cuda_topk_merge(name, order)                                       \
  CUDA_KERNEL(name, CUDA_INPUT(order), CUDA_OUTPUTS(order), CUDA_ARGUMENTS, \
              const order::Key* found_keys, const uint* found_positions) { \
    topk_merge<order>(                                                     \
        in, values, indices, args, axes.table, found_keys, found_positions, \
        CUDA_KEYS(order), CUDA_POSITIONS(order), CUDA_GRID, CUDA_THREAD);  \
  }
#define cuda_topk_route(name, order, ...)                                  \
  CUDA_KERNEL(name, CUDA_INPUT(order), CUDA_OUTPUTS(order), CUDA_ARGUMENTS, \
              const float* bias, float* scores,                            \
              const __grid_constant__ RouteArguments settings) {           \
    topk_route<order, __VA_ARGS__>(                                        \
        in, values, indices, args, axes.table, bias, scores, settings,     \
        reinterpret_cast<uint*>(cuda_shared_memory), CUDA_GRID, CUDA_SIMD); \
  }
#define cuda_topk_route_gradient(name, order)                              \
  CUDA_KERNEL(name, CUDA_INPUT(order), order::Word* out,                   \
              const uint* indices, CUDA_ARGUMENTS, const float* scores,    \
              const order::Word* of_weights,                               \
              const __grid_constant__ RouteArguments settings,             \
              const float* of_scores) {                                    \
    topk_route_gradient<order>(                                            \
        in, out, indices, args, axes.table, scores, of_weights, settings,  \
        of_scores, CUDA_GRID, CUDA_SIMD);                                  \
  }
#define cuda_topk_rest(name, order)                                        \
  CUDA_KERNEL(name, CUDA_INPUT(order), CUDA_OUTPUTS(order), CUDA_ARGUMENTS, \
              const uint* best) {                                          \
    topk_rest<order>(                                                      \
        in, values, indices, args, axes.table, best, CUDA_GRID, CUDA_THREAD); \
  }

///////////////////////////////////////////////////////////////////////////////
// Address spaces
///////////////////////////////////////////////////////////////////////////////

// CUDA's pointers have no address spaces, so these words mean nothing. They are
// defined last, because CUDA's own macros contain some of these words.
#define device
#define constant
#define thread
#define threadgroup
