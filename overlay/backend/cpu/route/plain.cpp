// Copyright © 2026 the mlx-topk authors. MIT licence.

// Route, one row and one element at a time.
//
// The kernel computes the bits that MLX's ops softmax, sigmoid, logaddexp, sum
// and divide give on x86-64. Their exponential is exp2f of the Cephes library.
// tests/test_route.py compares the bits with stock MLX, so it notices a version
// of MLX that computes these functions in another way.

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "mlx/backend/cpu/selection/float_mode.h"
#include "mlx/dtype_utils.h"
#include "overlay/backend/cpu/route/kernels.h"

namespace mlx::core::cpu {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/** Returns e^x = 2^(x / ln 2) by Cephes' polynomial for 2^fraction. */
float exponential(float x) {
  if (std::isnan(x)) {
    return x;
  }
  if (x > 88.0f) {
    return infinity;
  }
  if (x < -88.0f) {
    return 0;
  }
  float power = x * 1.442695f;
  float whole = std::floor(power + 0.5f);
  float fraction = power - whole;
  float p = 1.535336188319500e-4f;
  p = std::fma(p, fraction, 1.339887440266574e-3f);
  p = std::fma(p, fraction, 9.618437357674640e-3f);
  p = std::fma(p, fraction, 5.550332471162809e-2f);
  p = std::fma(p, fraction, 2.402264791363012e-1f);
  p = std::fma(p, fraction, 6.931472028550421e-1f);
  p = std::fma(p, fraction, 1.0f);
  auto exponent = static_cast<uint32_t>(static_cast<int>(whole) + 127) << 23;
  return std::bit_cast<float>(exponent) * p;
}

float sigmoid(float x) {
  float y = 1.0f / (1.0f + exponential(std::abs(x)));
  return x < 0 ? y : 1.0f - y;
}

float root_of_softplus(float x) {
  if (std::isnan(x)) {
    return x;
  }
  float high = x > 0 ? x : 0;
  float low = x > 0 ? 0 : x;
  bool infinite = low == -infinity || high == infinity;
  return std::sqrt(
      infinite ? high : high + std::log1p(exponential(low - high)));
}

/** Replaces a row of logits by its softmax. */
void softmax(std::vector<float>& row) {
  float highest = -infinity;
  for (float x : row) {
    highest = std::isnan(x) || x > highest ? x : highest;
  }
  float total = 0;
  for (float& x : row) {
    x = exponential(x - highest);
    total += x;
  }
  float factor = 1 / total;
  for (float& x : row) {
    x *= factor;
  }
}

/** Whether ``a`` comes before ``b`` in a descending order with NaN last. */
bool above(float a, float b) {
  return a > b || (std::isnan(b) && !std::isnan(a));
}

/** Whether ``a`` comes before ``b`` in a descending order with NaN first. */
bool above_or_nan(float a, float b) {
  return a > b || (std::isnan(a) && !std::isnan(b));
}

/** Routes one row after the other, in memory that all rows share. */
class Router {
 public:
  Router(const RouteJob& job)
      : route_(*job.settings),
        job_(job),
        size_(job.rows->axis_size),
        scores_(size_),
        biased_(size_),
        masked_(size_),
        chosen_(route_.k),
        order_(size_),
        group_scores_(route_.groups),
        group_order_(route_.groups) {}

  template <typename T>
  void route(int64_t row, int64_t in_offset) {
    load(static_cast<const T*>(job_.logits) + in_offset);
    set_scores();
    choose();
    auto k = route_.k;
    auto indices = job_.indices + row * k;
    auto weights = static_cast<T*>(job_.weights) + row * k;
    std::copy_n(order_.begin(), k, indices);
    if (!route_.sorted) {
      std::reverse(indices, indices + k);
    }
    write_weights(indices, weights);
    if (job_.scores) {
      std::copy(scores_.begin(), scores_.end(), job_.scores + row * size_);
    }
  }

 private:
  template <typename T>
  void load(const T* logits) {
    for (int64_t i = 0; i < size_; ++i) {
      scores_[i] = static_cast<float>(logits[i * job_.rows->in_axis_stride]);
      masked_[i] = route_.masks_infinity && scores_[i] == -infinity;
    }
  }

  void set_scores() {
    switch (route_.score) {
      case RouteScore::softmax:
        softmax(scores_);
        break;
      case RouteScore::sigmoid:
        std::transform(
            scores_.begin(), scores_.end(), scores_.begin(), sigmoid);
        break;
      case RouteScore::sqrtsoftplus:
        std::transform(
            scores_.begin(), scores_.end(), scores_.begin(), root_of_softplus);
        break;
      case RouteScore::logits:
        break;
    }
    for (int64_t i = 0; i < size_; ++i) {
      scores_[i] = masked_[i] ? 0 : scores_[i];
    }
  }

  void mask_biased() {
    for (int64_t i = 0; i < size_; ++i) {
      biased_[i] = masked_[i] ? -infinity : biased_[i];
    }
  }

