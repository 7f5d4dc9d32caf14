// Copyright © 2026 the mlx-topk authors. MIT licence.

// Where a row that is put in order goes: as indices, or as the elements that
// they are of. Included once per instruction set, inside its namespace.

/** use(first, last) between one of the rising ``chosen`` and the next. */
template <typename Use>
void for_each_gap(
    const uint32_t* chosen,
    size_t count,
    size_t size,
    Use&& use) {
  size_t next = 0;
  for (size_t c = 0; c < count; ++c) {
    use(next, static_cast<size_t>(chosen[c]));
    next = chosen[c] + 1;
  }
  use(next, size);
}

class PutIndices {
 public:
  PutIndices(uint32_t* out, int64_t stride, size_t size)
      : out_(out), stride_(stride), size_(size) {}

  void operator()(size_t place, uint32_t index) const {
    out_[static_cast<int64_t>(place) * stride_] = index;
  }

  /** All indices but ``count`` rising ones, from ``place`` on. */
  void all_but(const uint32_t* chosen, size_t count, size_t place) const {
    if (stride_ == 1 && count <= 16 && size_ <= skipping_size) {
      count_skipped(chosen, count, out_ + place);
      return;
    }
    for_each_gap(chosen, count, size_, [&](size_t first, size_t last) {
      if (stride_ == 1) {
        std::iota(out_ + place, out_ + place + (last - first), first);
        place += last - first;
      } else {
        for (; first < last; ++first) {
          (*this)(place++, first);
        }
      }
    });
  }

 private:
  static constexpr size_t skipping_size = 512;

  // Without a jump: an index is its place and how many are skipped before it.
  void count_skipped(const uint32_t* chosen, size_t count, uint32_t* to) const {
    constexpr auto width = lanes<uint32_t>;
    uint32_t rest[skipping_size + width];
    Vector<uint32_t> places;
    for (size_t l = 0; l < width; ++l) {
      places[l] = l;
    }
    for (size_t i = 0; i < size_ - count; i += width) {
      auto indices = places;
      for (size_t c = 0; c < count; ++c) {
        auto skipped = places >= static_cast<uint32_t>(chosen[c] - c);
        indices -= (Vector<uint32_t>)skipped;
      }
      store(rest + i, indices);
      places += static_cast<uint32_t>(width);
    }
    std::copy(rest, rest + size_ - count, to);
  }

  uint32_t* out_;
  int64_t stride_;
  size_t size_;
};

template <typename T>
class PutValues {
 public:
  PutValues(T* out, int64_t stride, const Row<T>& row)
      : out_(out), stride_(stride), row_(row) {}

  void operator()(size_t place, uint32_t index) const {
    out_[static_cast<int64_t>(place) * stride_] = row_[index];
  }

  void all_but(const uint32_t* chosen, size_t count, size_t place) const {
    for_each_gap(chosen, count, row_.size, [&](size_t first, size_t last) {
      for (; first < last; ++first) {
        (*this)(place++, first);
      }
    });
  }

 private:
  T* out_;
  int64_t stride_;
  const Row<T>& row_;
};
