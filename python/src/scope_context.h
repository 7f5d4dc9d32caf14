// Copyright © 2026 the mlx-topk authors. MIT licence.

// C++ scopes for Python's with statement.

#pragma once

#include <nanobind/nanobind.h>

#include <list>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <vector>

/**
 * A C++ scope as a context manager. Scopes nest, so that one object may be
 * entered again before it is left.
 */
template <typename Scope, typename... Arguments>
struct ScopeContext {
  std::tuple<Arguments...> arguments;
  std::list<Scope> scopes;
  std::vector<std::thread::id> threads;

  explicit ScopeContext(Arguments... arguments) : arguments(arguments...) {}
  ScopeContext(const ScopeContext&) = delete;

  static std::thread::id this_thread() {
    return std::this_thread::get_id();
  }

  static nanobind::object enter(nanobind::object self) {
    auto& context = nanobind::cast<ScopeContext&>(self);
    context.threads.push_back(this_thread());
    std::apply(
        [&](auto... a) { context.scopes.emplace_back(a...); },
        context.arguments);
    return self;
  }

  static void exit(ScopeContext& self, nanobind::args) {
    if (self.scopes.empty() || self.threads.back() != this_thread()) {
      throw std::runtime_error(
          "A context must be left on the thread that entered it, once.");
    }
    self.scopes.pop_back();
    self.threads.pop_back();
  }
};
