// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs a RouteGradientJob, one row after the other. Each operation is one of
// RouteDerivative::vjp, in the same order.

#pragma once

#include "mlx/backend/cpu/selection/simd/buffer-inl.h"
#include "overlay/backend/cpu/route/simd/load_row-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

/** Up to this k it takes less time to sort the chosen experts than to sum all.
 */
constexpr size_t sorted_k = 32;

/** Walks over the rows of an input. */
template <typename T>
class InputRows {
 public:
  InputRows(const RowsOf& input, int64_t first)
      : data_(static_cast<const T*>(input.data)),
        stride_(input.rows.in_axis_stride),
        size_(input.rows.axis_size),
        cursor_(input.rows, first) {}

  /** Copies the next row, as float32 or uint32. */
  template <typename To>
  void read(To* to) {
    if constexpr (std::is_same_v<To, float>) {
      load_row(to, data_ + cursor_.in_offset, stride_, size_);
    } else {
      for (size_t i = 0; i < size_; ++i) {
        to[i] = data_[cursor_.in_offset + static_cast<int64_t>(i) * stride_];
      }
    }
    cursor_.next();
  }

 private:
  const T* data_;
  int64_t stride_;
  size_t size_;
  RowCursor cursor_;
};

/** Computes the gradients of the rows of a job. */
template <typename T>
class GradientRows {
 public:
  GradientRows(const RouteGradientJob& job, int64_t)
      : job_(job),
        route_(*job.settings),
        size_(job.scores.rows.axis_size),
        padded_(round_up(size_, lanes<float>)),
        k_(route_.k),
        floats_(4 * padded_ + 2 * k_),
        indices_(k_),
        logits_(floats_.get()),
        scores_(logits_ + padded_),
        of_scores_(scores_ + padded_),
        result_(of_scores_ + padded_),
        chosen_(result_ + padded_),
        of_chosen_(chosen_ + k_) {
    std::fill(floats_.get(), chosen_, 0.0f);
  }

  void run(int64_t first, int64_t last) {
    InputRows<T> logits(job_.logits, first);
    InputRows<uint32_t> indices(job_.indices, first);
    InputRows<float> scores(job_.scores, first);
    InputRows<T> of_weights(job_.of_weights, first);
    std::optional<InputRows<float>> of_scores;
    if (job_.of_scores) {
      of_scores.emplace(*job_.of_scores, first);
    }
    bool reads_logits =
        route_.masks_infinity || route_.score == RouteScore::sqrtsoftplus;
    for (auto row = first; row < last; ++row) {
      if (reads_logits) {
        logits.read(logits_);
      }
      indices.read(indices_.get());
      scores.read(scores_);
      of_weights.read(of_chosen_);
      set_cotangents_of_chosen();
      set_cotangents(of_scores);
      set_result();
      auto out = static_cast<T*>(job_.out) + row * static_cast<int64_t>(size_);
      for (size_t i = 0; i < size_; ++i) {
        out[i] = static_cast<T>(result_[i]);
      }
    }
  }

 private:
  bool masked(size_t expert) const {
    return route_.masks_infinity && logits_[expert] == -infinity;
  }

  // Turns the cotangents of the weights into those of the chosen scores.
  void set_cotangents_of_chosen() {
    auto chosen = indices_.get();
    float total = 0;
    bool some = false;
    for (size_t i = 0; i < k_; ++i) {
      bool counts = !masked(chosen[i]);
      some = some || counts;
      chosen_[i] = scores_[chosen[i]];
      total += chosen_[i];
      of_chosen_[i] = (counts ? of_chosen_[i] : 0) * route_.scale;
    }
    if (!route_.renormalize) {
      return;
    }
    total = !some ? 1 : route_.eps != 0 ? total + route_.eps : total;
    float square = total * total;
    float by_total = 0;
    for (size_t i = 0; i < k_; ++i) {
      by_total += -(of_chosen_[i] * chosen_[i] / square);
    }
    for (size_t i = 0; i < k_; ++i) {
      auto cotangent = of_chosen_[i] / total + by_total;
      of_chosen_[i] = masked(chosen[i]) ? 0 : cotangent;
    }
  }

  // Sets the cotangents of all scores, 0 for masked experts.
  void set_cotangents(std::optional<InputRows<float>>& of_scores) {
    std::fill(of_scores_, of_scores_ + size_, 0.0f);
    if (of_scores) {
      of_scores->read(of_scores_);
    }
    auto chosen = indices_.get();
    for (size_t i = 0; i < k_; ++i) {
      // MLX adds to 0 first, which turns -0 into 0.
      of_scores_[chosen[i]] = (0.0f + of_chosen_[i]) + of_scores_[chosen[i]];
    }
    if (!of_scores) {
      return;
    }
    for (size_t i = 0; i < size_; ++i) {
      of_scores_[i] = masked(i) ? 0 : of_scores_[i];
    }
  }

  // Sums score times cotangent in the order of the experts.
  float sum_of_products() {
    float total = 0;
    if (job_.of_scores || k_ > sorted_k) {
      for (size_t i = 0; i < size_; ++i) {
        total += scores_[i] * of_scores_[i];
      }
      return total;
    }
    // Only the chosen experts have a cotangent, and adding 0 changes no sum.
    // Where a score is NaN, set_result() gives NaN whatever the sum is.
    sort_indices();
    for (size_t i = 0; i < k_; ++i) {
      auto expert = indices_.get()[i];
      total += scores_[expert] * of_scores_[expert];
    }
    return total;
  }

  // Sorts the chosen experts by insertion.
  void sort_indices() {
    auto indices = indices_.get();
    for (size_t i = 1; i < k_; ++i) {
      auto index = indices[i];
      auto to = i;
      for (; to > 0 && indices[to - 1] > index; --to) {
        indices[to] = indices[to - 1];
      }
      indices[to] = index;
    }
  }

  void set_result() {
    Floats total{};
    if (route_.score == RouteScore::softmax) {
      total = broadcast(sum_of_products());
    }
    for (size_t i = 0; i < padded_; i += lanes<float>) {
      auto score = load(scores_ + i);
      auto cotangent = load(of_scores_ + i);
      Floats result;
      if (route_.score == RouteScore::softmax) {
        result = score * cotangent - score * total;
      } else if (route_.score == RouteScore::sigmoid) {
        result = cotangent * (score * (1.0f - score));
      } else {
        result = of_root(load(logits_ + i), score, cotangent);
      }
      if (route_.masks_infinity) {
        result = load(logits_ + i) == -infinity ? Floats{} : result;
      }
      store(result_ + i, result);
    }
  }

  // Returns the cotangent of logits whose score is sqrt(softplus(logit)). At
  // masked experts the result is not used.
  Floats of_root(Floats logits, Floats score, Floats cotangent) const {
    return 0.5f * cotangent / score * sigmoid(logits - 0.0f);
  }

  const RouteGradientJob& job_;
  const RouteSettings& route_;
  size_t size_;
  size_t padded_;
  size_t k_;
  Buffer<float> floats_;
  Buffer<uint32_t> indices_;
  // One row of each, with whole vectors.
  float* logits_;
  float* scores_;
  float* of_scores_;
  float* result_;
  // The scores of the chosen experts, and their cotangents.
  float* chosen_;
  float* of_chosen_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
