// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the indices of a long row by radix, from the least significant digit of
// the ranks on. Stable, linear time. The first pass reads the row itself, and
// the last one writes the result, so neither takes a pass of its own. A digit
// that is the same in all ranks takes no pass. Each pass can be divided among
// threads: each of its parts counts its digits, which says where it may write.
// Memory: two arrays of ranks and indices.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"
#include "mlx/backend/cpu/selection/simd/sort-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Sorts the indices of rows of ``size`` elements. */
template <typename T>
class RadixArgsort {
  using R = Rank<T>;
  using Element = RankAndIndex<R>;
  // Ranks of narrow types have fewer bits than R.
  static constexpr int rank_bits = 8 * sizeof(OrderedKey<T>);

 public:
  RadixArgsort(size_t size, Ranking ranking, int64_t threads)
      : rank_(ranking),
        threads_(threads),
        parts_(
            threads == 1 ? 1
                         : std::clamp<int64_t>(
                               size / elements_per_part,
                               1,
                               2 * threads)),
        elements_(rank_bits == 8 ? 0 : size),
        other_(rank_bits <= 16 ? 0 : size) {}

  /**
   * Calls write(place, index) for all elements of the row, the best one having
   * the place 0. Calls may come from several threads.
   */
  template <typename Write>
  void sort(const Row<T>& row, Write&& write) {
    // Fewer and longer digits take fewer passes, but more counters.
    if constexpr (rank_bits > 16) {
      if (row.size >= 4096) {
        return sort_by_digits<11>(row, write);
      }
    }
    sort_by_digits<8>(row, write);
  }

 private:
  template <int bits, typename Write>
  void sort_by_digits(const Row<T>& row, Write& write) {
    constexpr int digits = (rank_bits + bits - 1) / bits;
    constexpr size_t buckets = size_t(1) << bits;
    counts_.reserve(parts_ * digits * buckets);
    count_all_digits<bits>(row);

    int passes[digits];
    int last = -1;
    for (int d = 0; d < digits; ++d) {
      if (!is_constant(d, digits, buckets, row.size)) {
        passes[++last] = d;
      }
    }
    if (last < 0) {
      for (size_t i = 0; i < row.size; ++i) {
        write(i, static_cast<uint32_t>(i));
      }
      return;
    }
    auto rank = rank_;
    auto in_row = [&](size_t i) -> Element {
      return {rank(row[i]), static_cast<uint32_t>(i)};
    };
    auto write_index = [&](size_t place, Element e) { write(place, e.index); };
    if (last == 0) {
      return scatter<bits>(passes[0], row.size, in_row, write_index);
    }
    auto from = elements_.get();
    auto to = other_.get();
    auto store_to = [&](Element* out) {
      return [out](size_t place, Element e) { out[place] = e; };
    };
    scatter<bits>(passes[0], row.size, in_row, store_to(from));
    for (int p = 1; p <= last; ++p) {
      auto in_memory = [from](size_t i) { return from[i]; };
      if (parts_ > 1) {
        count_digit<bits>(passes[p], row.size, in_memory);
      }
      if (p == last) {
        scatter<bits>(passes[p], row.size, in_memory, write_index);
      } else {
        scatter<bits>(passes[p], row.size, in_memory, store_to(to));
        std::swap(from, to);
      }
    }
  }

  template <int bits>
  static size_t digit(R rank, int d) {
    return (rank >> (d * bits)) & ((R(1) << bits) - 1);
  }

  // Calls work(part, first, last) for the parts of [0, size).
  template <typename Work>
  void each_part(size_t size, Work&& work) {
    if (parts_ == 1) {
      return work(int64_t(0), size_t(0), size);
    }
    run_parts(parts_, threads_, [&](int64_t p) {
      work(p, size * p / parts_, size * (p + 1) / parts_);
    });
  }

  // Counts the digits of the row, of each part and for each pass.
  template <int bits>
  void count_all_digits(const Row<T>& row) {
    constexpr int digits = (rank_bits + bits - 1) / bits;
    constexpr size_t buckets = size_t(1) << bits;
    auto rank = rank_;
    each_part(row.size, [&](int64_t p, size_t first, size_t last) {
      auto counts = counts_.get() + p * digits * buckets;
      std::fill(counts, counts + digits * buckets, 0);
      for (auto i = first; i < last; ++i) {
        R r = rank(row[i]);
#pragma GCC unroll 8
        for (int d = 0; d < digits; ++d) {
          ++counts[d * buckets + digit<bits>(r, d)];
        }
      }
    });
  }

  // Counts one digit again, in the order that the elements have now.
  template <int bits, typename Get>
  void count_digit(int d, size_t size, Get&& get) {
    constexpr int digits = (rank_bits + bits - 1) / bits;
    constexpr size_t buckets = size_t(1) << bits;
    each_part(size, [&](int64_t p, size_t first, size_t last) {
      auto counts = counts_.get() + (p * digits + d) * buckets;
      std::fill(counts, counts + buckets, 0);
      for (auto i = first; i < last; ++i) {
        ++counts[digit<bits>(get(i).rank, d)];
      }
    });
  }

  // Returns whether the digit ``d`` is the same in all ranks.
  bool is_constant(int d, int digits, size_t buckets, size_t size) const {
    size_t first = 0;
    auto total = [&](size_t bucket) {
      size_t sum = 0;
      for (int64_t p = 0; p < parts_; ++p) {
        sum += counts_.get()[(p * digits + d) * buckets + bucket];
      }
      return sum;
    };
    while (total(first) == 0) {
      ++first;
    }
    return total(first) == size;
  }

  // Calls put(place, element) for each element, in the order of the digit
  // ``d``. Elements with the same digit keep their order.
  template <int bits, typename Get, typename Put>
  void scatter(int d, size_t size, Get&& get, Put&& put) {
    constexpr int digits = (rank_bits + bits - 1) / bits;
    constexpr size_t buckets = size_t(1) << bits;
    auto counts = counts_.get() + d * buckets;
    uint32_t start = 0;
    for (size_t b = 0; b < buckets; ++b) {
      for (int64_t p = 0; p < parts_; ++p) {
        start += std::exchange(counts[p * digits * buckets + b], start);
      }
    }
    each_part(size, [&](int64_t p, size_t first, size_t last) {
      auto places = counts + p * digits * buckets;
      for (auto i = first; i < last; ++i) {
        auto element = get(i);
        put(places[digit<bits>(element.rank, d)]++, element);
      }
    });
  }

  RankOf<T> rank_;
  int64_t threads_;
  int64_t parts_;
  Buffer<Element> elements_;
  Buffer<Element> other_;
  Buffer<uint32_t> counts_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
