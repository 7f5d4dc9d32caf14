// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/index_gradient.h"

#include <atomic>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace mlx::core {

namespace {

std::atomic<IndexGradient>& process_mode() {
  static std::atomic<IndexGradient> mode{IndexGradient::stop};
  return mode;
}

std::atomic<IndexGradientSource>& mode_source() {
  static std::atomic<IndexGradientSource> source{nullptr};
  return source;
}

std::vector<IndexGradient>& scopes() {
  static thread_local std::vector<IndexGradient> scopes_;
  return scopes_;
}

} // namespace

IndexGradient to_index_gradient(std::string_view name) {
  for (auto mode :
       {IndexGradient::stop, IndexGradient::zero, IndexGradient::error}) {
    if (name == to_string(mode)) {
      return mode;
    }
  }
  std::ostringstream msg;
  msg << "[index_gradient] mode must be 'stop', 'zero' or 'error', got '"
      << name << "'.";
  throw std::invalid_argument(msg.str());
}

const char* to_string(IndexGradient mode) {
  switch (mode) {
    case IndexGradient::stop:
      return "stop";
    case IndexGradient::zero:
      return "zero";
    default:
      return "error";
  }
}

IndexGradient default_index_gradient() {
  return process_mode().load(std::memory_order_relaxed);
}

void set_default_index_gradient(IndexGradient mode) {
  process_mode().store(mode, std::memory_order_relaxed);
}

IndexGradient index_gradient() {
  if (!scopes().empty()) {
    return scopes().back();
  }
  auto source = mode_source().load(std::memory_order_acquire);
  auto mode = source ? source() : std::nullopt;
  return mode ? *mode : default_index_gradient();
}

void set_index_gradient_source(IndexGradientSource source) {
  mode_source().store(source, std::memory_order_release);
}

IndexGradientScope::IndexGradientScope(IndexGradient mode) {
  scopes().push_back(mode);
}

IndexGradientScope::~IndexGradientScope() {
  scopes().pop_back();
}

std::string index_gradient_error(const std::string& op) {
  std::ostringstream msg;
  msg << "[" << op << "] Indices have no gradient, and the index gradient mode "
      << "'error' forbids differentiating through them. Put mx.stop_gradient "
      << "round the indices, or use mx.index_gradient('stop').";
  return msg.str();
}

} // namespace mlx::core
