// Copyright © 2026 the mlx-topk authors. MIT licence.

// What the parts of the bindings share: how a function takes the place of
// upstream's, with upstream's own signature and docstring where they still
// hold.

#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <list>
#include <string>
#include <tuple>
#include <utility>

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

  explicit ScopeContext(Arguments... arguments) : arguments(arguments...) {}
  ScopeContext(const ScopeContext&) = delete;

  static nb::object enter(nb::object self) {
    auto& context = nb::cast<ScopeContext&>(self);
    std::apply(
        [&](auto... a) { context.scopes.emplace_back(a...); },
        context.arguments);
    return self;
  }

  static void exit(ScopeContext& self, nb::args) {
    self.scopes.pop_back();
  }
};

void init_index_gradient(nb::module_& core);
void init_selection(nb::module_& core, nb::module_& m);

} // namespace topk_bindings
