// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs a SortJob: sorts or partitions each row, in ascending or in descending
// order. Among ties, the element with the lower index comes first in both, as
// in a stable sort. NaN counts as greatest. Rows have at least one element.
//
// A row that is in order already is copied. A partition sorts a row if
// sorts_to_partition() says so. Apart from that:
//
// - With AVX2 or AVX-512 a sort is a quicksort, which takes O(n log n), or for
//   short rows a network. A partition is a quickselect, which takes O(n)
//   without bad pivots, and O(n log n) at most, or for long rows a split, which
//   takes linear time.
// - Without them a sort is a network for up to network_size elements and a
//   radix sort for more, and a partition is a split.
// - Long rows of one or two bytes are argsorted by radix.
// - A partition whose ``kth`` is near an end is that of k_best-inl.h. If it is
//   near the start of many short rows, lanes-inl.h finds the first elements.
//
// Memory for one row of n elements: an argsort takes up to two arrays of words
// of each size, or two of ranks and indices, and an array of indices if its
// output is not contiguous. A sort takes two arrays of sort keys. Both take
// twice as much with several threads. A partition takes up to four arrays of
// ranks or indices, or what k_best-inl.h says.

#pragma once

#include "mlx/backend/cpu/selection/simd/k_best-inl.h"
#include "mlx/backend/cpu/selection/simd/lanes_output-inl.h"
#include "mlx/backend/cpu/selection/simd/ordered_rows-inl.h"
#include "mlx/backend/cpu/selection/simd/partition_row-inl.h"
#include "mlx/backend/cpu/selection/simd/radix_argsort-inl.h"
#include "mlx/backend/cpu/selection/simd/row_output-inl.h"
#include "mlx/backend/cpu/selection/simd/row_writer-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_indices-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_values-inl.h"
#include "mlx/backend/cpu/selection/simd/split_partition-inl.h"
#include "mlx/backend/cpu/selection/simd/wide_lanes-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Sorts or partitions the rows [first, last) of a job. */
template <typename T>
class SortRows {
  using R = Rank<T>;

 public:
  SortRows(const SortJob& job, int64_t first, int64_t last)
      : job_(job),
        ranking_(
            job.mode == TopKMode::smallest ? Ranking::ascending
                                           : Ranking::descending),
        first_(first),
        last_(last),
        size_(job.rows->axis_size) {}

  void run() {
    bool in_lanes = sizeof(T) <= 4 ? size_ <= TopKTuning::lanes_k
                                   : is_fast_in_wide_lanes(size_, size_);
    bool only_indices = job_.output == SortOutput::indices;
    bool too_short = only_indices && job_.rows->in_axis_stride == 1 &&
        lanes_are_faster_than_copying<T>(size_);
    // each_unordered() sees whether a single row is in order.
    bool looks_later = only_indices && !in_lanes && last_ - first_ == 1;
    if (!too_short && !looks_later) {
      OrderedRows<T> ordered(
          *job_.rows, job_.in, RankOf<T>(ranking_), size_, output(0));
      first_ = ordered.copy(first_, last_);
      if (first_ == last_) {
        return;
      }
    }
    if (in_lanes) {
      return sort_in_lanes();
    }
    if (!job_.kth || sorts_to_partition(size_, *job_.kth, sizeof(T))) {
      return job_.output == SortOutput::indices ? argsort() : sort();
    }
    if constexpr (partitions_in_lanes) {
      if (is_partitioned_in_lanes()) {
        return partition_in_lanes(*job_.kth + 1);
      }
    }
    // If one side of ``kth`` is small, only that side has to be found.
    auto kth = *job_.kth;
    auto before = kth + 1;
    auto from = size_ - kth;
    if (is_small_side(std::min(before, from), size_, job_.output)) {
      // The last elements are the best in the opposite ranking.
      bool at_front = before <= from;
      bool ascending = ranking_ == Ranking::ascending;
      auto count = std::min(before, from);
      return ascending == at_front
          ? partition_by_k_best<Ranking::ascending>(count, at_front)
          : partition_by_k_best<Ranking::descending>(count, at_front);
    }
    // A split can be divided among threads.
    job_.threads_per_row == 1 && quickselect_is_fast(size_)
        ? partition_by_quickselect(kth)
        : partition_by_split(kth);
  }

 private:
  // The whole output, from the element at ``offset`` on.
  RowOutput<T> output(int64_t offset) const {
    if (job_.output == SortOutput::indices) {
      return {nullptr, static_cast<uint32_t*>(job_.out) + offset, out_stride()};
    }
    return {static_cast<T*>(job_.out) + offset, nullptr, out_stride()};
  }

  int64_t out_stride() const {
    return job_.rows->out_axis_stride;
  }

  // Calls use(row, output of the row) for each row of the range.
  template <typename Use>
  void each(Use&& use) {
    for_each_row_and_output<T>(
        *job_.rows, job_.in, output(0), size_, first_, last_, use);
  }