  // Puts the indices of the k best experts first in ``order_``.
  void choose() {
    for (int64_t i = 0; i < size_; ++i) {
      biased_[i] =
          job_.bias ? scores_[i] + job_.bias[i * job_.bias_stride] : scores_[i];
    }
    mask_biased();
    if (route_.uses_groups()) {
      exclude_groups();
      mask_biased();
    }
    if (route_.ties == RouteTies::lower) {
      sort_best(above, std::less<uint32_t>());
    } else {
      sort_best(above_or_nan, std::greater<uint32_t>());
    }
  }

  // Puts the indices of the k best experts first in ``order_``. Equal experts
  // stand in the order of ``index_before``.
  template <typename Above, typename IndexBefore>
  void sort_best(Above above, IndexBefore index_before) {
    std::iota(order_.begin(), order_.end(), 0);
    std::partial_sort(
        order_.begin(),
        order_.begin() + route_.k,
        order_.end(),
        [&](uint32_t a, uint32_t b) {
          return above(biased_[a], biased_[b]) ||
              (!above(biased_[b], biased_[a]) && index_before(a, b));
        });
  }

  // Returns the score of a group. NaN is the best score of all.
  float group_score(const float* group, int64_t members) const {
    float best = -infinity;
    float second = -infinity;
    for (int64_t i = 0; i < members; ++i) {
      if (std::isnan(group[i])) {
        return group[i];
      }
      second = std::max(second, std::min(best, group[i]));
      best = std::max(best, group[i]);
    }
    bool has_pair = route_.group_score == GroupScore::top2 && members > 1;
    // An expert at -inf does not count if -inf masks.
    if (!has_pair || (route_.masks_infinity && second == -infinity)) {
      return best;
    }
    return second + best;
  }

  void exclude_groups() {
    auto members = size_ / route_.groups;
    for (int g = 0; g < route_.groups; ++g) {
      group_scores_[g] = group_score(biased_.data() + g * members, members);
    }
    std::iota(group_order_.begin(), group_order_.end(), 0);
    if (route_.group_ties == RouteTies::higher) {
      std::reverse(group_order_.begin(), group_order_.end());
    }
    // In ascending order, NaN comes last in each direction of a sort. Here it
    // is best, so it comes first.
    std::stable_sort(
        group_order_.begin(), group_order_.end(), [&](int a, int b) {
          return above_or_nan(group_scores_[a], group_scores_[b]);
        });
    for (int i = route_.topk_groups; i < route_.groups; ++i) {
      auto first = biased_.begin() + group_order_[i] * members;
      std::fill(first, first + members, route_.excluded_score);
    }
  }

  template <typename T>
  void write_weights(const uint32_t* indices, T* weights) {
    if (route_.uses_softmax_of_chosen()) {
      write_softmax(indices, weights);
    } else {
      write_quotients(indices, weights);
    }
  }

  // Writes the softmax of the chosen logits. A masked expert has weight 0.
  template <typename T>
  void write_softmax(const uint32_t* indices, T* weights) {
    bool some = false;
    for (int i = 0; i < route_.k; ++i) {
      bool masked = masked_[indices[i]];
      chosen_[i] = masked ? -infinity : scores_[indices[i]];
      some = some || !masked;
    }
    if (some) {
      softmax(chosen_);
    } else {
      std::fill(chosen_.begin(), chosen_.end(), 0.0f);
    }
    for (int i = 0; i < route_.k; ++i) {
      weights[i] = static_cast<T>(scaled(chosen_[i]));
    }
  }

  float scaled(float weight) const {
    return route_.scale != 1 ? weight * route_.scale : weight;
  }

  // Writes the chosen scores, divided by their sum if the settings say so.
  template <typename T>
  void write_quotients(const uint32_t* indices, T* weights) const {
    float total = 0;
    bool some = !route_.masks_infinity;
    for (int i = 0; i < route_.k; ++i) {
      total += scores_[indices[i]];
      some = some || !masked_[indices[i]];
    }
    total = route_.eps != 0 ? total + route_.eps : total;
    for (int i = 0; i < route_.k; ++i) {
      float weight = scores_[indices[i]];
      weight = route_.renormalize ? weight / (some ? total : 1) : weight;
      weights[i] = static_cast<T>(scaled(weight));
    }
  }

  const RouteSettings& route_;
  const RouteJob& job_;
  int64_t size_;
  std::vector<float> scores_;
  std::vector<float> biased_;
  std::vector<char> masked_;
  std::vector<float> chosen_;
  std::vector<uint32_t> order_;
  std::vector<float> group_scores_;
  std::vector<int> group_order_;
};

template <typename T>
void route_all(const RouteJob& job, int64_t first, int64_t last) {
  Router router(job);
  RowCursor cursor(*job.rows, first);
  for (auto row = first; row < last; ++row, cursor.next()) {
    router.route<T>(row, cursor.in_offset);
  }
}

} // namespace

void route_rows(const RouteJob& job, int64_t first, int64_t last) {
  ExactDenormals exact;
  switch (job.dtype.val()) {
    case Dtype::Val::float16:
      return route_all<float16_t>(job, first, last);
    case Dtype::Val::bfloat16:
      return route_all<bfloat16_t>(job, first, last);
    default:
      return route_all<float>(job, first, last);
  }
}

} // namespace mlx::core::cpu
