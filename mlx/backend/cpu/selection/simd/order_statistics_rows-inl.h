// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs an OrderStatisticsJob: writes the elements that a stable sort of each
// row, the best element first, has at a few places. Rows have at least one
// element.
//
// Rows of at most TopKTuning::sorted_selection_size elements are sorted, if a
// kernel sorts them fast, and so are rows of which more than max_selections
// places are wanted. Otherwise the places are found by selecting: among the k
// best or the k worst elements if the places are near an end of the row, and
// else among all.

#pragma once

#include "mlx/backend/cpu/selection/simd/k_best-inl.h"
#include "mlx/backend/cpu/selection/simd/place_finder-inl.h"
#include "mlx/backend/cpu/selection/simd/row_order-inl.h"
#include "mlx/backend/cpu/selection/simd/rows-inl.h"
#include "mlx/backend/cpu/selection/simd/sort_indices-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Returns whether one of ``count`` contiguous elements is NaN. */
template <typename T>
bool has_nan(const T* data, size_t count) {
  if constexpr (std::is_same_v<T, complex64_t>) {
    return has_nan(reinterpret_cast<const float*>(data), 2 * count);
  } else {
    using Bits = std::make_signed_t<OrderedKey<T>>;
    constexpr auto width = lanes<Bits>;
    constexpr auto infinity = static_cast<Bits>(infinity_bits<T>());
    constexpr auto magnitude = std::numeric_limits<Bits>::max();
    auto bits = reinterpret_cast<const Bits*>(data);
    Vector<Bits> found{};
    size_t i = 0;
    for (; i + width <= count; i += width) {
      found |= (load(bits + i) & magnitude) > infinity;
    }
    bool any = any_of(found);
    for (; i < count; ++i) {
      any |= ordered_key(data[i]) == nan_key<T>();
    }
    return any;
  }
}

/** Returns the index of the first NaN of a row, or the size of the row. */
template <typename T>
size_t first_nan(const Row<T>& row) {
  if constexpr (RankOf<T>::has_nan) {
    constexpr size_t block = 2048;
    for (size_t first = 0; first < row.size; first += block) {
      auto last = std::min(first + block, row.size);
      if (row.stride == 1 && !has_nan(row.data + first, last - first)) {
        continue;
      }
      for (auto i = first; i < last; ++i) {
        if (ordered_key(row[i]) == nan_key<T>()) {
          return i;
        }
      }
    }
  }
  return row.size;
}

/** Writes the places of the rows [first, last) of a job. */
template <typename T>
class OrderStatisticsRows {
  using R = Rank<T>;

 public:
  OrderStatisticsRows(
      const OrderStatisticsJob& job,
      int64_t first,
      int64_t last)
      : job_(job),
        first_(first),
        last_(last),
        size_(job.rows->axis_size),
        stride_(job.rows->out_axis_stride),
        ranking_(
            job.mode == TopKMode::largest ? Ranking::descending
                                          : Ranking::ascending),
        wanted_(job.places_per_row) {}

  void run() {
    if (!job_.own_places) {
      read_places(job_.places, 1);
    }
    if constexpr (sizeof(T) <= 4) {
      if (!job_.own_places && size_ <= TopKTuning::lanes_size) {
        if (highest() < TopKTuning::lanes_k) {
          return run_in_lanes(true);
        }
        if (size_ - lowest() < TopKTuning::lanes_k) {
          return run_in_lanes(false);
        }
      }
    }
    for_each_row<T>(
        *job_.rows,
        job_.in,
        first_,
        last_,
        [&](const Row<T>& row, int64_t offset) {
          if (job_.own_places) {
            read_places(job_.places + offset, stride_);
          }
          write_row(row, offset);
        });
  }

 private:
  // A row of which more places are wanted is sorted.
  static constexpr size_t max_selections = 8;

  PlaceWanted* wanted() const {
    return wanted_.get();
  }

  size_t count() const {
    return job_.places_per_row;
  }

  size_t lowest() const {
    return wanted()[0].place;
  }

  size_t highest() const {
    return wanted()[count() - 1].place;
  }

  // Sets wanted() to the places, which are ``stride`` apart, in ascending
  // order. Takes a place beyond the row for the last one.
  void read_places(const uint32_t* places, int64_t stride) {
    auto last = static_cast<uint32_t>(size_ - 1);
    for (size_t i = 0; i < count(); ++i) {
      auto place = places[static_cast<int64_t>(i) * stride];
      wanted()[i] = {std::min(place, last), static_cast<uint32_t>(i)};
    }
    auto is_before = [](const PlaceWanted& a, const PlaceWanted& b) {
      return a.place < b.place;
    };
    std::sort(wanted(), wanted() + count(), is_before);
  }

