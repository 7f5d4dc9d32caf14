// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "tests/hooks/hooks.h"

#include <atomic>
#include <stdexcept>

#include "overlay/backend/cpu/route/kernels.h"

namespace hooks {

namespace {

namespace cpu = mx::cpu;

constexpr int no_algorithm = -1;
std::atomic<int> forced_algorithm{no_algorithm};

std::atomic<const cpu::SelectionKernels*>& chosen_kernels() {
  static std::atomic chosen = cpu::available_selection_kernels().front();
  return chosen;
}

void topk(const cpu::TopKJob& job, int64_t first, int64_t last) {
  if (emulates_metal()) {
    // Several calls may share the rows of a job. The call that has the first
    // row does all rows, and the other calls do nothing.
    if (first == 0 && !emulate(job)) {
      library_kernels().topk(job, 0, job.plan->rows.rows);
    }
    return;
  }
  auto plan = *job.plan;
  auto algorithm = forced_algorithm.load();
  auto order = job.sorted ? mx::TopKOrder::sorted : mx::TopKOrder::unsorted;
  if (algorithm != no_algorithm) {
    auto forced = static_cast<mx::TopKAlgorithm>(algorithm);
    if (mx::can_use(forced, plan.rows.axis_size, plan.k, order)) {
      plan.algorithm = forced;
    }
  }
  auto changed = job;
  changed.plan = &plan;
  library_kernels().topk(changed, first, last);
}

void sort(const cpu::SortJob& job, int64_t first, int64_t last) {
  // The Metal kernels partition in ascending order only.
  bool descending = job.mode == mx::TopKMode::largest;
  if (!job.kth || descending || !emulates_metal()) {
    library_kernels().sort(job, first, last);
  } else if (first == 0 && !emulate(job)) {
    library_kernels().sort(job, 0, job.rows->rows);
  }
}

void arg_reduce(const cpu::ArgReduceJob& job, int64_t first, int64_t last) {
  library_kernels().arg_reduce(job, first, last);
}

void order_statistics(
    const cpu::OrderStatisticsJob& job,
    int64_t first,
    int64_t last) {
  library_kernels().order_statistics(job, first, last);
}

const cpu::SelectionKernels hooked_kernels{
    "hooked",
    topk,
    sort,
    arg_reduce,
    order_statistics};

// Replaces the library's table of kernels as soon as this module is loaded.
[[maybe_unused]] const bool installed = [] {
  cpu::current_selection_kernels() = &hooked_kernels;
  return true;
}();

} // namespace

const cpu::SelectionKernels& library_kernels() {
  return *chosen_kernels();
}

void force_algorithm(std::optional<mx::TopKAlgorithm> algorithm) {
  forced_algorithm = algorithm ? static_cast<int>(*algorithm) : no_algorithm;
}

void use_kernels(const std::string& name) {
  for (auto kernels : cpu::available_selection_kernels()) {
    if (kernels->name == name) {
      chosen_kernels() = kernels;
      cpu::use_route_kernels(name);
      return;
    }
  }
  throw std::invalid_argument(
      "[use_kernels] This machine has no kernels named " + name + ".");
}

std::vector<std::string> kernels() {
  std::vector<std::string> names;
  for (auto kernels : cpu::available_selection_kernels()) {
    names.push_back(kernels->name);
  }
  return names;
}

} // namespace hooks
