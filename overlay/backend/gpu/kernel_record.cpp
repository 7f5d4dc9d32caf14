// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/backend/gpu/kernel_record.h"

#include <exception>
#include <iostream>
#include <map>
#include <mutex>

namespace mlx::core::gpu {

namespace {

struct Record {
  std::mutex mutex;
  std::map<std::string, std::string> broken;
  uint64_t launches{0};

  static Record& of_process() {
    static Record record;
    return record;
  }
};

void report(const Launch& launch, const std::string& reason) {
  std::cerr << "[topk] A GPU kernel cannot be used here, so MLX sorts instead. "
               "Please report this, with what `python -m mlx.selftest` prints. "
            << launch.kernel << ": " << reason << std::endl;
}

} // namespace

bool prepare(
    const LaunchPlan& plan,
    const std::function<void(const Launch&)>& make_ready) {
  auto& record = Record::of_process();
  std::lock_guard lock(record.mutex);
  for (auto& launch : plan.launches) {
    if (record.broken.count(launch.kernel) > 0) {
      return false;
    }
    try {
      make_ready(launch);
    } catch (const std::exception& error) {
      if (record.broken.empty()) {
        report(launch, error.what());
      }
      record.broken[launch.kernel] = error.what();
      return false;
    }
  }
  record.launches += plan.launches.size();
  return true;
}

KernelReport kernel_report() {
  auto& record = Record::of_process();
  std::lock_guard lock(record.mutex);
  return {record.launches, {record.broken.begin(), record.broken.end()}};
}

void forget_broken_kernels() {
  auto& record = Record::of_process();
  std::lock_guard lock(record.mutex);
  record.broken.clear();
}

} // namespace mlx::core::gpu
