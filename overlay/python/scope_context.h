// Copyright © 2026 the mlx-topk authors. MIT licence.

// Makes C++ scopes usable in Python's with statement.

#pragma once

#include <nanobind/nanobind.h>

#include <list>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

/**
 * Makes a context manager of a C++ scope. Entering constructs a scope, and
 * exiting destroys the last one. So one object can be entered again before it
 * is exited.
 */
template <typename Scope, typename... Arguments>
struct ScopeContext {
  std::tuple<Arguments...> arguments;
  // What Python calls the context manager, for errors.
  const char* name;
  std::list<Scope> scopes;
  std::vector<std::thread::id> threads;

  ScopeContext(Arguments... arguments, const char* name)
      : arguments(arguments...), name(name) {}
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
          std::string(self.name) +
          " was exited on another thread, or more often than it was entered.");
    }
    self.scopes.pop_back();
    self.threads.pop_back();
  }
};
