// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs all C++ tests, without Python. tests/sanitize.sh runs this program too.
// The function run_NAME_tests is in NAME_tests.cpp.

#include <cstdio>
#include <cstdlib>

#include "mlx/mlx.h"
#include "tests/cpp/check.h"

int main() {
  mlx::core::set_default_device(mlx::core::Device::cpu);
  run_plan_tests();
  run_kernel_cache_tests();
  run_kernel_tests();
  run_op_tests();
  run_transform_tests();
  run_stream_tests();
  run_thread_pool_tests();
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
