// Copyright © 2026 the mlx-topk authors. MIT licence.

// Scratch arrays of the kernels, not initialised. They borrow memory that the
// thread keeps for this purpose (scratch.h).

#pragma once

#include "mlx/backend/cpu/selection/simd/vector-inl.h"

namespace mlx::core::cpu::SELECTION_NAMESPACE {

namespace {

template <typename T>
class Buffer {
 public:
  explicit Buffer(size_t size = 0) {
    reserve(size);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    release();
  }

  /** Makes room for ``size`` elements. Their values are then unspecified. */
  void reserve(size_t size) {
    if (size * sizeof(T) > block_.bytes) {
      release();
      block_ = take_scratch(size * sizeof(T));
    }
  }

  T* get() const {
    return static_cast<T*>(block_.data);
  }

 private:
  void release() {
    if (block_.data) {
      give_back_scratch(std::exchange(block_, {}));
    }
  }

  ScratchBlock block_;
};

/**
 * Elements that may be among the k best: the rank and the index of each, in
 * ascending order of index. Points to memory that it does not own.
 */
template <typename R>
struct Candidates {
  R* ranks;
  uint32_t* indices;
};

/** Owns memory for candidates. */
template <typename R>
class CandidateBuffer {
 public:
  explicit CandidateBuffer(size_t size)
      : ranks_(size + spare), indices_(size + spare) {}

  /** Makes room for ``size`` elements. Their values are then unspecified. */
  void reserve(size_t size) {
    ranks_.reserve(size + spare);
    indices_.reserve(size + spare);
  }

  Candidates<R> candidates() const {
    return {ranks_.get(), indices_.get()};
  }

 private:
  // filter() writes whole vectors, and some sorts add padding.
  static constexpr size_t spare = 2 * lanes<R> + 16;

  Buffer<R> ranks_;
  Buffer<uint32_t> indices_;
};

} // namespace

} // namespace mlx::core::cpu::SELECTION_NAMESPACE
