// Copyright © 2026 the mlx-topk authors. MIT licence.

// What the parts of the bindings share: how a function takes the place of
// upstream's, with upstream's own signature and docstring where they still
// hold.

#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <list>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace topk_bindings {

namespace nb = nanobind;

/** What upstream says of a function that ours replaces. */
struct Original {
  std::string signature;
  std::string doc;
};

Original original(nb::handle scope, const char* name);

/** Defines ``name`` in ``scope`` in place of what is there. */
template <typename Function, typename... Extra>
void replace(
    nb::handle scope,
    const char* name,
    Function&& function,
    const Extra&... extra) {
  if (nb::hasattr(scope, name)) {
    nb::delattr(scope, name);
  }
  nb::cpp_function_def(
      std::forward<Function>(function),
      nb::scope(scope),
      nb::name(name),
      extra...);
}

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

  static nb::object enter(nb::object self) {
    auto& context = nb::cast<ScopeContext&>(self);
    context.threads.push_back(this_thread());
    std::apply(
        [&](auto... a) { context.scopes.emplace_back(a...); },
        context.arguments);
    return self;
  }

  static void exit(ScopeContext& self, nb::args) {
    if (self.scopes.empty() || self.threads.back() != this_thread()) {
      throw std::runtime_error(
          "A context must be left on the thread that entered it, once.");
    }
    self.scopes.pop_back();
    self.threads.pop_back();
  }
};

void init_index_gradient(nb::module_& core);
void init_selection(nb::module_& core, nb::module_& m);

} // namespace topk_bindings
