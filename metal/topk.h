// Copyright © 2026 the mlx-topk authors. MIT licence.

// The k best elements of each row, values and indices together, in the order
// of docs/topk.md: equal elements by index, NaN greatest, the zeros equal.
//
//   topk_register  a simdgroup per row, the row in its registers
//   topk_resident  a threadgroup per row, which reads it once
//   topk_split     several threadgroups per row, each finding its own k best,
//   topk_merge     and a threadgroup that selects among those
//   topk_rest      the elements that were not selected, for a partition
//
// Elements are read as words, so that denormals and the payloads of NaNs stay
// what they are, and compared as keys. Nothing depends on the order in which
// threads run: slots come from prefix sums.

#include <metal_simdgroup>
#include <metal_stdlib>

#include "metal/topk_arguments.h"

using namespace metal;

#define TOPK_UNROLL _Pragma("clang loop unroll(full)")

// clang-format off
#ifndef instantiate_kernel
#define instantiate_kernel(name, function, ...) \
  template [[host_name(name)]] [[kernel]]       \
  decltype(function<__VA_ARGS__>) function<__VA_ARGS__>;
#endif
// clang-format on

enum : uint {
  simd_size = 32,
  group_threads = 256,
  group_simds = group_threads / simd_size,
  // What a thread reads at a time, one after the other.
  thread_elements = 8,
  kept_elements = 4,
  // Up to so many candidates are ordered by counting who is better.
  ranked_candidates = 512,
};

///////////////////////////////////////////////////////////////////////////////
// The order: a greater key is a better element
///////////////////////////////////////////////////////////////////////////////

template <typename W>
struct Unsigned {
  typedef W Word;
  typedef conditional_t<sizeof(W) == 8, ulong, uint> Key;

  static METAL_FUNC Key key(W word) {
    return Key(word);
  }
};

template <typename W>
struct Signed {
  typedef W Word;
  typedef typename Unsigned<W>::Key Key;

  static METAL_FUNC Key key(W word) {
    return Key(word) ^ (Key(1) << (8 * sizeof(W) - 1));
  }
};

template <typename W, uint infinity>
struct Floating {
  typedef W Word;
  typedef uint Key;

  // Sign and magnitude become two's complement, which has one zero, and then
  // -infinity becomes 0, which wraps NaNs with a sign round to the others.
  static METAL_FUNC uint key(W word) {
    constexpr uint sign = 1u << (8 * sizeof(W) - 1);
    uint magnitude = uint(word) & (sign - 1u);
    uint number = (uint(word) & sign) != 0 ? 0u - magnitude : magnitude;
    return min(number + infinity, 2u * infinity + 1u);
  }
};

typedef Unsigned<uchar> order_uint8;
typedef Unsigned<ushort> order_uint16;
typedef Unsigned<uint> order_uint32;
typedef Unsigned<ulong> order_uint64;
typedef Signed<uchar> order_int8;
typedef Signed<ushort> order_int16;
typedef Signed<uint> order_int32;
typedef Signed<ulong> order_int64;
typedef Floating<ushort, 0x7c00u> order_float16;
typedef Floating<ushort, 0x7f80u> order_bfloat16;
typedef Floating<uint, 0x7f800000u> order_float32;

METAL_FUNC uint simd_greatest(uint key) {
  return simd_max(key);
}

METAL_FUNC ulong simd_greatest(ulong key) {
  uint high = uint(key >> 32);
  uint top = simd_max(high);
  uint low = simd_max(high == top ? uint(key) : 0u);
  return (ulong(top) << 32) | ulong(low);
}

///////////////////////////////////////////////////////////////////////////////
// Rows
///////////////////////////////////////////////////////////////////////////////

/** Where a row is, and its elements by their position from its first. */
template <typename Order>
struct Row {
  typedef typename Order::Word Word;
  typedef typename Order::Key Key;

  const device Word* in;
  int64_t stride;
  Key flip;

  METAL_FUNC Key key(uint position) const thread {
    return Order::key(in[int64_t(position) * stride]) ^ flip;
  }

