// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/portable_graph.h"

#include <vector>

namespace mlx::core {

namespace {

std::vector<PortableShapes>& scopes() {
  static thread_local std::vector<PortableShapes> scopes_;
  return scopes_;
}

} // namespace

PortableGraphScope::PortableGraphScope(
    PortableShapes shapes /* = PortableShapes::fixed */) {
  scopes().push_back(shapes);
}

PortableGraphScope::~PortableGraphScope() {
  scopes().pop_back();
}

bool in_portable_graph() {
  return !scopes().empty();
}

std::optional<PortableShapes> portable_shapes() {
  if (scopes().empty()) {
    return {};
  }
  return scopes().back();
}

} // namespace mlx::core
