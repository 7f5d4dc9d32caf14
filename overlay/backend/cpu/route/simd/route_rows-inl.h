// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs a RouteJob. Works on a block of rows at a time. The logits of a block
// are copied to float32, with each row padded to whole vectors. Then the scores
// are computed along each row, only the sums that must be sequential go through
// several rows at once. The selection kernels choose the experts of the block.

#pragma once

#include "mlx/backend/cpu/selection/simd/buffer-inl.h"
#include "overlay/backend/cpu/route/simd/load_row-inl.h"
#include "overlay/backend/cpu/route/simd/softmax-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** As many rows as the selection kernels work on at once, but at least 8. */
constexpr size_t rows_per_block = std::max<size_t>(lanes<float>, 8);

/** The rows of a block have at most so many elements together, or are one. */
constexpr size_t elements_per_block = 1 << 15;

/** Sums ``rows`` rows, each from the first element to the last. */
template <size_t rows>
void sum_rows(const float* x, size_t stride, size_t size, float* totals) {
  // One sum waits for each addition. Several at once fill the time.
  float sums[rows] = {};
  for (size_t i = 0; i < size; ++i) {
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; ++r) {
      sums[r] += x[r * stride + i];
    }
  }
  std::copy(sums, sums + rows, totals);
}

inline void sum_rows(
    const float* x,
    size_t stride,
    size_t size,
    size_t rows,
    float* totals) {
  size_t r = 0;
  for (; r + 8 <= rows; r += 8) {
    sum_rows<8>(x + r * stride, stride, size, totals + r);
  }
  for (; r + 4 <= rows; r += 4) {
    sum_rows<4>(x + r * stride, stride, size, totals + r);
  }
  for (; r < rows; ++r) {
    sum_rows<1>(x + r * stride, stride, size, totals + r);
  }
}

/** Routes the rows of a job, block by block. */
template <typename T>
class RouteRows {
 public:
  RouteRows(const RouteJob& job, int64_t rows)
      : job_(job),
        route_(*job.settings),
        size_(job.rows->axis_size),
        padded_(round_up(size_, lanes<float>)),
        rows_(
            std::clamp<size_t>(
                elements_per_block / padded_,
                1,
                std::min<int64_t>(rows, rows_per_block))),
        sign_(route_.ties == RouteTies::lower ? -1.0f : 1.0f),
        buffer_((3 * rows_ + 1) * padded_ + rows_ * route_.k + lanes<float>),
        logits_(buffer_.get()),
        scores_(logits_ + rows_ * padded_),
        preference_(scores_ + rows_ * padded_),
        bias_(preference_ + rows_ * padded_),
        chosen_(bias_ + padded_),
        groups_(route_, size_),
        plan_(plan_choice(rows_, size_, padded_, route_.k)) {
    for (size_t i = 0; i < padded_; ++i) {
      bool given = job.bias && i < size_;
      bias_[i] =
          given ? job.bias[static_cast<int64_t>(i) * job.bias_stride] : 0.0f;
    }
  }

  void run(int64_t first, int64_t last) {
    RowCursor cursor(*job_.rows, first);
    for (auto row = first; row < last;) {
      auto rows = std::min<int64_t>(rows_, last - row);
      for (int64_t r = 0; r < rows; ++r, cursor.next()) {
        load(r, static_cast<const T*>(job_.logits) + cursor.in_offset);
      }
      set_scores(rows);
      for (int64_t r = 0; r < rows; ++r) {
        set_preference(r);
      }
      choose(rows, job_.indices + row * route_.k);
      for (int64_t r = 0; r < rows; ++r) {
        write(r, row + r);
      }
      row += rows;
    }
  }

 private:
  void load(size_t r, const T* from) {
    auto row = logits_ + r * padded_;
    load_row(row, from, job_.rows->in_axis_stride, size_);
    std::fill(row + size_, row + padded_, -infinity);
  }

  void set_scores(size_t rows) {
    switch (route_.score) {
      case RouteScore::softmax:
        return set_softmax(rows);
      case RouteScore::sigmoid:
        for (size_t i = 0; i < rows * padded_; i += lanes<float>) {
          store(scores_ + i, sigmoid(SELECTION_NAMESPACE::load(logits_ + i)));
        }
        return;
      case RouteScore::sqrtsoftplus:
        for (size_t i = 0; i < rows * padded_; i += lanes<float>) {
          auto x = SELECTION_NAMESPACE::load(logits_ + i);
          store(scores_ + i, root_of_softplus(x));
        }
        return;
      case RouteScore::logits:
        std::memcpy(scores_, logits_, rows * padded_ * sizeof(float));
        return;
    }
  }

  void set_softmax(size_t rows) {
    for (size_t r = 0; r < rows; ++r) {
      auto from = logits_ + r * padded_;
      auto to = scores_ + r * padded_;
      auto highest = broadcast(greatest(from, padded_));
      for (size_t i = 0; i < padded_; i += lanes<float>) {
        auto x = SELECTION_NAMESPACE::load(from + i);
        store(to + i, exponential(x - highest));
      }
    }
    float totals[rows_per_block];
    sum_rows(scores_, padded_, size_, rows, totals);
    for (size_t r = 0; r < rows; ++r) {
      auto row = scores_ + r * padded_;
      auto factor = broadcast(1 / totals[r]);
      for (size_t i = 0; i < padded_; i += lanes<float>) {
        store(row + i, SELECTION_NAMESPACE::load(row + i) * factor);
      }
    }
  }

