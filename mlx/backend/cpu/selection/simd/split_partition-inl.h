// Copyright © 2026 the mlx-topk authors. MIT licence.

// Partitions a row at a position by splitting the ranks of all its elements.
// Takes linear time. Memory: two arrays of ranks and one of indices.
//
// With several threads the row is divided into shares of adjacent elements. The
// threads count how many elements of each share belong before the position, so
// that each share can be written by itself.

#pragma once

#include "mlx/backend/cpu/selection/simd/row-inl.h"
#include "mlx/backend/cpu/selection/simd/split-inl.h"
#include "mlx/backend/cpu/selection/threads.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Partitions rows of ``size`` elements at the position ``kth``. */
template <typename T>
class SplitPartition {
  using R = Rank<T>;

 public:
  SplitPartition(size_t size, size_t kth, Ranking ranking, int64_t threads)
      : size_(size),
        kth_(kth),
        rank_(ranking),
        threads_(threads),
        // More shares than threads, in case that a thread starts late.
        shares_(threads == 1 ? 1 : 4 * threads),
        ranks_(size),
        scratch_(size),
        counts_(shares_) {}

  /**
   * Calls write(place, index) or write.write_all() for the elements that a
   * stable sort has before ``kth``, for that at ``kth``, and for those after
   * it. Both sides are in ascending order of index. Calls may come from several
   * threads.
   */
  template <typename Write>
  void partition(const Row<T>& row, Write&& write) {
    each_share([&](size_t, size_t first, size_t count) {
      load_ranks(row, rank_, first, count, ranks() + first);
    });
    auto found = find_split();
    if (shares_ == 1) {
      counts(0) = {found.better, found.equal};
    } else {
      count_shares({found.rank, 0});
    }
    auto at_kth = find_kth(found);
    write(kth_, static_cast<uint32_t>(at_kth));
    each_share([&](size_t share, size_t first, size_t count) {
      write_share(share, first, first + count, found.rank, at_kth, write);
    });
  }

 private:
  // How many ranks of a share are below a range, and how many are in it.
  struct Counts {
    size_t below;
    size_t inside;
  };

  Counts& counts(size_t share) const {
    return counts_.get()[share];
  }

  // Calls use(share, first, count) for each share and its elements.
  template <typename Use>
  void each_share(Use&& use) const {
    run_parts(shares_, threads_, [&](int64_t share) {
      auto first = begin(share);
      use(static_cast<size_t>(share), first, begin(share + 1) - first);
    });
  }

  // Sets counts() of all shares.
  void count_shares(Range<R> range) const {
    each_share([&](size_t share, size_t first, size_t count) {
      auto [below, up_to] = count_range(ranks() + first, count, range);
      counts(share) = {below, up_to - below};
    });
  }

  size_t begin(size_t share) const {
    return share * size_ / shares_;
  }

  R* ranks() const {
    return ranks_.get();
  }

  // ---- the element at kth --------------------------------------------------

  Split<R> find_split() {
    if (shares_ > 1) {
      RankSample<R> sample(ranks(), size_);
      if (auto found = split_range(sample.around(kth_ + 1))) {
        return *found;
      }
    }
    return split<R>(ranks(), size_, kth_ + 1, scratch_.candidates());
  }

  // Looks for the split among the ranks in ``range``. Returns nothing if it is
  // not there, or if too many ranks are.
  std::optional<Split<R>> split_range(Range<R> range) {
    count_shares(range);
    Counts all{0, 0};
    for (size_t share = 0; share < shares_; ++share) {
      all.below += counts(share).below;
      all.inside += counts(share).inside;
    }
    if (kth_ < all.below || kth_ >= all.below + all.inside ||
        all.inside > size_ / 2) {
      return {};
    }
    gather(range);
    auto kept = scratch_.candidates();
    auto found = split<R>(kept.ranks, all.inside, kth_ + 1 - all.below, kept);
    found.better += all.below;
    return found;
  }

  // Copies the ranks in ``range``, of which counts() says how many each share
  // has, to scratch_.
  void gather(Range<R> range) {
    each_share([&](size_t share, size_t first, size_t count) {
      size_t place = 0;
      for (size_t s = 0; s < share; ++s) {
        place += counts(s).inside;
      }
      CandidateBuffer<R> own(count);
      auto kept = own.candidates();
      count = filter<R>(
          ranks() + first, nullptr, 0, count, range, {kept.ranks, nullptr});
      std::copy_n(kept.ranks, count, scratch_.candidates().ranks + place);
    });
  }

  // Returns the index of the element at ``kth``. Removes from counts() all
  // elements equal to it that do not belong before it.
  size_t find_kth(const Split<R>& found) {
    auto ties = kth_ - found.better;
    auto index = size_;
    for (size_t share = 0; share < shares_; ++share) {
      auto& equal = counts(share).inside;
      if (index == size_ && ties < equal) {
        auto first = begin(share);
        index = first + end_of_equal(ranks() + first, found.rank, ties + 1) - 1;
      }
      equal = std::min(equal, ties);
      ties -= equal;
    }
    return index;
  }

  // ---- the result ----------------------------------------------------------

  // Writes the elements [first, last), which are those of ``share``.
  template <typename Write>
  void write_share(
      size_t share,
      size_t first,
      size_t last,
      R equal,
      size_t at_kth,
      Write&& write) const {
    size_t before = 0;
    for (size_t s = 0; s < share; ++s) {
      before += counts(s).below + counts(s).inside;
    }
    auto after = kth_ + 1 + first - before - (at_kth < first);
    CandidateBuffer<R> own(shares_ == 1 ? 0 : last - first);
    auto kept = shares_ == 1 ? scratch_.candidates() : own.candidates();
    // Writes those of the elements [i, end) whose rank is in ``range``, from
    // ``place`` on.
    auto write_range = [&](size_t i, size_t end, Range<R> range, auto& place) {
      if (i < end) {
        auto count = filter<R>(ranks() + i, nullptr, i, end - i, range, kept);
        write.write_all(kept.indices, count, place);
        place += count;
      }
    };
    // Elements that tie belong before ``kth`` up to at_kth, and after it from
    // there on.
    auto end = std::min(last, at_kth);
    auto begin = std::max(first, at_kth + 1);
    write_range(first, end, up_to<R>(equal), before);
    if (equal > 0) {
      write_range(begin, last, up_to<R>(equal - 1), before);
    }
    if (equal < worst<R>) {
      write_range(first, end, from<R>(equal + 1), after);
    }
    write_range(begin, last, from<R>(equal), after);
  }

  size_t size_;
  size_t kth_;
  RankOf<T> rank_;
  int64_t threads_;
  size_t shares_;
  Buffer<R> ranks_;
  CandidateBuffer<R> scratch_;
  Buffer<Counts> counts_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
