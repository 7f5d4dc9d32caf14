// Copyright © 2026 the mlx-topk authors. MIT licence.

// One kernel with all constructs of Metal that the emulator must accept unchanged.

#include <metal_atomic>
#include <metal_integer>
#include <metal_simdgroup>
#include <metal_stdlib>
using namespace metal;

#define unroll _Pragma("clang loop unroll(full)")

constant constexpr uint primes[4] = {2, 3, 5, 7};
constant uint evens[] = {0, 2, 4, 6};

template <uint count>
struct Tuning {
  static constexpr constant uint items = count * 2;
  static constexpr constant bool even = true;
};

template <typename T, typename = void>
struct Widened;
template <typename T>
struct Widened<T, enable_if_t<is_floating_point_v<T>>> {
  typedef float type;
};
template <typename T>
struct Widened<T, enable_if_t<is_integral_v<T>>> {
  typedef conditional_t<is_signed_v<T>, long, ulong> type;
};

struct Pair {
  uint key;
  uint index;
  METAL_FUNC bool before(Pair other) const thread {
    return key < other.key || (key == other.key && index < other.index);
  }
  METAL_FUNC bool is_at(uint place) const threadgroup {
    return index == place;
  }
  METAL_FUNC uint sum() const device {
    return key + index;
  }
};

namespace detail {
METAL_FUNC void swap(thread Pair& a, thread Pair& b) {
  Pair c = a;
  a = b;
  b = c;
}
template <typename T>
METAL_FUNC enable_if_t<is_same_v<T, uint>, T> twice(T value) {
  return value * 2;
}
template <typename T>
METAL_FUNC enable_if_t<!is_same_v<T, uint>, T> twice(T value) {
  return value;
}
} // namespace detail

enum class Direction : uint { up, down };

template <typename T, ushort threads, Direction direction>
[[kernel, max_total_threads_per_threadgroup(64)]] void surface(
    device const Pair* pairs [[buffer(0)]],
    device uint* out [[buffer(1)]],
    constant const long* strides [[buffer(2)]],
    constant const uint& size [[buffer(3)]],
    const device bool* flags [[buffer(4)]],
    device atomic_uint& total [[buffer(5)]],
    threadgroup uchar* bytes [[threadgroup(0)]],
    ushort3 group [[threadgroup_position_in_grid]],
    ushort index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  threadgroup Pair shared[2][threads / 2];
  threadgroup atomic_uint counter;
  typedef typename Widened<T>::type Wide;
  static_assert(Tuning<3>::items == 6 && Tuning<3>::even, "constants of a struct");
  if (index == 0) {
    atomic_store_explicit(&counter, 0u, memory_order_relaxed);
  }
  Pair mine = pairs[long(index) * strides[0]];
  Pair least = {0u, 0u};
  if (mine.before(least)) {
    detail::swap(mine, least);
  }
  shared[index / (threads / 2)][index % (threads / 2)] = mine;
  threadgroup uint* words = (threadgroup uint*)bytes;
  words[index] = flags[index] ? mine.key : 0u;
  threadgroup_barrier(mem_flags::mem_threadgroup | mem_flags::mem_device);
  const threadgroup Pair& other = shared[0][index % (threads / 2)];
  uint result = other.is_at(index) ? 1u : 0u;
  unroll for (ushort i = 0; i < 4; ++i) {
    result += primes[i] * evens[i];
  }
  if constexpr (direction == Direction::up) {
    result += detail::twice(pairs[index].sum());
  } else {
    result -= detail::twice(1);
  }
  switch (index & 3) {
    case 0:
      result += 1000;
      break;
    default:
      result += ctz(uint(index & 3));
  }
  Wide wide = Wide(T(1)) + Wide(words[threads - 1 - index]);
  uint2 both = uint2(result, uint(wide));
  result = both.x + both.y + as_type<uint>(as_type<float>(size));
  result += simd_shuffle_xor(result, 1) * 0u + simd_max(0u);
  atomic_fetch_add_explicit(&counter, 1u, memory_order_relaxed);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (index == 0 && group.x == 0) {
    uint count = atomic_load_explicit(&counter, memory_order_relaxed);
    atomic_fetch_max_explicit(&total, count, memory_order_relaxed);
  }
  out[index] = lane < 32 ? result : 0u;
}

#define instantiate(name, ...) \
  template [[host_name(name)]] [[kernel]] decltype(__VA_ARGS__) __VA_ARGS__;
instantiate("surface_up", surface<float, 64, Direction::up>)
instantiate("surface_down", surface<uchar, 64, Direction::down>)