  void write(const Row<T>& row, int64_t offset, size_t output, size_t index)
      const {
    auto at = offset + static_cast<int64_t>(output) * stride_;
    static_cast<T*>(job_.values)[at] = row[index];
    job_.indices[at] = static_cast<uint32_t>(index);
  }

  // Writes index_at(place) to each output.
  template <typename IndexAt>
  void write_all(const Row<T>& row, int64_t offset, IndexAt&& index_at) const {
    for (size_t w = 0; w < count(); ++w) {
      write(row, offset, wanted()[w].output, index_at(wanted()[w].place));
    }
  }

  // Returns whether the row has a NaN that is written to all places, and if so
  // writes it.
  bool write_nan(const Row<T>& row, int64_t offset) const {
    auto nan = job_.nan_wins ? first_nan(row) : size_;
    if (nan < size_) {
      write_all(row, offset, [&](size_t) { return nan; });
    }
    return nan < size_;
  }

  void write_row(const Row<T>& row, int64_t offset) {
    if (write_nan(row, offset)) {
      return;
    }
    bool many = count() > max_selections;
    bool is_short = size_ <= TopKTuning::sorted_selection_size;
    if (IndexSort<T>::supports(size_) && (is_short || many)) {
      return sort_row(row, offset);
    }
    RankOf<T> rank(ranking_);
    auto order = order_of(row, rank);
    if (order == RowOrder::best_first) {
      return write_all(row, offset, [](size_t place) { return place; });
    }
    if (order == RowOrder::best_last) {
      return write_all(
          row, offset, [&](size_t place) { return size_ - 1 - place; });
    }
    if (many) {
      return sort_candidates(row, offset);
    }
    auto front = highest() + 1;
    auto back = size_ - lowest();
    if (!is_small_side(std::min(front, back))) {
      return find_among_all(row, offset);
    }
    bool from_front = front <= back;
    if (from_front == (ranking_ == Ranking::ascending)) {
      find_near_end<Ranking::ascending>(row, offset, from_front);
    } else {
      find_near_end<Ranking::descending>(row, offset, from_front);
    }
  }

  // Returns whether find_near_end() is the fastest for places among the
  // ``count`` elements at one end of the row.
  bool is_small_side(size_t count) const {
    auto elements = quickselect_is_fast(size_)
        ? quickselect_elements_per_k(size_)
        : size_t(TopKTuning::bounded_elements_per_k);
    return count * elements <= size_;
  }

  // ---- sorting --------------------------------------------------------------

  // Finds the places in the best elements of each row, or, from the back, in
  // the best elements of the reverse ranking.
  void run_in_lanes(bool from_front) {
    constexpr auto rows_of_block = RowBlock<T>::count;
    // From the back, one element more shows whether the last one ties with it.
    auto k = from_front ? highest() + 1 : size_ - lowest() + 1;
    auto rank = rank_in_lanes(from_front);
    WordOf<T> words[TopKTuning::lanes_k * rows_of_block];
    auto use = [&](const RowBlock<T>& rows, const int64_t* out, size_t valid) {
      k_best_in_lanes(rows, rank, k, words);
      for (size_t r = 0; r < valid; ++r) {
        Row<T> row{rows.data + rows.offset[r], rows.stride, rows.size};
        auto best = [&](size_t i) -> size_t {
          return index_of(words[i * rows_of_block + r]);
        };
        if (job_.nan_wins && RankOf<T>::has_nan && is_nan(row[best(0)])) {
          write_all(row, out[r], [&](size_t) { return best(0); });
        } else if (from_front) {
          write_all(row, out[r], best);
        } else {
          write_all(row, out[r], [&](size_t place) {
            return from_back(row, size_ - 1 - place, k, best);
          });
        }
      }
    };
    for_each_block<T>(*job_.rows, job_.in, first_, last_, use);
  }

  // Returns the ranking for run_in_lanes. NaN is best if it wins.
  RankOf<T> rank_in_lanes(bool from_front) const {
    if ((ranking_ == Ranking::ascending) != from_front) {
      return RankOf<T>(Ranking::descending);
    }
    return RankOf<T>(
        job_.nan_wins ? Ranking::nan_then_ascending : Ranking::ascending);
  }

