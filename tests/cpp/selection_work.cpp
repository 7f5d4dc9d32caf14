// Copyright © 2026 the mlx-topk authors. MIT licence.

// Runs one kernel on equal rows inside the function ``counted``, so that
// valgrind can count the instructions of that call alone (tests/test_linear.py
// and benchmarks/instruction_counts.py). Not linked to libmlx, so that it
// starts quickly.
//
// Usage: selection_work KERNELS WORK ROW N K [ROWS [TYPE]], where KERNELS is
// the name of an instruction set, WORK an algorithm or an op, such as sort or
// sort-descending, and ROW a kind from make_row(). Without TYPE, elements are
// float32. With the only argument
// --about, prints the version of the compiler, then the instruction sets.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "mlx/backend/cpu/selection/kernels.h"

using namespace mlx::core;

namespace {

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "selection_work: %s\n", why.c_str());
  std::exit(2);
}

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
      fail("unknown kind of row " + kind);
    }
    row[i] = x;
  }
  return row;
}

// Returns the bytes of ``rows`` rows of n elements. Random rows differ.
template <typename T>
std::vector<char> make_rows(const std::string& kind, int n, int rows) {
  auto elements = make_row(kind, kind == "random" ? n * rows : n);
  std::vector<char> bytes(sizeof(T) * n * rows);
  for (size_t i = 0; i < size_t(n) * rows; ++i) {
    auto x = elements[i % elements.size()];
    // Spreads elements over the integers.
    T element = std::numeric_limits<T>::is_integer ? T(int64_t(x * 40)) : T(x);
    std::memcpy(bytes.data() + i * sizeof(T), &element, sizeof(T));
  }
  return bytes;
}

struct Type {
  Dtype dtype;
  std::vector<char> (*make_rows)(const std::string&, int, int);
};

const std::map<std::string, Type> types{
    {"float32", {float32, make_rows<float>}},
    {"float64", {float64, make_rows<double>}},
    {"bfloat16", {bfloat16, make_rows<bfloat16_t>}},
    {"int32", {int32, make_rows<int32_t>}},
    {"int8", {int8, make_rows<int8_t>}}};

const std::map<std::string, TopKAlgorithm> algorithms{
    {"lanes", TopKAlgorithm::lanes},
    {"short_row", TopKAlgorithm::short_row},
    {"bounded", TopKAlgorithm::bounded},
    {"select", TopKAlgorithm::select}};

const cpu::SelectionKernels& find_kernels(const std::string& name) {
  for (auto kernels : cpu::available_selection_kernels()) {
    if (kernels->name == name) {
      return *kernels;
    }
  }
  fail("this machine has no kernels called " + name);
}

} // namespace

// A plugin of the emulator counts between the calls of these two functions
// (aarch64/count.c).
extern "C" [[gnu::noinline]] void count_begin() {
  asm volatile("");
}

extern "C" [[gnu::noinline]] void count_end() {
  asm volatile("");
}

template <typename Job>
[[gnu::noinline]] void counted(
    void (*kernel)(const Job&, int64_t, int64_t),
    const Job& job,
    int rows) {
  count_begin();
  kernel(job, 0, rows);
  count_end();
}

namespace {

// The arguments of one run, and memory for its results.
struct Run {
  const cpu::SelectionKernels& kernels;
  std::string work;
  int n;
  int k;
  int rows;
  Dtype dtype;
  std::vector<char> in;
  std::vector<uint64_t> values;
  std::vector<uint32_t> indices;

  Shape shape() const {
    return {rows, n};
  }

  Strides strides() const {
    return {n, 1};
  }
};

void run_topk(Run& run) {
  auto order = TopKOrder::unsorted;
  auto plan = plan_topk(run.shape(), run.strides(), 1, run.k, order);
  if (run.work != "topk") {
    plan.algorithm = algorithms.at(run.work);
  }
  if (!can_use(plan.algorithm, run.n, run.k, order)) {
    fail(run.work + " does not support this n and k");
  }
  cpu::TopKJob job{
      &plan,
      TopKMode::largest,
      false,
      1,
      run.dtype,
      run.in.data(),
      run.values.data(),
      run.indices.data()};
  counted(run.kernels.topk, job, run.rows);
}

void run_argmax(Run& run) {
  auto plan = plan_rows(run.shape(), run.strides(), 1, 1);
  cpu::ArgReduceJob job{
      &plan, TopKMode::largest, run.dtype, run.in.data(), run.indices.data()};
  counted(run.kernels.arg_reduce, job, run.rows);
}

void run_sort(Run& run) {
  std::optional<size_t> kth;
  auto op = run.work.substr(0, run.work.find('-'));
  bool descending = run.work == op + "-descending";
  if (run.work != op && !descending) {
    fail("unknown work " + run.work);
  }
  if (op == "argpartition") {
    kth = run.k;
  } else if (op != "argsort" && op != "sort") {
    fail("unknown work " + run.work);
  }
  bool values = op == "sort";
  auto plan = plan_rows(run.shape(), run.strides(), 1, run.n);
  cpu::SortJob job{
      &plan,
      descending ? TopKMode::largest : TopKMode::smallest,
      1,
      kth,
      values ? cpu::SortOutput::values : cpu::SortOutput::indices,
      run.dtype,
      run.in.data(),
      values ? static_cast<void*>(run.values.data()) : run.indices.data()};
  counted(run.kernels.sort, job, run.rows);
}

} // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--about") {
    std::puts(__VERSION__);
    for (auto kernels : cpu::available_selection_kernels()) {
      std::puts(kernels->name);
    }
    return 0;
  }
  if (argc < 6 || argc > 8) {
    fail("expected KERNELS WORK ROW N K [ROWS [TYPE]]");
  }
  int n = std::atoi(argv[4]);
  int rows = argc > 6 ? std::atoi(argv[6]) : 1;
  auto size = size_t(n) * rows;
  auto& type = types.at(argc > 7 ? argv[7] : "float32");
  Run run{
      find_kernels(argv[1]),
      argv[2],
      n,
      std::atoi(argv[5]),
      rows,
      type.dtype,
      type.make_rows(argv[3], n, rows),
      std::vector<uint64_t>(size),
      std::vector<uint32_t>(size)};
  if (run.work == "topk" || algorithms.count(run.work)) {
    run_topk(run);
  } else if (run.work == "argmax") {
    run_argmax(run);
  } else {
    run_sort(run);
  }
}
