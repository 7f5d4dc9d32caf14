// Copyright © 2026 the mlx-topk authors. MIT licence.

// How a threadgroup reads a segment of a row, finds the greatest keys of its
// threads, and finds the elements that reach a bound.

#pragma once

#include "mlx/backend/metal/kernels/topk/common.h"
#include "mlx/backend/metal/kernels/topk/group.h"
#include "mlx/backend/metal/kernels/topk/keys.h"
#include "mlx/backend/metal/kernels/topk/order.h"
#include "mlx/backend/metal/kernels/topk/ranked.h"
#include "mlx/backend/metal/kernels/topk/rows.h"

/** What a thread reads at once: 16 bytes of a dense row, else one element. */
template <typename W, bool dense>
struct Chunk {
  typedef uint4 Memory;
  enum : uint { elements = 16 / sizeof(W) };

  static METAL_FUNC W element(Memory memory, uint i) {
    uint first = i * uint(sizeof(W)) / 4u;
    uint word = word_of(memory, first);
    if (sizeof(W) == 8) {
      return W((ulong(word_of(memory, first + 1u)) << 32) | ulong(word));
    }
    return W(word >> (i * 8u * uint(sizeof(W)) % 32u));
  }

  static METAL_FUNC uint word_of(Memory memory, uint i) {
    return i == 0 ? memory.x : i == 1 ? memory.y : i == 2 ? memory.z : memory.w;
  }

  /** Returns a chunk of elements that all equal `word`. */
  static METAL_FUNC Memory filled(W word) {
    uint low = uint(word);
    low |= sizeof(W) == 1 ? low << 8 : 0u;
    low |= sizeof(W) <= 2 ? low << 16 : 0u;
    uint high = sizeof(W) == 8 ? uint(ulong(word) >> 32) : low;
    return Memory{low, high, low, high};
  }
};

template <typename W>
struct Chunk<W, false> {
  typedef W Memory;
  enum : uint { elements = 1 };

  static METAL_FUNC W element(Memory memory, uint) {
    return memory;
  }

  static METAL_FUNC Memory filled(W word) {
    return word;
  }
};

/** The chunks that a thread has read. They have N elements together. */
template <typename W, ushort N, bool dense>
struct Chunks {
  typedef Chunk<W, dense> Piece;
  enum : uint { count = N / Piece::elements };
  static_assert(N % Piece::elements == 0, "a thread reads whole chunks");

  typename Piece::Memory all[count];

  METAL_FUNC W word(uint i) const thread {
    return Piece::element(all[i / Piece::elements], i % Piece::elements);
  }
};

/**
 * Reads one segment of a row in tiles: N elements for each thread. A dense row
 * is contiguous, and its address and size are multiples of 16 bytes.
 */
template <typename Order, ushort N, bool dense>
struct Tile {
  typedef typename Order::Key Key;
  typedef typename Order::Word Word;
  typedef Chunk<Word, dense> Piece;
  enum : uint { chunk = Piece::elements, chunks = N / chunk };

  Row<Order> row;
  uint size;
  uint segment;
  uint segments;
  uint thread_index;

  /** Returns the position of the thread's i-th element of a tile. */
  METAL_FUNC uint position(uint tile, uint i) const thread {
    return chunk_of_row(tile * chunks + i / chunk) * chunk + i % chunk;
  }

  /**
   * Returns which chunk of the row is this thread's chunk with a number. The
   * segments of a row are interleaved: each has one chunk per lane in turn. So
   * neighbouring good elements are spread over all segments.
   */
  METAL_FUNC uint chunk_of_row(uint number) const thread {
    uint line = number * group_simds + thread_index / simd_size;
    uint lane = thread_index % simd_size;
    return (line * segments + segment) * simd_size + lane;
  }

  METAL_FUNC uint tiles() const thread {
    uint elements = group_threads * N * segments;
    return (size + elements - 1u) / elements;
  }

  /** Returns the worst and the best key that an element can have. */
  METAL_FUNC Key worst_key() const thread {
    return Order::key(Loose<Order>::worst(row.flip)) ^ row.flip;
  }

  METAL_FUNC Key best_key() const thread {
    return Order::key(Loose<Order>::worst(~row.flip)) ^ row.flip;
  }

  /** Reads a tile. Elements beyond the row's end are the worst. */
  METAL_FUNC void load(uint tile, thread LooseKeys<Order, N>& keys)
      const thread {
    Chunks<Word, N, dense> pieces;
    uint first = chunk_of_row(tile * chunks);
    if (first + (chunks - 1u) * step() < size / chunk) {
      read_all(first, pieces);
    } else {
      read_part(first, pieces);
    }
    keys.set(pieces, row.flip);
  }

  METAL_FUNC void read_all(uint first, thread Chunks<Word, N, dense>& pieces)
      const thread {
    TOPK_UNROLL
    for (ushort c = 0; c < chunks; ++c) {
      pieces.all[c] = read(first + c * step());
    }
  }

  METAL_FUNC void read_part(uint first, thread Chunks<Word, N, dense>& pieces)
      const thread {
    TOPK_UNROLL
    for (ushort c = 0; c < chunks; ++c) {
      pieces.all[c] = Piece::filled(Loose<Order>::worst(row.flip));
      if (first + c * step() < size / chunk) {
        pieces.all[c] = read(first + c * step());
      }
    }
  }

  /** Returns the distance between two chunks of a thread, in chunks. */
  METAL_FUNC uint step() const thread {
    return group_threads * segments;
  }