  METAL_FUNC uint position(uint i) const thread {
    return i;
  }
};

METAL_FUNC uint64_t row_of_group(uint3 group, uint3 groups) {
  return uint64_t(group.z) * groups.y + group.y;
}

struct RowStart {
  int64_t in;
  int64_t out;
};

METAL_FUNC RowStart row_start(
    uint64_t row,
    const constant TopKArguments& args,
    const constant int64_t* axes) {
  RowStart start = {args.in_start, args.out_start};
  for (uint axis = args.row_axes; axis > 0; --axis) {
    const constant int64_t* of_axis = axes + 3 * (axis - 1);
    uint64_t position = row;
    if (axis > 1) { // a division is dear, and the outermost needs none
      uint64_t size = uint64_t(of_axis[0]);
      position = row % size;
      row /= size;
    }
    start.in += int64_t(position) * of_axis[1];
    start.out += int64_t(position) * of_axis[2];
  }
  return start;
}

template <typename Order>
METAL_FUNC Row<Order> row_at(
    const device typename Order::Word* in,
    RowStart start,
    const constant TopKArguments& args) {
  typedef typename Order::Key Key;
  Key flip = args.smallest != 0 ? ~Key(0) : Key(0);
  return {in + start.in, args.in_stride, flip};
}

/** Where the results of a row go. */
template <typename Order>
struct Output {
  typedef typename Order::Word Word;

  device Word* values;
  device uint* indices;
  int64_t stride;
  uint last;
  bool mirrored;
  bool writes_values;
  bool writes_indices;

  /** The element at `position` of the row becomes the one at `rank`. */
  METAL_FUNC void put(uint rank, uint position, thread const Row<Order>& row)
      const thread {
    int64_t at = int64_t(rank) * stride;
    if (writes_values) {
      values[at] = row.in[int64_t(position) * row.stride];
    }
    if (writes_indices) {
      indices[at] = mirrored ? last - position : position;
    }
  }
};

template <typename Order>
METAL_FUNC Output<Order> output_at(
    device typename Order::Word* values,
    device uint* indices,
    RowStart start,
    const constant TopKArguments& args) {
  return {
      values + start.out,
      indices + start.out,
      args.out_stride,
      args.axis_size - 1u,
      args.mirrored != 0,
      args.writes_values != 0,
      args.writes_indices != 0};
}

///////////////////////////////////////////////////////////////////////////////
// A simdgroup per row: k rounds of taking the best, without a barrier
///////////////////////////////////////////////////////////////////////////////

/** Every 32nd element of a row: those that one lane looks after. */
template <typename Key, ushort N>
struct LaneElements {
  Key keys[N];
  uint live; // bit i: the i-th is there, and not yet taken

  /** The first of the best; N if there is none. */
  METAL_FUNC ushort best(thread Key& key) const thread {
    ushort slot = N;
    key = 0;
    TOPK_UNROLL
    for (ushort i = 0; i < N; ++i) {
      bool better = slot == N || keys[i] > key;
      if (((live >> i) & 1u) != 0 && better) {
        key = keys[i];
        slot = i;
      }
    }
    return slot;
  }
};

template <typename Order, ushort N>
METAL_FUNC void put_rest(
    LaneElements<typename Order::Key, N> elements,
    thread const Row<Order>& row,
    thread const Output<Order>& out,
    uint k,
    uint lane) {
  uint rank = k;
  TOPK_UNROLL
  for (ushort i = 0; i < N; ++i) {
    uint one = (elements.live >> i) & 1u;
    uint before = simd_prefix_exclusive_sum(one);
    if (one != 0) {
      out.put(rank + before, uint(i) * simd_size + lane, row);
    }
    rank += simd_sum(one);
  }
}

