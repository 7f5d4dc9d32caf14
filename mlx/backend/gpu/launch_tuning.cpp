// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/gpu/launch_tuning.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <stdexcept>

#include "mlx/environment.h"

namespace mlx::core::gpu {

namespace {

// The candidates of all kernels have to fit into threadgroup memory.
constexpr int64_t greatest_selected_k = 2048;

int64_t* field_of(LaunchTuning& tuning, const std::string& name) {
  const std::map<std::string, int64_t*> fields{
      {"register_size", &tuning.register_size},
      {"register_k", &tuning.register_k},
      {"bound_k", &tuning.bound_k},
      {"resident_size", &tuning.resident_size},
      {"segment_size", &tuning.segment_size},
      {"selected_k", &tuning.selected_k},
      {"partition_size", &tuning.partition_size}};
  auto field = fields.find(name);
  return field == fields.end() ? nullptr : field->second;
}

std::optional<TopKKernel> kernel_named(const std::string& name) {
  const std::map<std::string, TopKKernel> kernels{
      {"in_registers", TopKKernel::in_registers},
      {"bound", TopKKernel::bound},
      {"bound_split", TopKKernel::bound_split},
      {"resident", TopKKernel::resident},
      {"split", TopKKernel::split}};
  auto kernel = kernels.find(name);
  return kernel == kernels.end() ? std::nullopt : std::optional(kernel->second);
}

/** Applies "name=value". Returns false if it makes no sense. */
bool apply_setting(LaunchTuning& tuning, const std::string& setting) {
  auto equals = setting.find('=');
  if (equals == std::string::npos) {
    return false;
  }
  auto name = setting.substr(0, equals);
  auto value = setting.substr(equals + 1);
  if (name == "only") {
    tuning.only = kernel_named(value);
    return tuning.only.has_value();
  }
  auto field = field_of(tuning, name);
  char* end = nullptr;
  auto number = std::strtoll(value.c_str(), &end, 10);
  if (!field || value.empty() || *end != 0 || number < 0) {
    return false;
  }
  *field = number;
  return true;
}

struct ProcessTuning {
  std::mutex mutex;
  std::optional<LaunchTuning> set;

  static ProcessTuning& get() {
    static ProcessTuning tuning;
    return tuning;
  }
};

const LaunchTuning& environment_tuning() {
  static const LaunchTuning tuning = [] {
    auto variable = read_variable(Setting::gpu_tuning);
    return variable ? parse_tuning(variable->value, variable->name)
                    : LaunchTuning{};
  }();
  return tuning;
}

} // namespace

LaunchTuning parse_tuning(
    const std::string& text,
    const std::string& variable) {
  LaunchTuning result;
  if (text == "0" || text == "1" || text.empty()) {
    result.enabled = text != "0";
    return result;
  }
  for (size_t start = 0; start <= text.size();) {
    auto setting = text.substr(start, text.find(',', start) - start);
    start += setting.size() + 1;
    if (!apply_setting(result, setting)) {
      throw std::invalid_argument(
          "[topk] " + variable +
          " must be 0, 1 or a list of name=number with the names "
          "register_size, register_k, bound_k, resident_size, segment_size, "
          "selected_k, partition_size, or only=KERNEL with in_registers, "
          "bound, bound_split, resident or split, got '" +
          text + "'.");
    }
  }
  result.selected_k = std::min(result.selected_k, greatest_selected_k);
  result.bound_k = std::min(result.bound_k, greatest_selected_k);
  result.resident_size = std::max<int64_t>(result.resident_size, 1);
  result.segment_size = std::max<int64_t>(result.segment_size, 1);
  return result;
}

LaunchTuning launch_tuning() {
  auto& tuning = ProcessTuning::get();
  std::lock_guard lock(tuning.mutex);
  return tuning.set.value_or(environment_tuning());
}

void set_launch_tuning(const std::optional<LaunchTuning>& tuning) {
  auto& process = ProcessTuning::get();
  std::lock_guard lock(process.mutex);
  process.set = tuning;
}

void set_launch_tuning(const std::string& text) {
  if (text.empty()) {
    return set_launch_tuning(std::nullopt);
  }
  set_launch_tuning(std::optional(parse_tuning(text, "the tuning")));
}

} // namespace mlx::core::gpu