  // Sets the preference by which choose() finds the best experts. Sets scores
  // of masked experts to 0.
  //
  // For lower ties it is minus the score plus bias. The smallest is chosen
  // first, NaN last, and among equals the one that comes first. For higher ties
  // it is the score plus bias, from the last expert to the first. The greatest
  // is chosen, NaN first, and among equals the one that comes first here.
  void set_preference(size_t r) {
    auto logits = logits_ + r * padded_;
    auto scores = scores_ + r * padded_;
    auto to = preference_ + r * padded_;
    // With groups the sign is changed later.
    auto sign = broadcast(route_.uses_groups() ? 1.0f : sign_);
    auto worst = sign * -infinity;
    for (size_t i = 0; i < padded_; i += lanes<float>) {
      auto score = SELECTION_NAMESPACE::load(scores + i);
      auto biased = score;
      if (job_.bias) {
        biased = score + SELECTION_NAMESPACE::load(bias_ + i);
      }
      biased *= sign;
      if (route_.masks_infinity) {
        auto masked = SELECTION_NAMESPACE::load(logits + i) == -infinity;
        store(scores + i, masked ? Floats{} : score);
        biased = masked ? worst : biased;
      }
      store(to + i, biased);
    }
    if (route_.uses_groups()) {
      exclude_groups(logits, to);
    }
    if (route_.ties == RouteTies::higher) {
      std::reverse(to, to + size_);
    }
  }

  // Gives the experts of all but the best groups the excluded score, and
  // multiplies all by the sign.
  void exclude_groups(const float* logits, float* preference) {
    auto kept = groups_.choose(preference);
    auto members = groups_.members();
    for (int g = 0; g < route_.groups; ++g) {
      auto first = g * members;
      if (kept[g]) {
        for (auto i = first; i < first + members; ++i) {
          preference[i] *= sign_;
        }
      } else {
        bool masks = route_.masks_infinity;
        for (auto i = first; i < first + members; ++i) {
          bool masked = masks && logits[i] == -infinity;
          preference[i] = sign_ * (masked ? -infinity : route_.excluded_score);
        }
      }
    }
  }

  void choose(size_t rows, uint32_t* indices) {
    bool lower = route_.ties == RouteTies::lower;
    TopKJob job{
        &plan_,
        lower ? TopKMode::smallest : TopKMode::largest,
        true,
        1,
        float32,
        preference_,
        chosen_,
        indices};
    selection_kernels().topk(job, 0, rows);
    for (size_t i = 0; !lower && i < rows * route_.k; ++i) {
      indices[i] = static_cast<uint32_t>(size_) - 1 - indices[i];
    }
    for (size_t r = 0; !route_.sorted && r < rows; ++r) {
      std::reverse(indices + r * route_.k, indices + (r + 1) * route_.k);
    }
  }

  void write(size_t r, int64_t row) {
    auto k = static_cast<size_t>(route_.k);
    auto logits = logits_ + r * padded_;
    auto scores = scores_ + r * padded_;
    auto indices = job_.indices + row * route_.k;
    auto weights = static_cast<T*>(job_.weights) + row * route_.k;
    for (size_t i = 0; i < k; ++i) {
      chosen_[i] = scores[indices[i]];
    }
    if (route_.uses_softmax_of_chosen()) {
      set_softmax_of_chosen(logits, indices);
    } else if (route_.renormalize) {
      auto total = denominator(logits, indices);
      for (size_t i = 0; i < k; ++i) {
        chosen_[i] /= total;
      }
    }
    // The total or the softmax can be NaN.
    for (size_t i = 0; route_.masks_infinity && i < k; ++i) {
      chosen_[i] = logits[indices[i]] == -infinity ? 0 : chosen_[i];
    }
    // A product with 1 has the same bits.
    for (size_t i = 0; i < k; ++i) {
      weights[i] = static_cast<T>(chosen_[i] * route_.scale);
    }
    if (job_.scores) {
      std::memcpy(
          job_.scores + row * static_cast<int64_t>(size_),
          scores,
          size_ * sizeof(float));
    }
  }

  // Replaces the chosen scores by their softmax, with 0 for masked experts.
  void set_softmax_of_chosen(const float* logits, const uint32_t* indices) {
    for (int i = 0; route_.masks_infinity && i < route_.k; ++i) {
      bool masked = logits[indices[i]] == -infinity;
      chosen_[i] = masked ? -infinity : chosen_[i];
    }
    softmax_of_chosen(chosen_, route_.k, route_.masks_infinity);
  }

  // Returns the sum of the chosen scores, or 1 if all chosen experts are
  // masked.
  float denominator(const float* logits, const uint32_t* indices) const {
    float total = 0;
    bool some = !route_.masks_infinity;
    for (int i = 0; i < route_.k; ++i) {
      total += chosen_[i];
      some = some || logits[indices[i]] != -infinity;
    }
    return !some ? 1 : route_.eps != 0 ? total + route_.eps : total;
  }

  const RouteJob& job_;
  const RouteSettings& route_;
  size_t size_;
  size_t padded_;
  // How many rows a block has.
  size_t rows_;
  // Multiplies the score plus bias: see set_preference().
  float sign_;
  Buffer<float> buffer_;
  // Rows of ``padded_`` elements.
  float* logits_;
  float* scores_;
  float* preference_;
  float* bias_;
  // k elements for each row, and room to write one row in whole vectors.
  float* chosen_;
  GroupChoice groups_;
  TopKPlan plan_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