  static bool is_nan(T element) {
    return ordered_key(element) == nan_key<T>();
  }

  // Returns the index of the element that is ``i`` places before the end of a
  // stable sort. best(0), ..., best(k - 1) are the indices of the last
  // elements, the last one first, but among ties the lowest index first. i + 1
  // < k.
  template <typename Best>
  size_t from_back(const Row<T>& row, size_t i, size_t k, const Best& best)
      const {
    auto key = ordered_key(row[best(i)]);
    auto ties = [&](size_t j) {
      return j < k && ordered_key(row[best(j)]) == key;
    };
    if (!ties(i + 1) && (i == 0 || !ties(i - 1))) {
      return best(i);
    }
    auto first = i;
    while (first > 0 && ties(first - 1)) {
      --first;
    }
    // Among ties the highest index is the last.
    auto index = size_;
    for (auto left = i - first + 1; left > 0;) {
      left -= ordered_key(row[--index]) == key;
    }
    return index;
  }

  void sort_row(const Row<T>& row, int64_t offset) {
    if (!sort_) {
      sort_.emplace(size_, ranking_);
    }
    auto sorted = sort_->sort(row);
    write_all(row, offset, [&](size_t place) { return sorted[place]; });
  }

  void sort_candidates(const Row<T>& row, int64_t offset) {
    RankOf<T> rank(ranking_);
    elements_.reserve(2 * size_);
    auto to = elements_.get();
    for (size_t i = 0; i < size_; ++i) {
      to[i] = {rank(row[i]), static_cast<uint32_t>(i)};
    }
    auto sorted = sort_many(to, to + size_, size_);
    write_all(row, offset, [&](size_t place) { return sorted[place].index; });
  }

  // ---- selecting ------------------------------------------------------------

  void find_among_all(const Row<T>& row, int64_t offset) {
    if (!finder_) {
      finder_.emplace(size_);
    }
    RankOf<T> rank(ranking_);
    if (row.stride == 1) {
      for (size_t i = 0; i < size_; ++i) {
        finder_->set(i, rank(row.data[i]));
      }
    } else {
      for (size_t i = 0; i < size_; ++i) {
        finder_->set(i, rank(row[i]));
      }
    }
    auto found = [&](PlaceWanted wanted, size_t index) {
      write(row, offset, wanted.output, index);
    };
    finder_->find(size_, wanted(), count(), 0, found);
  }

  // Looks among candidates that contain the elements at one end of the sorted
  // row: those before and at the last place, or those at and after the first
  // one. These are the best in ``ranking``, which is ranking_ or its reverse.
  template <Ranking ranking>
  void find_near_end(const Row<T>& row, int64_t offset, bool from_front) {
    auto k = from_front ? highest() + 1 : size_ - lowest();
    if (is_short_row(size_, k)) {
      CandidateBuffer<R> buffer(size_);
      auto kept = buffer.candidates();
      auto found = short_row_candidates(row, RankOf<T>(ranking), k, kept);
      return find_in(kept, found, row, offset, from_front);
    }
    BoundedTopK<T, ranking> bounded(
        size_, k, from_front ? Ties::first : Ties::last);
    auto found = bounded.find(row, job_.threads_per_row);
    find_in(bounded.candidates(), found, row, offset, from_front);
  }

  void find_in(
      Candidates<R> all,
      size_t candidates,
      const Row<T>& row,
      int64_t offset,
      bool from_front) const {
    PlaceFinder<R> finder(candidates);
    for (size_t i = 0; i < candidates; ++i) {
      finder.set(i, from_front ? all.ranks[i] : static_cast<R>(~all.ranks[i]));
    }
    auto first = from_front ? 0 : size_ - candidates;
    auto found = [&](PlaceWanted wanted, size_t position) {
      write(row, offset, wanted.output, all.indices[position]);
    };
    finder.find(candidates, wanted(), count(), first, found);
  }

  const OrderStatisticsJob& job_;
  int64_t first_;
  int64_t last_;
  size_t size_;
  int64_t stride_;
  Ranking ranking_;
  Buffer<PlaceWanted> wanted_;
  Buffer<RankAndIndex<R>> elements_;
  std::optional<IndexSort<T>> sort_;
  std::optional<PlaceFinder<R>> finder_;
};

template <typename T>
void order_statistics_rows(
    const OrderStatisticsJob& job,
    int64_t first,
    int64_t last) {
  OrderStatisticsRows<T>(job, first, last).run();
}

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
