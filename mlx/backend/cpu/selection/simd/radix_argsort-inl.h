// Copyright © 2026 the mlx-topk authors. MIT licence.

// Sorts the indices of a long row by radix, from the least significant digit of
// the ranks on. Stable, linear time. The last pass writes the result. If ranks
// are narrow, the first pass reads the row itself. A digit that is the same in
// all ranks takes no pass. Each pass can be divided among threads: each of its
// parts counts its digits, which says where it may write. Memory: up to two
// arrays of ranks and indices.

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
  // To compute the ranks of wide elements in each pass would take longer than
  // to store them first, which vectors do.
  static constexpr bool loads_first = rank_bits > 16;

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
        other_(loads_first ? size : 0) {}

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
    auto from = elements_.get();
    if constexpr (loads_first) {
      load_elements(row, from);
      auto in_memory = [from](size_t i) { return from[i]; };
      sort_from<bits>(row.size, in_memory, other_.get(), from, write);
    } else {
      auto in_row = [row, rank = rank_](size_t i) -> Element {
        return {rank(row[i]), static_cast<uint32_t>(i)};
      };
      sort_from<bits>(row.size, in_row, from, other_.get(), write);
    }
  }

  // Sorts the elements get(i). The first pass goes to ``to`` and the second to
  // ``other``, unless it is the last.
  template <int bits, typename Get, typename Write>
  void
  sort_from(size_t size, Get&& get, Element* to, Element* other, Write& write) {
    constexpr int digits = (rank_bits + bits - 1) / bits;
    constexpr size_t buckets = size_t(1) << bits;
    counts_.reserve(parts_ * digits * buckets);
    count_all_digits<bits>(size, get);

    int passes[digits];
    int last = -1;
    for (int d = 0; d < digits; ++d) {
      if (!is_constant(d, digits, buckets, size)) {
        passes[++last] = d;
      }
    }
    if (last < 0) {
      for (size_t i = 0; i < size; ++i) {
        write(i, static_cast<uint32_t>(i));
      }
      return;
    }
    auto write_index = [write](size_t place, Element e) {
      write(place, e.index);
    };
    if (last == 0) {
      return scatter<bits>(passes[0], size, get, write_index);
    }
    auto store_to = [](Element* out) {
      return [out](size_t place, Element e) { out[place] = e; };
    };
    scatter<bits>(passes[0], size, get, store_to(to));
    for (int p = 1; p <= last; ++p) {
      auto in_memory = [to](size_t i) { return to[i]; };
      if (parts_ > 1) {
        count_digit<bits>(passes[p], size, in_memory);
      }
      if (p == last) {
        scatter<bits>(passes[p], size, in_memory, write_index);
      } else {
        scatter<bits>(passes[p], size, in_memory, store_to(other));
        std::swap(to, other);
      }
    }
  }

  void load_elements(const Row<T>& row, Element* to) {
    each_part(row.size, [&](int64_t, size_t first, size_t last) {
      auto rank = rank_;
      auto data = row.data;
      if (row.stride == 1) {
        for (auto i = first; i < last; ++i) {
          to[i] = {rank(data[i]), static_cast<uint32_t>(i)};
        }
      } else {
        for (auto i = first; i < last; ++i) {
          to[i] = {rank(row[i]), static_cast<uint32_t>(i)};
        }
      }
    });
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

  // Counts the digits of each part for each pass.
  template <int bits, typename Get>
  void count_all_digits(size_t size, Get&& get) {
    constexpr int digits = (rank_bits + bits - 1) / bits;
    constexpr size_t buckets = size_t(1) << bits;
    each_part(size, [&](int64_t p, size_t first, size_t last) {
      auto counts = counts_.get() + p * digits * buckets;
      std::fill(counts, counts + digits * buckets, 0);
      // A copy, since what is captured may change with each store for all that
      // the compiler knows. So it is in the other loops.
      auto get_element = get;
      for (auto i = first; i < last; ++i) {
        R rank = get_element(i).rank;
#pragma GCC unroll 8
        for (int d = 0; d < digits; ++d) {
          ++counts[d * buckets + digit<bits>(rank, d)];
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
      auto get_element = get;
      auto this_digit = d;
      for (auto i = first; i < last; ++i) {
        ++counts[digit<bits>(get_element(i).rank, this_digit)];
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
      auto get_element = get;
      auto put_element = put;
      auto this_digit = d;
      for (auto i = first; i < last; ++i) {
        auto element = get_element(i);
        put_element(places[digit<bits>(element.rank, this_digit)]++, element);
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
