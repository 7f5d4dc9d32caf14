// Copyright © 2026 the mlx-topk authors. MIT licence.

// Turns off the processor modes in which denormals count as zero. Another
// library may have turned them on in this thread, or in the thread that started
// this one. Kernels compare elements as floating-point numbers, and would take
// a denormal and zero for equal.

#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mlx::core::cpu {

/** Keeps denormals from counting as zero for as long as the object lives. */
class ExactDenormals {
 public:
  ExactDenormals() : saved_(read()) {
    if (saved_ & flushing) {
      write(saved_ & ~flushing);
    }
  }
  ~ExactDenormals() {
    if (saved_ & flushing) {
      write(saved_);
    }
  }
  ExactDenormals(const ExactDenormals&) = delete;
  ExactDenormals& operator=(const ExactDenormals&) = delete;

 private:
#if defined(__x86_64__)
  using Mode = uint32_t;
  // The bits DAZ and FTZ of MXCSR.
  static constexpr Mode flushing = 0x8040;

  static Mode read() {
    return _mm_getcsr();
  }
  static void write(Mode mode) {
    _mm_setcsr(mode);
  }
#elif defined(__aarch64__)
  using Mode = uint64_t;
  // The bits FZ and FZ16 of FPCR.
  static constexpr Mode flushing = (1u << 24) | (1u << 19);

  static Mode read() {
    Mode mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static void write(Mode mode) {
    asm volatile("msr fpcr, %0" : : "r"(mode) : "memory");
  }
#else
  using Mode = uint32_t;
  static constexpr Mode flushing = 0;

  static Mode read() {
    return 0;
  }
  static void write(Mode) {}
#endif

  Mode saved_;
};

} // namespace mlx::core::cpu
