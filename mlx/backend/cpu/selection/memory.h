// Copyright © 2026 the mlx-topk authors. MIT licence.

// Scratch of the kernels, not initialised. Included once per instruction set,
// inside its namespace.

template <typename T>
class Buffer {
 public:
  explicit Buffer(size_t size = 0) {
    reserve(size);
  }

  /** Loses what was there. */
  void reserve(size_t size) {
    if (size > size_) {
      data_ = std::make_unique_for_overwrite<T[]>(size);
      size_ = size;
    }
  }

  T* get() const {
    return data_.get();
  }

 private:
  std::unique_ptr<T[]> data_;
  size_t size_{0};
};

/** Elements on their way through a selection, by rising index. */
template <typename R>
struct Candidates {
  R* ranks;
  uint32_t* indices;
};

template <typename R>
class Scratch {
 public:
  explicit Scratch(size_t size)
      : ranks_(size + spare), indices_(size + spare) {}

  /** Loses what was there. */
  void reserve(size_t size) {
    ranks_.reserve(size + spare);
    indices_.reserve(size + spare);
  }

  Candidates<R> candidates() const {
    return {ranks_.get(), indices_.get()};
  }

 private:
  // For filter's whole vectors and for padding.
  static constexpr size_t spare = 2 * lanes<R> + 16;

  Buffer<R> ranks_;
  Buffer<uint32_t> indices_;
};
