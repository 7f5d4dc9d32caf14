// Copyright © 2026 the mlx-topk authors. MIT licence.

// Scratch of the kernels, not initialised. Included once per instruction set,
// inside its namespace.

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

  /** Loses what was there. */
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