  // As each(), but copies rows that are in order already, and does not call
  // ``use`` for them.
  template <typename Use>
  void each_unordered(Use&& use) {
    each([&](const Row<T>& row, const RowOutput<T>& out) {
      if (!copy_if_in_order(row, out)) {
        use(row, out);
      }
    });
  }

  bool copy_if_in_order(const Row<T>& row, const RowOutput<T>& out) const {
    RankOf<T> rank(ranking_);
    auto order = order_of(row, rank);
    if (order != RowOrder::neither) {
      copy_in_order(row, rank, order, size_, out);
    }
    return order != RowOrder::neither;
  }

  // Calls use(row, write). write(place, index) writes ``index``, or the element
  // of the row at ``index``, to ``place``. The job says which of the two.
  template <typename Use>
  void with_writer(const Row<T>& row, const RowOutput<T>& out, Use&& use) {
    if (out.indices) {
      use(row, IndexWriter(out.indices, out.stride, size_));
    } else {
      use(row, ValueWriter<T>(out.values, out.stride, row));
    }
  }

  template <typename Use>
  void each_with_writer(Use&& use) {
    each_unordered([&](const Row<T>& row, const RowOutput<T>& out) {
      with_writer(row, out, use);
    });
  }

  // ---- sort ----------------------------------------------------------------

  void argsort() {
    if (IndexSort<T>::is_fastest(size_)) {
      return argsort_by_words();
    }
    RadixArgsort<T> indices(size_, ranking_, job_.threads_per_row);
    each_with_writer(
        [&](const Row<T>& row, auto&& write) { indices.sort(row, write); });
  }

  void argsort_by_words() {
    IndexSort<T> indices(size_, ranking_, job_.threads_per_row);
    each([&](const Row<T>& row, const RowOutput<T>& out) {
      bool contiguous = out.indices && out.stride == 1;
      // To sort in registers takes hardly longer than to look for an order.
      if ((contiguous && indices.sort_in_registers(row, out.indices)) ||
          copy_if_in_order(row, out)) {
        return;
      }
      if (contiguous) {
        indices.sort(row, out.indices);
        return;
      }
      auto sorted = indices.sort(row);
      with_writer(row, out, [&](const Row<T>&, auto&& write) {
        write.write_all(sorted, size_, 0);
      });
    });
  }

  // Sorts short rows. A job that asks for a partition gets a sorted row too.
  void sort_in_lanes() {
    constexpr auto count = RowBlock<T>::count;
    RankOf<T> rank(ranking_);
    WordOf<T> words[TopKTuning::lanes_k * count];
    auto sort_block =
        [&](const RowBlock<T>& rows, const int64_t* out, size_t valid) {
          if constexpr (sizeof(T) <= 4) {
            k_best_in_lanes(rows, rank, size_, words);
          } else {
            k_best_in_wide_lanes(rows, rank, size_, words);
          }
          BlockOutput<T>{rows, words, size_, out, valid}.write(output(0));
        };
    for_each_block<T>(*job_.rows, job_.in, first_, last_, sort_block);
  }

  void sort() {
    if constexpr (std::is_same_v<T, complex64_t>) {
      argsort();
    } else {
      if constexpr (quicksort_is_fast && sizeof(T) == 2) {
        // A quicksort has no keys of 16 bits, but its leaves have.
        if (size_ <= leaf_size<ShortRowKey<T>>) {
          return sort_by<ShortRowKey<T>>();
        }
      }
      sort_by<SortKey<T>>();
    }
  }

  template <typename Key>
  void sort_by() {
    ValueSort<T, Key> values(size_, ranking_, job_.threads_per_row);
    auto sort_row = [&](const Row<T>& row, const RowOutput<T>& out) {
      values.sort(row, out.values, out.stride);
    };
    // To sort in registers takes hardly longer than to look for an order.
    constexpr size_t few = most_rows_of_values * lanes<Key>;
    size_ <= few ? each(sort_row) : each_unordered(sort_row);
  }

  // ---- partition -----------------------------------------------------------

  // Finds the ``count`` elements that come first (``at_front``) or last in a
  // stable sort. They are the best in ``ranking``. Writes the worst of these
  // elements to the place ``kth``, and the others to the places on their side
  // of ``kth``: in the order of the sort if they are few. Writes all elements
  // that were not found to the other side, in ascending order of index.
  template <Ranking ranking>
  void partition_by_k_best(size_t count, bool at_front) {
    auto ties = at_front ? Ties::first : Ties::last;
    KBestOfRow<T, ranking> k_best(size_, count, ties, job_.threads_per_row);
    each_with_writer([&](const Row<T>& row, auto&& write) {
      auto chosen = k_best.find(row).indices;
      auto place = at_front ? 0 : size_ - count;
      auto place_of_others = at_front ? count : 0;
      write_others(chosen, count, place_of_others, write);
      if (k_best.orders(count)) {
        for (size_t c = 0; c < count; ++c) {
          write(place++, k_best.in_order()[c]);
        }
        return;
      }
      auto index_at_kth = chosen[k_best.worst_position()];
      auto kth = at_front ? count - 1 : place++;
      for (size_t c = 0; c < count; ++c) {
        if (chosen[c] != index_at_kth) {
          write(place++, chosen[c]);
        }
      }
      write(kth, index_at_kth);
    });
  }

