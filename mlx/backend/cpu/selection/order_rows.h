// Copyright © 2026 the mlx-topk authors. MIT licence.

// Rows in order, whole or up to one place. Included once per instruction set,
// inside its namespace.

/** The elements of a rank, in the row's order: their bits may differ. */
template <typename T>
void restore_bits(
    const Row<T>& row,
    Rank<T> rank_of_all,
    const Rank<T>* sorted,
    T* out,
    int64_t stride) {
  auto [begin, end] = std::equal_range(sorted, sorted + row.size, rank_of_all);
  auto to = begin - sorted;
  RankOf<T> rank(Ranking::ascending);
  for (size_t i = 0; begin != end; ++i) {
    if (rank(row[i]) == rank_of_all) {
      out[to++ * stride] = row[i];
      ++begin;
    }
  }
}

template <typename T>
class OrderRows {
  using R = Rank<T>;

 public:
  OrderRows(const OrderJob& job, int64_t first, int64_t last)
      : job_(job),
        first_(first),
        last_(last),
        size_(job.rows->axis_size),
        stride_(job.rows->out_axis_stride) {}

  void run() {
    if constexpr (sizeof(T) <= 4) {
      if (size_ <= 16) {
        return argsort_lanes();
      }
    }
    if (!job_.kth) {
      return job_.result == OrderResult::indices ? argsort() : sort();
    }
    // The smaller of the two sides is selected; the other is what is left.
    auto kth = *job_.kth;
    if ((kth + 1) * elements_per_selected <= size_) {
      return partition_by_selection<Ranking::ascending>(kth + 1, Ties::first);
    }
    if ((size_ - kth) * elements_per_selected <= size_) {
      return partition_by_selection<Ranking::descending>(
          size_ - kth, Ties::last);
    }
    if (size_ <= network_size) {
      return job_.result == OrderResult::indices ? argsort() : sort();
    }
    partition_by_split(kth);
  }

 private:
  static constexpr size_t elements_per_selected = 8;

  template <typename Use>
  void each(Use&& use) {
    for_each_row<T>(*job_.rows, job_.in, first_, last_, use);
  }

  /** use(row, put), where put takes indices, and puts what was asked for. */
  template <typename Use>
  void with_put(const Row<T>& row, int64_t offset, Use&& use) {
    if (job_.result == OrderResult::indices) {
      auto out = static_cast<uint32_t*>(job_.out) + offset;
      use(row, PutIndices(out, stride_, size_));
    } else {
      use(row, PutValues<T>(static_cast<T*>(job_.out) + offset, stride_, row));
    }
  }

  template <typename Use>
  void each_with_put(Use&& use) {
    each(
        [&](const Row<T>& row, int64_t offset) { with_put(row, offset, use); });
  }

  // ---- all of it -----------------------------------------------------------

  void argsort() {
    RankOf<T> rank(Ranking::ascending);
    Scratch<R> all(size_ <= network_size ? size_ : 0);
    Buffer<Ranked<R>> elements(size_ <= network_size ? 0 : 2 * size_);
    each_with_put([&](const Row<T>& row, auto&& put) {
      if (size_ <= network_size) {
        auto kept = all.candidates();
        load_ranks(row, rank, 0, size_, kept.ranks);
        std::iota(kept.indices, kept.indices + size_, 0);
        sort_candidates(kept, size_, size_, put);
        return;
      }
      auto to = elements.get();
      for (size_t i = 0; i < size_; ++i) {
        to[i] = {rank(row[i]), static_cast<uint32_t>(i)};
      }
      auto ordered = sort_many(to, to + size_, size_);
      for (size_t i = 0; i < size_; ++i) {
        put(i, ordered[i].index);
      }
    });
  }

