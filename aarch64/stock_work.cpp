// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs an op of stock MLX on random float32 rows, between calls of
// count_begin() and count_end(), so that its instructions can be counted.
//
// Usage: stock_work OP N K ROWS

#include <cstdio>
#include <cstdlib>
#include <string>

#include "mlx/mlx.h"

namespace mx = mlx::core;

extern "C" [[gnu::noinline]] void count_begin() {
  asm volatile("");
}

extern "C" [[gnu::noinline]] void count_end() {
  asm volatile("");
}

namespace {

std::vector<mx::array>
work(const std::string& op, const mx::array& rows, int k) {
  if (op == "topk") {
    // What users of stock MLX write to get values and indices.
    auto chosen = mx::slice(
        mx::argpartition(mx::negative(rows), k - 1, 1),
        {0, 0},
        {rows.shape(0), k});
    return {mx::take_along_axis(rows, chosen, 1), chosen};
  }
  if (op == "argpartition") {
    return {mx::argpartition(rows, k, 1)};
  }
  if (op == "sort") {
    return {mx::sort(rows, 1)};
  }
  if (op == "argsort") {
    return {mx::argsort(rows, 1)};
  }
  if (op == "argmax") {
    return {mx::argmax(rows, 1)};
  }
  std::fprintf(stderr, "stock_work: unknown op %s\n", op.c_str());
  std::exit(2);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    return 2;
  }
  mx::set_default_device(mx::Device::cpu);
  mx::Shape shape{std::atoi(argv[4]), std::atoi(argv[2])};
  mx::random::seed(0);
  auto rows = mx::random::normal(shape);
  mx::eval(rows);
  count_begin();
  mx::eval(work(argv[1], rows, std::atoi(argv[3])));
  count_end();
}