  /** Reads a chunk of the row. */
  METAL_FUNC typename Piece::Memory read(uint at) const thread {
    typedef const device typename Piece::Memory* Pointer;
    return dense ? ((Pointer)row.in)[at]
                 : *(Pointer)(row.in + int64_t(at) * row.stride);
  }
};

/**
 * Finds the elements of one segment that reach a bound. Without `loops`, the
 * segment is one tile, which stays in registers.
 */
template <typename Order, ushort N, bool dense, bool loops>
struct Survey {
  typedef typename Order::Key Key;

  Tile<Order, N, dense> tile;
  LooseKeys<Order, N> keys; // Those of the tile that was read last.

  METAL_FUNC uint tiles() const thread {
    return loops ? tile.tiles() : 1u;
  }

  METAL_FUNC void load_again(uint number) thread {
    if (loops) {
      tile.load(number, keys);
    }
  }

  /** Finds the greatest key of each of `groups` groups of the elements. */
  template <ushort groups>
  METAL_FUNC void find_maxima(thread Key* maxima) thread {
    LooseMaxima<Order, groups> loose;
    loose.clear();
    for (uint number = 0; number < tiles(); ++number) {
      tile.load(number, keys);
      loose.add(keys);
    }
    TOPK_UNROLL
    for (ushort g = 0; g < groups; ++g) {
      maxima[g] = loose.exact(g, tile.row.flip);
    }
  }

  /**
   * Returns a bit for each element of the tile whose key is at least `low`,
   * which is at most the best key.
   */
  METAL_FUNC uint reaching(uint number, Key low) const thread {
    if (low > tile.worst_key()) {
      return keys.reaching(low);
    }
    uint there = 0;
    for (uint i = 0; i < N; ++i) {
      there |= uint(tile.position(number, i) < tile.size) << i;
    }
    return there;
  }

  /**
   * Calls put(slot, key, position) for the elements whose key is at least
   * `low`, and returns their number. Reads the last tile first. If the number
   * is greater than `room`, only elements of the tiles read first were put.
   */
  template <typename Sink>
  METAL_FUNC uint find(
      Key low,
      uint room,
      thread const Sink& sink,
      thread Group& group) thread {
    uint found = 0;
    for (uint number = tiles(); number > 0; --number) {
      load_again(number - 1);
      uint passing = reaching(number - 1, low);
      uint total;
      uint slot = found + group.before(popcount(passing), total);
      found += total;
      while (passing != 0 && found <= room) {
        uint position = tile.position(number - 1, ctz(passing));
        passing &= passing - 1u;
        sink.put(slot, tile.row.key(position), position);
        ++slot;
      }
    }
    return found;
  }

  /**
   * Finds the elements that reach `bound`. If there is no room for all of them,
   * finds those greater than `bound`, and the first of those equal to it, until
   * `wanted` are found. Returns how many were found, or a number greater than
   * `room` if there is no room for the greater ones. `complete` becomes whether
   * all were found that reach the bound. `votes` has a word for each simdgroup
   * and each chunk of a thread.
   */
  template <typename Sink>
  METAL_FUNC uint find_best(
      Key bound,
      uint wanted,
      uint room,
      threadgroup uint* votes,
      thread const Sink& sink,
      thread Group& group,
      thread bool& complete) thread {
    Key best = tile.best_key();
    uint count = 0;
    complete = true;
    for (uint round = 0; round < 2; ++round) {
      if (round > 0 && bound == best) {
        count = 0; // Nothing is greater.
        break;
      }
      count = find(bound + Key(round), room, sink, group);
      if (round == 0 && count <= room) {
        return count;
      }
      // The same slots are written again. They may be in device memory.
      threadgroup_barrier(mem_flags::mem_device);
      complete = false;
    }
    for (uint number = 0; number < tiles() && count < wanted; ++number) {
      load_again(number);
      uint equal = reaching(number, bound);
      if (bound < best) {
        equal ^= reaching(number, bound + 1);
      }
      uint found =
          put_first(number, equal, bound, wanted, count, votes, sink, group);
      count = min(count + found, wanted);
    }
    return count;
  }

  /**
   * Puts the elements of a tile for which `equal` has a bit into the slots
   * [rank, wanted), in the order of the row. Returns the number of bits.
   */
  template <typename Sink>
  METAL_FUNC uint put_first(
      uint number,
      uint equal,
      Key key,
      uint wanted,
      uint rank,
      threadgroup uint* votes,
      thread const Sink& sink,
      thread Group& group) const thread {
    constexpr uint chunk = Tile<Order, N, dense>::chunk;
    constexpr uint chunks = Tile<Order, N, dense>::chunks;
    constexpr uint one = (1u << chunk) - 1u;
    for (uint c = 0; c < chunks; ++c) {
      uint count = simd_sum(popcount((equal >> (c * chunk)) & one));
      if (group.lane == 0) {
        votes[c * group_simds + group.simd] = count;
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    // Thread i takes votes[i], the count of one chunk in one simdgroup. These
    // counts are in the order of the row, so the sum of those before is where
    // the elements of that chunk and simdgroup start.
    bool counts = group.thread_index < chunks * group_simds;
    uint total;
    uint start = group.before(counts ? votes[group.thread_index] : 0u, total);
    if (counts) {
      votes[group.thread_index] = start;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint c = 0; c < chunks; ++c) {
      uint mine = (equal >> (c * chunk)) & one;
      uint slot = rank + votes[c * group_simds + group.simd] +
          simd_prefix_exclusive_sum(popcount(mine));
      for (; mine != 0 && slot < wanted; ++slot) {
        sink.put(slot, key, tile.position(number, c * chunk + ctz(mine)));
        mine &= mine - 1u;
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return total;
  }
};