/** For rows of up to 32 N elements, and k up to 32. */
template <typename Order, ushort N>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_register(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* values [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint3 groups [[threadgroups_per_grid]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  typedef typename Order::Key Key;
  static_assert(N <= 32, "one bit of `live` for each element");
  uint64_t number = row_of_group(group, groups) * simds + simd;
  if (number >= args.rows) {
    return;
  }
  RowStart start = row_start(number, args, axes);
  Row<Order> row = row_at<Order>(in, start, args);
  Output<Order> out = output_at<Order>(values, indices, start, args);

  LaneElements<Key, N> elements;
  elements.live = 0;
  TOPK_UNROLL
  for (ushort i = 0; i < N; ++i) {
    uint position = uint(i) * simd_size + lane;
    elements.keys[i] = 0;
    if (position < args.axis_size) {
      elements.keys[i] = row.key(position);
      elements.live |= 1u << i;
    }
  }

  uint mine = 0; // of lane j: where the j-th best is
  for (uint rank = 0; rank < args.k; ++rank) {
    Key key;
    ushort slot = elements.best(key);
    Key top = simd_greatest(key);
    // 0 is a key too: but a lane without elements offers what is beyond all.
    uint position = key == top ? uint(slot) * simd_size + lane : ~0u;
    uint winner = simd_min(position);
    if (position == winner) {
      elements.live &= ~(1u << slot);
    }
    if (lane == rank) {
      mine = winner;
    }
  }
  if (lane < args.k) {
    out.put(lane, mine, row);
  }
  if (args.writes_rest != 0) {
    put_rest<Order, N>(elements, row, out, args.k, lane);
  }
}

///////////////////////////////////////////////////////////////////////////////
// A threadgroup: a stream of elements, of which few candidates are kept
///////////////////////////////////////////////////////////////////////////////

/**
 * Sums over the threadgroup. Two halves of `partial` are used in turn, so that
 * one barrier is enough for each sum.
 */
struct Group {
  threadgroup uint* partial;
  uint thread_index;
  uint simd;
  uint lane;
  uint turn;

  /** What the threads before this one add up to, and all of them. */
  METAL_FUNC uint before(uint mine, thread uint& total) thread {
    threadgroup uint* sums = partial + turn * group_simds;
    turn ^= 1u;
    uint prefix = simd_prefix_exclusive_sum(mine);
    if (lane == simd_size - 1) {
      sums[simd] = prefix + mine;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    total = 0;
    TOPK_UNROLL
    for (uint i = 0; i < group_simds; ++i) {
      prefix += i < simd ? sums[i] : 0u;
      total += sums[i];
    }
    return prefix;
  }

  METAL_FUNC uint total(uint mine) thread {
    uint all;
    before(mine, all);
    return all;
  }
};

/**
 * The candidates of a stream, in its order, in threadgroup memory. Whatever is
 * not better than the bar is out: k candidates are at least as good and came
 * before it.
 */
template <typename Key>
struct Candidates {
  threadgroup Key* keys;
  threadgroup uint* positions;
  uint count;
  uint capacity;
  uint k;
  bool has_bar;
  Key bar;

  METAL_FUNC bool passes(Key key) const thread {
    return !has_bar || key > bar;
  }

  /**
   * Leaves at least k and at most `most` of the candidates, k <= most. Every
   * thread calls it, after a barrier.
   */
  METAL_FUNC void shrink(uint most, thread Group& group) thread {
    // The k-th best is from `low` to `high`. So many are at least `low`, and so
    // many more than `high`.
    Key low = 0;
    Key high = ~Key(0);
    uint at_low = count;
    uint above_high = 0;
    uint ties = count; // how many of those equal to `low` stay
    for (uint round = 0; at_low > most; ++round) {
      Key pivot = low + ((high - low) >> 1);
      // Halving always comes to an end; what a sample says is mostly sooner.
      if ((round & 3u) != 3) {
        uint wanted = (k + most) / 2 - above_high;
        pivot = sampled(low, high, wanted, at_low - above_high, group, pivot);
      }
      uint at_pivot;
      uint above = count_above(pivot, at_pivot, group);
      if (above >= k) {
        low = pivot + 1;
        at_low = above;
      } else if (at_pivot >= k) {
        low = pivot;
        ties = k - above;
        break;
      } else {
        high = pivot - 1;
        above_high = at_pivot;
      }
    }
    keep(low, ties, group);
    bar = low;
    has_bar = true;
  }

  /**
   * A candidate of which there may be `wanted` as good ones among the `size`
   * that are from `low` to `high`. Every simdgroup finds the same.
   */
  METAL_FUNC Key sampled(
      Key low,
      Key high,
      uint wanted,
      uint size,
      thread const Group& group,
      Key otherwise) const thread {
    Key mine = keys[group.lane * count / simd_size];
    uint better = 0;
    uint inside = 0;
    for (uint i = 0; i < simd_size; ++i) {
      Key other = keys[i * count / simd_size];
      bool counts = other >= low && other <= high;
      bool before = other > mine || (other == mine && i < group.lane);
      better += uint(counts && before);
      inside += uint(counts);
    }
    bool chosen = mine >= low && mine <= high &&
        better == min(wanted * inside / size, inside - 1);
    Key pivot = simd_greatest(chosen ? mine : Key(0));
    return inside == 0 ? otherwise : pivot;
  }

  /** How many are better than the pivot, and how many at least as good. */
  METAL_FUNC uint count_above(
      Key pivot,
      thread uint& at_pivot,
      thread Group& group) const thread {
    uint both = 0; // two sums in one: there are less than 65,536
    for (uint i = group.thread_index; i < count; i += group_threads) {
      Key key = keys[i];
      both += uint(key > pivot) + (uint(key >= pivot) << 16);
    }
    both = group.total(both);
    at_pivot = both >> 16;
    return both & 0xffffu;
  }

  /**
   * Keeps what is better than `low`, and the first `ties` equal to it, in their
   * order. In blocks: what is read is read before the barrier of the sum, and
   * what is written after it is not beyond what was read.
   */
  METAL_FUNC void keep(Key low, uint ties, thread Group& group) thread {
    uint kept = 0; // better ones
    uint equal = 0;
    for (uint first = 0; first < count;
         first += group_threads * kept_elements) {
      Key block[kept_elements];
      uint places[kept_elements];
      uint both = 0;
      TOPK_UNROLL
      for (uint j = 0; j < kept_elements; ++j) {
        uint i = first + group.thread_index * kept_elements + j;
        block[j] = 0;
        places[j] = 0;
        if (i < count) {
          block[j] = keys[i];
          places[j] = positions[i];
          both += uint(block[j] > low) + (uint(block[j] == low) << 16);
        }
      }
      uint total;
      uint before = group.before(both, total);
      uint better_before = kept + (before & 0xffffu);
      uint equal_before = equal + (before >> 16);
      TOPK_UNROLL
      for (uint j = 0; j < kept_elements; ++j) {
        uint i = first + group.thread_index * kept_elements + j;
        bool better = i < count && block[j] > low;
        bool as_good = i < count && block[j] == low;
        if (better || (as_good && equal_before < ties)) {
          uint slot = better_before + min(equal_before, ties);
          keys[slot] = block[j];
          positions[slot] = places[j];
        }
        better_before += uint(better);
        equal_before += uint(as_good);
      }
      kept += total & 0xffffu;
      equal += total >> 16;
    }
    count = kept + min(equal, ties);
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
};

/** Elements that one thread has read and that may become candidates. */
template <typename Key>
struct ThreadElements {
  Key keys[thread_elements];
  uint positions[thread_elements];
  uint pending; // bit i: the i-th passes, and is not yet a candidate

  METAL_FUNC void filter(thread const Candidates<Key>& candidates) thread {
    TOPK_UNROLL
    for (uint i = 0; i < thread_elements; ++i) {
      if (!candidates.passes(keys[i])) {
        pending &= ~(1u << i);
      }
    }
  }

  /** The pending ones, as far as there is room; `slot` is the first's. */
  METAL_FUNC void append(uint slot, thread const Candidates<Key>& candidates)
      thread {
    TOPK_UNROLL
    for (uint i = 0; i < thread_elements; ++i) {
      if (((pending >> i) & 1u) != 0) {
        if (slot < candidates.capacity) {
          candidates.keys[slot] = keys[i];
          candidates.positions[slot] = positions[i];
          pending &= ~(1u << i);
        }
        ++slot;
      }
    }
  }
};

/** Every thread's elements, each after those of the threads before it. */
template <typename Key>
METAL_FUNC void add(
    thread ThreadElements<Key>& elements,
    thread Candidates<Key>& candidates,
    thread Group& group) {
  elements.filter(candidates);
  for (;;) {
    uint total;
    uint before = group.before(popcount(elements.pending), total);
    uint room = candidates.capacity - candidates.count;
    elements.append(candidates.count + before, candidates);
    candidates.count += min(total, room);
    if (total <= room) {
      return;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    candidates.shrink((candidates.k + candidates.capacity) / 2, group);
    elements.filter(candidates);
  }
}

/** What topk_split has found of a row, segment after segment. */
template <typename K>
struct Found {
  typedef K Key;

  const device Key* keys;
  const device uint* positions;

  METAL_FUNC Key key(uint i) const thread {
    return keys[i];
  }

  METAL_FUNC uint position(uint i) const thread {
    return positions[i];
  }
};

/** A part of what is streamed, by its place there. */
struct Segment {
  uint first;
  uint end;
};

METAL_FUNC Segment segment_at(uint index, const constant TopKArguments& args) {
  uint64_t size = args.axis_size;
  uint first = uint(index * size / args.segments);
  uint end = uint((index + 1) * size / args.segments);
  return {first, end};
}

/** Streams a Row, or what was Found of one. */
template <typename Source>
METAL_FUNC void add_all(
    thread const Source& source,
    Segment segment,
    thread Candidates<typename Source::Key>& candidates,
    thread Group& group) {
  constexpr uint block = group_threads * thread_elements;
  // Counted, for `from` could wrap round in the longest rows.
  uint blocks = (segment.end - segment.first + block - 1) / block;
  for (uint i = 0; i < blocks; ++i) {
    uint from = segment.first + i * block;
    uint mine = group.thread_index * thread_elements;
    uint left = segment.end - from;
    ThreadElements<typename Source::Key> elements;
    elements.pending = 0;
    TOPK_UNROLL
    for (uint j = 0; j < thread_elements; ++j) {
      elements.keys[j] = 0;
      elements.positions[j] = 0;
      if (mine + j < left) {
        elements.keys[j] = source.key(from + mine + j);
        elements.positions[j] = source.position(from + mine + j);
        elements.pending |= 1u << j;
      }
    }
    add(elements, candidates, group);
  }
}

/** How many of the candidates come before the i-th: where it belongs. */
template <typename Key>
METAL_FUNC uint rank_of(uint i, thread const Candidates<Key>& candidates) {
  Key key = candidates.keys[i];
  uint rank = 0;
  for (uint j = 0; j < candidates.count; ++j) {
    Key other = candidates.keys[j];
    rank += uint(other > key || (other == key && j < i));
  }
  return rank;
}

/** Orders k candidates, best first: a bitonic sort. */
template <typename Key>
METAL_FUNC void sort_candidates(
    thread Candidates<Key>& candidates,
    thread Group& group) {
  threadgroup Key* keys = candidates.keys;
  threadgroup uint* positions = candidates.positions;
  uint size = 1;
  while (size < candidates.count) {
    size *= 2;
  }
  uint first_pad = candidates.count + group.thread_index;
  for (uint i = first_pad; i < size; i += group_threads) {
    keys[i] = 0;
    positions[i] = ~0u;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint run = 2; run <= size; run *= 2) {
    for (uint step = run / 2; step > 0; step /= 2) {
      for (uint t = group.thread_index; t < size / 2; t += group_threads) {
        uint i = 2 * t - (t & (step - 1));
        uint j = i + step;
        Key a = keys[i];
        Key b = keys[j];
        uint at_a = positions[i];
        uint at_b = positions[j];
        bool in_order = a > b || (a == b && at_a < at_b);
        if (in_order != ((i & run) == 0)) {
          keys[i] = b;
          keys[j] = a;
          positions[i] = at_b;
          positions[j] = at_a;
        }
      }
      // Up to steps of 32 a simdgroup has 64 elements for itself.
      if (step > simd_size || (step == 1 && run > simd_size)) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
      } else {
        simdgroup_barrier(mem_flags::mem_threadgroup);
      }
    }
  }
}

/**
 * Calls put(rank, i) for the k best of the candidates: in order if `sorted`,
 * otherwise at least in an order that keeps equals in that of the stream.
 */
template <typename Key, typename Put>
METAL_FUNC void put_best(
    thread Candidates<Key>& candidates,
    bool sorted,
    thread Group& group,
    thread const Put& sink) {
  uint k = candidates.k;
  bool ranked = k <= ranked_candidates;
  uint most = ranked ? uint(ranked_candidates) : k;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (candidates.count > most) {
    candidates.shrink(most, group);
  }
  if (!ranked && sorted) {
    sort_candidates(candidates, group);
  }
  uint count = ranked ? candidates.count : k;
  for (uint i = group.thread_index; i < count; i += group_threads) {
    uint rank = ranked ? rank_of(i, candidates) : i;
    if (rank < k) {
      sink.put(rank, candidates.keys[i], candidates.positions[i]);
    }
  }
}

/** The k best of a row: its results. */
template <typename Order>
struct RowResults {
  Row<Order> row;
  Output<Order> out;

  METAL_FUNC void put(uint rank, typename Order::Key, uint position)
      const thread {
    out.put(rank, position, row);
  }
};

/** The k best of a segment: what topk_merge selects from. */
template <typename Key>
struct SegmentResults {
  device Key* keys;
  device uint* positions;

  METAL_FUNC void put(uint rank, Key key, uint position) const thread {
    keys[rank] = key;
    positions[rank] = position;
  }
};

template <typename Key>
METAL_FUNC Candidates<Key> no_candidates(
    threadgroup Key* keys,
    threadgroup uint* positions,
    const constant TopKArguments& args) {
  return {keys, positions, 0, args.capacity, args.k, false, 0};
}

template <typename Order>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_resident(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* values [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    threadgroup typename Order::Key* keys [[threadgroup(0)]],
    threadgroup uint* positions [[threadgroup(1)]],
    uint3 group_position [[threadgroup_position_in_grid]],
    uint3 groups [[threadgroups_per_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  threadgroup uint partial[2 * group_simds];
  uint64_t number = row_of_group(group_position, groups);
  if (number >= args.rows) {
    return;
  }
  RowStart start = row_start(number, args, axes);
  Row<Order> row = row_at<Order>(in, start, args);
  Group group = {partial, thread_index, simd, lane, 0};
  Candidates<typename Order::Key> candidates =
      no_candidates(keys, positions, args);
  add_all(row, {0, args.axis_size}, candidates, group);
  RowResults<Order> results = {
      row, output_at<Order>(values, indices, start, args)};
  put_best(candidates, args.sorted != 0, group, results);
}

/** Threadgroup x of a row has its x-th segment. */
template <typename Order>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_split(
    const device typename Order::Word* in [[buffer(0)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    device typename Order::Key* found_keys [[buffer(5)]],
    device uint* found_positions [[buffer(6)]],
    threadgroup typename Order::Key* keys [[threadgroup(0)]],
    threadgroup uint* positions [[threadgroup(1)]],
    uint3 group_position [[threadgroup_position_in_grid]],
    uint3 groups [[threadgroups_per_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  typedef typename Order::Key Key;
  threadgroup uint partial[2 * group_simds];
  uint64_t number = row_of_group(group_position, groups);
  if (number >= args.rows) {
    return;
  }
  Segment segment = segment_at(group_position.x, args);
  Row<Order> row = row_at<Order>(in, row_start(number, args, axes), args);
  Group group = {partial, thread_index, simd, lane, 0};
  Candidates<Key> candidates = no_candidates(keys, positions, args);
  add_all(row, segment, candidates, group);
  uint64_t at = (number * args.segments + group_position.x) * args.k;
  SegmentResults<Key> results = {found_keys + at, found_positions + at};
  put_best(candidates, false, group, results);
}

template <typename Order>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_merge(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* values [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    const device typename Order::Key* found_keys [[buffer(5)]],
    const device uint* found_positions [[buffer(6)]],
    threadgroup typename Order::Key* keys [[threadgroup(0)]],
    threadgroup uint* positions [[threadgroup(1)]],
    uint3 group_position [[threadgroup_position_in_grid]],
    uint3 groups [[threadgroups_per_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  typedef typename Order::Key Key;
  threadgroup uint partial[2 * group_simds];
  uint64_t number = row_of_group(group_position, groups);
  if (number >= args.rows) {
    return;
  }
  RowStart start = row_start(number, args, axes);
  Group group = {partial, thread_index, simd, lane, 0};
  Candidates<Key> candidates = no_candidates(keys, positions, args);
  uint size = args.segments * args.k;
  uint64_t at = number * size;
  Found<Key> found = {found_keys + at, found_positions + at};
  add_all(found, {0, size}, candidates, group);
  RowResults<Order> results = {
      row_at<Order>(in, start, args),
      output_at<Order>(values, indices, start, args)};
  put_best(candidates, args.sorted != 0, group, results);
}

/**
 * A partition from the positions of the k best, which are in order: those, and
 * after them all others in the row's order. Threadgroup x has the x-th segment.
 */
template <typename Order>
[[kernel, max_total_threads_per_threadgroup(256)]] void topk_rest(
    const device typename Order::Word* in [[buffer(0)]],
    device typename Order::Word* values [[buffer(1)]],
    device uint* indices [[buffer(2)]],
    const constant TopKArguments& args [[buffer(3)]],
    const constant int64_t* axes [[buffer(4)]],
    const device uint* best [[buffer(6)]],
    uint3 group_position [[threadgroup_position_in_grid]],
    uint3 groups [[threadgroups_per_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  typedef typename Order::Key Key;
  threadgroup uint partial[2 * group_simds];
  uint64_t number = row_of_group(group_position, groups);
  if (number >= args.rows) {
    return;
  }
  Segment segment = segment_at(group_position.x, args);
  uint first = segment.first;
  uint size = segment.end - first;
  RowStart start = row_start(number, args, axes);
  Row<Order> row = row_at<Order>(in, start, args);
  Output<Order> out = output_at<Order>(values, indices, start, args);
  Group group = {partial, thread_index, simd, lane, 0};
  best += number * args.k;

  uint selected = 0; // before this segment
  for (uint i = thread_index; i < args.k; i += group_threads) {
    uint position = best[i];
    selected += uint(position < first);
    if (group_position.x == 0) {
      out.put(i, position, row);
    }
  }
  uint rank = args.k + first - group.total(selected);
  uint worst = best[args.k - 1];
  Key bound = row.key(worst);
  constexpr uint block = group_threads * thread_elements;
  uint blocks = (size + block - 1) / block;
  for (uint i = 0; i < blocks; ++i) {
    uint mine = i * block + thread_index * thread_elements;
    uint others = 0; // bit j: the j-th was not selected
    TOPK_UNROLL
    for (uint j = 0; j < thread_elements; ++j) {
      if (mine + j < size) {
        uint position = first + mine + j;
        Key key = row.key(position);
        bool other = key < bound || (key == bound && position > worst);
        others |= uint(other) << j;
      }
    }
    uint total;
    uint at = rank + group.before(popcount(others), total);
    TOPK_UNROLL
    for (uint j = 0; j < thread_elements; ++j) {
      if (((others >> j) & 1u) != 0) {
        out.put(at, first + mine + j, row);
        ++at;
      }
    }
    rank += total;
  }
}
