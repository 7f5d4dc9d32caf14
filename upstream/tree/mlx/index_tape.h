// Copyright © 2026 the mlx-topk authors. MIT licence.

// Which outputs on the tape of a gradient carry one.

#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "mlx/array.h"
#include "mlx/index_gradient.h"

namespace mlx::core::detail {

/** Whether a gradient can go from ``output`` to one of ``inputs``. */
bool carries_gradient(const array& output, const std::vector<array>& inputs);

/** One per transform. Reads the mode when it is made. */
class IndexTape {
 public:
  using Ids = std::unordered_set<std::uintptr_t>;

  /** Adds the outputs of the primitive of ``a`` to ``marked`` that carry
   * gradients. False if there are none. */
  bool mark(const array& a, Ids& marked);

  /** In mode ``error``, throws if an index is between the inputs of ``a`` and
   * the arrays that are differentiated with respect to. */
  void check_inputs(const array& a, const Ids& marked) const;

  /** As check_inputs, of an output of the function; nobody means a gradient of
   * an integer. */
  void check_output(const array& output, const Ids& marked) const;

 private:
  void check(std::vector<array> pending, const Ids& marked) const;

  IndexGradient mode_{index_gradient()};
  std::unordered_map<std::uintptr_t, std::string> indices_;
};

} // namespace mlx::core::detail
