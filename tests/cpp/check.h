// Copyright © 2026 the mlx-topk authors. MIT licence.

// Declares what the C++ tests share: checks that are counted, and the entry
// point of each file of tests.

#pragma once

#include <cstdio>
#include <functional>
#include <string>

inline int checks = 0;
inline int failures = 0;

/** Counts a check. If ``condition`` is false, prints it and goes on. */
#define CHECK(condition)                                          \
  do {                                                            \
    ++checks;                                                     \
    if (!(condition)) {                                           \
      ++failures;                                                 \
      std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
    }                                                             \
  } while (false)

/** Returns the message of the Error that ``call`` throws, or "no error". */
template <typename Error>
std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void run_plan_tests();
void run_kernel_cache_tests();
void run_kernel_tests();
void run_op_tests();
void run_transform_tests();
void run_stream_tests();
void run_thread_pool_tests();