  void argsort_lanes() {
    constexpr auto count = RowBlock<T>::count;
    WordOf<T> words[16 * count];
    auto sort_block =
        [&](const RowBlock<T>& rows, const int64_t* out, size_t valid) {
          select_lanes(rows, RankOf<T>(Ranking::ascending), size_, words);
          for (size_t r = 0; r < valid; ++r) {
            Row<T> row{rows.data + rows.offset[r], rows.stride, rows.size};
            with_put(row, out[r], [&](const Row<T>&, auto&& put) {
              for (size_t i = 0; i < size_; ++i) {
                put(i, index_of(words[i * count + r]));
              }
            });
          }
        };
    for_each_block<T>(*job_.rows, job_.in, first_, last_, sort_block);
  }

  // Ranks alone: half of the memory that moves.
  void sort() {
    if constexpr (std::is_same_v<T, complex64_t>) {
      argsort();
    } else {
      RankOf<T> rank(Ranking::ascending);
      auto padded = network_padded<R>(size_);
      Buffer<R> ranks(2 * padded);
      each([&](const Row<T>& row, int64_t offset) {
        auto from = ranks.get();
        load_ranks(row, rank, 0, size_, from);
        auto sorted = from;
        if (size_ <= network_size) {
          network_sort(from, size_);
        } else {
          sorted = sort_many(from, from + padded, size_);
        }
        auto out = static_cast<T*>(job_.out) + offset;
        for (size_t i = 0; i < size_; ++i) {
          out[static_cast<int64_t>(i) * stride_] = element_of_key<T>(sorted[i]);
        }
        if constexpr (is_floating<T>) {
          restore_bits<T>(row, ordered_key(T(0.0f)), sorted, out, stride_);
          restore_bits<T>(row, nan_key<T>(), sorted, out, stride_);
        }
      });
    }
  }

  // ---- as far as one place -------------------------------------------------

  // The ``count`` first or last in a stable ascending sort, with the one that
  // borders on the others at its place, and the others by rising index.
  template <Ranking ranking>
  void partition_by_selection(size_t count, Ties ties) {
    Selection<T, ranking> selection(size_, count, ties);
    bool in_front = ranking == Ranking::ascending;
    each_with_put([&](const Row<T>& row, auto&& put) {
      auto chosen = selection.select(row).indices;
      auto worst = chosen[selection.worst_of_selected()];
      auto places = in_front ? 0 : size_ - count;
      auto others = in_front ? count : 0;
      auto border = in_front ? count - 1 : places++;
      put.all_but(chosen, count, others);
      for (size_t c = 0; c < count; ++c) {
        if (chosen[c] != worst) {
          put(places++, chosen[c]);
        }
      }
      put(border, worst);
    });
  }

  void partition_by_split(size_t kth) {
    RankOf<T> rank(Ranking::ascending);
    Scratch<R> all(size_), scratch(size_);
    each_with_put([&](const Row<T>& row, auto&& put) {
      auto ranks = all.candidates().ranks;
      load_ranks(row, rank, 0, size_, ranks);
      auto found = split<R>(ranks, size_, kth + 1, scratch.candidates());
      auto ties = kth - found.better;
      // Of those that tie, so many are in front, and the last of them is kth.
      auto cut = end_of_equal(ranks, found.rank, ties + 1);
      auto equal = found.rank;
      size_t place = 0;
      auto put_all = [&](size_t first, size_t last, Range<R> range) {
        auto kept = scratch.candidates();
        auto count =
            filter<R>(ranks + first, nullptr, first, last - first, range, kept);
        for (size_t i = 0; i < count; ++i) {
          put(place++, kept.indices[i]);
        }
      };
      put_all(0, cut - 1, up_to<R>(equal));
      if (equal > 0) {
        put_all(cut, size_, up_to<R>(equal - 1));
      }
      put(place++, cut - 1);
      if (equal < worst<R>) {
        put_all(0, cut, from<R>(equal + 1));
      }
      put_all(cut, size_, from<R>(equal));
    });
  }

  const OrderJob& job_;
  int64_t first_;
  int64_t last_;
  size_t size_;
  int64_t stride_;
};

template <typename T>
void order_rows(const OrderJob& job, int64_t first, int64_t last) {
  OrderRows<T>(job, first, last).run();
}