  // Writes all elements of a row except those in ``chosen``.
  template <typename Write>
  void write_others(
      const uint32_t* chosen,
      size_t count,
      size_t place,
      Write& write) const {
    if (job_.threads_per_row == 1) {
      return write.write_others(chosen, count, place);
    }
    split_work(
        size_, elements_per_part, job_.threads_per_row, [&](auto i, auto end) {
          auto first = std::lower_bound(chosen, chosen + count, size_t(i));
          auto last = std::lower_bound(first, chosen + count, size_t(end));
          auto before = first - chosen;
          write_others_between(
              write, i, end, first, last - first, place + i - before);
        });
  }

  static constexpr bool partitions_in_lanes =
      front_lanes_is_fast && sizeof(T) <= sizeof(uint32_t);

  // Whether partition_in_lanes() is the fastest, and may be used. It takes as
  // long for one row as for all rows of a block.
  bool is_partitioned_in_lanes() const {
    bool fits = size_ <= TopKTuning::lanes_size &&
        *job_.kth < static_cast<size_t>(TopKTuning::lanes_k);
    bool contiguous = job_.rows->in_axis_stride == 1 && out_stride() == 1;
    return fits && contiguous &&
        4 * (last_ - first_) >= static_cast<int64_t>(3 * RowBlock<T>::count);
  }

  // Finds the ``count`` elements that come first, in lanes. Writes them in the
  // order of the sort, and then all others in ascending order of index.
  void partition_in_lanes(size_t count) {
    constexpr auto rows_of_block = RowBlock<T>::count;
    RankOf<T> rank(ranking_);
    WordOf<T> words[TopKTuning::lanes_k * rows_of_block];
    auto partition_block =
        [&](const RowBlock<T>& rows, const int64_t* out, size_t valid) {
          k_best_in_lanes(rows, rank, count, words);
          for (size_t r = 0; r < valid; ++r) {
            Row<T> row{rows.data + rows.offset[r], 1, size_};
            uint32_t chosen[TopKTuning::lanes_k];
            for (size_t i = 0; i < count; ++i) {
              chosen[i] = index_of(words[i * rows_of_block + r]);
            }
            write_partition(row, chosen, count, output(out[r]));
          }
        };
    for_each_block<T>(*job_.rows, job_.in, first_, last_, partition_block);
  }

  // Copies a row that is in order already, as each_unordered() does. The last
  // element of such a row ties with the best, or the row is the result.
  void write_partition(
      const Row<T>& row,
      const uint32_t* chosen,
      size_t count,
      const RowOutput<T>& out) {
    RankOf<T> rank(ranking_);
    bool may_be_in_order = rank(row[size_ - 1]) == rank(row[chosen[0]]);
    if (may_be_in_order && copy_if_in_order(row, out)) {
      return;
    }
    if (out.indices) {
      IndexWriter write(out.indices, 1, size_);
      write.write_all(chosen, count, 0);
      write.write_others_of(chosen, count, count);
    } else {
      ValueWriter<T> write(out.values, 1, row);
      write.write_all(chosen, count, 0);
      write.write_others_of(chosen, count, count);
    }
  }

  void partition_by_quickselect(size_t kth) {
    RowPartition<T> partition(size_, kth, ranking_);
    auto before = kth + 1;
    auto from = size_ - kth;
    bool orders = std::min(before, from) <= TopKTuning::ordered_k;
    each_unordered([&](const Row<T>& row, const RowOutput<T>& out) {
      if constexpr (sizeof(T) <= sizeof(uint32_t)) {
        if (out.values && !orders && row.stride == 1 && out.stride == 1) {
          return partition.divide_values(row, out.values);
        }
      }
      partition.divide(row);
      if (orders) {
        before <= from ? partition.order_low() : partition.order_high();
      }
      with_writer(row, out, [&](const Row<T>&, auto&& write) {
        write.write_all(partition.low(), kth, 0);
        write(kth, partition.at_kth());
        write.write_all(partition.high(), from - 1, before);
      });
    });
  }

  void partition_by_split(size_t kth) {
    SplitPartition<T> split(size_, kth, ranking_, job_.threads_per_row);
    each_with_writer(
        [&](const Row<T>& row, auto&& write) { split.partition(row, write); });
  }

  const SortJob& job_;
  Ranking ranking_;
  int64_t first_;
  int64_t last_;
  size_t size_;
};

template <typename T>
void sort_rows(const SortJob& job, int64_t first, int64_t last) {
  SortRows<T>(job, first, last).run();
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
