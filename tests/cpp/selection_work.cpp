// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs one kernel on one row inside the function ``counted``, so that valgrind
// can count the instructions of that call alone (tests/test_linear.py). Not
// linked to libmlx, so that it starts quickly.
//
// Usage: selection_work KERNELS WORK ROW N K, where KERNELS is the name of an
// instruction set, WORK an algorithm or an op, and ROW a kind from make_row().

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "mlx/backend/cpu/selection/kernels.h"

using namespace mlx::core;

namespace {

std::vector<float> make_row(const std::string& kind, int n) {
  std::vector<float> row(n);
  std::mt19937 random(n);
  std::normal_distribution<float> normal;
  for (int i = 0; i < n; ++i) {
    auto x = normal(random);
    if (kind == "ascending") {
      x = i;
    } else if (kind == "descending") {
      x = -i;
    } else if (kind == "equal") {
      x = 1;
    } else if (kind == "zeros") {
      x = random() % 10 ? 0 : x;
    } else if (kind == "few") {
      x = random() % 3;
    } else if (kind == "nan") {
      x = random() % 2 ? std::numeric_limits<float>::quiet_NaN() : x;
    } else if (kind == "infinite") {
      x = std::numeric_limits<float>::infinity();
    } else if (kind == "organ-pipe") {
      x = std::min(i, n - i);
    } else if (kind == "periodic") {
      // Few slots of the algorithm ``bounded`` get a large element, so its
      // first bound is low. The large elements grow along the row, so the bound
      // has to be raised again and again.
      x = i % 256 < 16 ? 1000 + i : x;
    } else if (kind != "random") {
      std::exit(2);
    }
    row[i] = x;
  }
  return row;
}

const std::map<std::string, TopKAlgorithm> algorithms{
    {"lanes", TopKAlgorithm::lanes},
    {"short_row", TopKAlgorithm::short_row},
    {"bounded", TopKAlgorithm::bounded},
    {"select", TopKAlgorithm::select}};

} // namespace

template <typename Job>
[[gnu::noinline]] void counted(
    void (*kernel)(const Job&, int64_t, int64_t),
    const Job& job) {
  kernel(job, 0, 1);
}

int main(int argc, char** argv) {
  if (argc != 6) {
    return 2;
  }
  std::string work = argv[2];
  int n = std::atoi(argv[4]);
  int k = std::atoi(argv[5]);
  auto row = make_row(argv[3], n);
  std::vector<float> values(n);
  std::vector<uint32_t> indices(n);
  auto& available = cpu::available_selection_kernels();
  auto found =
      std::find_if(available.begin(), available.end(), [&](auto kernels) {
        return std::string(kernels->name) == argv[1];
      });
  if (found == available.end()) {
    return 2;
  }
  auto& kernels = **found;

  if (algorithms.count(work)) {
    auto order = TopKOrder::unsorted;
    auto plan = plan_topk({1, n}, {n, 1}, 1, k, order);
    plan.algorithm = algorithms.at(work);
    if (!can_use(plan.algorithm, n, k, order)) {
      return 2;
    }
    cpu::TopKJob job{
        &plan,
        TopKMode::largest,
        false,
        1,
        float32,
        row.data(),
        values.data(),
        indices.data()};
    counted(kernels.topk, job);
    return 0;
  }
  std::optional<size_t> kth;
  if (work == "argpartition") {
    kth = k;
  } else if (work != "argsort") {
    return 2;
  }
  auto rows = plan_rows({1, n}, {n, 1}, 1, n);
  cpu::SortJob job{
      &rows,
      kth,
      cpu::SortOutput::indices,
      float32,
      row.data(),
      indices.data()};
  counted(kernels.sort, job);
}
