// Copyright © 2026 the mlx-topk authors. MIT licence.

// The nodes that our ops put into a graph. Each has its autograd rules beside
// it in selection_primitives.cpp and its kernels in backend/.

#pragma once

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "mlx/primitives.h"
#include "mlx/selection.h"

namespace mlx::core {

/** The k best elements along an axis: outputs are values and indices. */
class MLX_API TopK : public Primitive {
 public:
  explicit TopK(Stream stream, int k, int axis, TopKMode mode, TopKOrder order)
      : Primitive(stream), k_(k), axis_(axis), mode_(mode), order_(order) {}

  void eval_cpu(const std::vector<array>& inputs, std::vector<array>& outputs)
      override;
  void eval_gpu(const std::vector<array>& inputs, std::vector<array>& outputs)
      override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(TopK)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  auto state() const {
    return std::make_tuple(k_, axis_, mode_, order_);
  }

  /** Throws std::invalid_argument in the name of ``op``. */
  static void check_k(const char* op, int k, int axis, const Shape& shape);

 private:
  std::vector<array> same_op(const array& a, int axis);

  int k_;
  int axis_;
  TopKMode mode_;
  TopKOrder order_;
};

enum class OrderResult { values, indices };

/**
 * An axis in stable ascending order: all of it, or with ``kth`` only as far as
 * that element is where it would be, those before it not after it, and those
 * after it not before. ``kth`` stays as the caller gave it, so that a negative
 * one follows the size of the axis when a shapeless graph is used again.
 */
class MLX_API RowOrder : public UnaryPrimitive {
 public:
  explicit RowOrder(
      Stream stream,
      std::optional<int> kth,
      int axis,
      OrderResult result)
      : UnaryPrimitive(stream), kth_(kth), axis_(axis), result_(result) {}

  void eval_cpu(const std::vector<array>& inputs, array& out) override;
  void eval_gpu(const std::vector<array>& inputs, array& out) override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(RowOrder)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  auto state() const {
    return std::make_tuple(kth_, axis_, result_);
  }

  /** Throws std::invalid_argument in the name of ``op``. */
  static void check_kth(const char* op, int kth, int axis, const Shape& shape);

 private:
  array same_op(const array& a, int axis, OrderResult result);

  std::optional<int> kth_;
  int axis_;
  OrderResult result_;
};

/**
 * The index of the best element along an axis, which is left with size 1. NaN
 * is best in both modes, as in MLX's argmax and argmin.
 */
class MLX_API ArgBest : public UnaryPrimitive {
 public:
  explicit ArgBest(Stream stream, int axis, TopKMode mode)
      : UnaryPrimitive(stream), axis_(axis), mode_(mode) {}

  void eval_cpu(const std::vector<array>& inputs, array& out) override;
  void eval_gpu(const std::vector<array>& inputs, array& out) override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(ArgBest)
  bool is_equivalent(const Primitive& other) const override;
  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override;
  auto state() const {
    return std::make_pair(axis_, mode_);
  }

 private:
  int axis_;
  TopKMode mode_;
};

/** Indices, unchanged, with the ``zero`` or ``error`` rule of ``op``. */
class MLX_API IndexOutput : public UnaryPrimitive {
 public:
  explicit IndexOutput(Stream stream, IndexGradient mode, std::string op)
      : UnaryPrimitive(stream), mode_(mode), op_(std::move(op)) {}

  void eval_cpu(const std::vector<array>& inputs, array& out) override;
  void eval_gpu(const std::vector<array>& inputs, array& out) override;

  DEFINE_VMAP()
  DEFINE_GRADS()
  DEFINE_NAME(IndexOutput)
  DEFINE_INPUT_OUTPUT_SHAPE()
  bool is_equivalent(const Primitive& other) const override;
  auto state() const {
    return std::make_pair(mode_, op_);
  }

 private:
  std::vector<array> tangent(const array& indices);

  IndexGradient mode_;
  std::string op_;
};

} // namespace mlx::core
