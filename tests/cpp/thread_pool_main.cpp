// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs the tests of the pool of threads alone, without libmlx.

#include <cstdio>
#include <cstdlib>

#include "tests/cpp/check.h"

int main() {
  run_thread_pool_tests();
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
