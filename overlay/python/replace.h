// Copyright © 2026 the mlx-topk authors. MIT licence.

// How a function takes the place of the one that mlx.core has.

#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <utility>

namespace topk_bindings {

namespace nb = nanobind;

/** The signature and the docstring of a function that ours replaces. */
struct Original {
  std::string signature;
  std::string doc;
};

Original original(nb::handle scope, const char* name);

/** Defines ``name`` in ``scope`` instead of what is there. */
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

/** As replace, with the stock function's signature and docstring. */
template <typename Function, typename... Arguments>
void replace_like(
    nb::handle scope,
    const char* name,
    const char* note,
    Function&& function,
    const Arguments&... arguments) {
  auto stock = original(scope, name);
  stock.doc += note;
  replace(
      scope,
      name,
      std::forward<Function>(function),
      arguments...,
      nb::kw_only(),
      nb::arg("stream") = nb::none(),
      nb::sig(stock.signature.c_str()),
      stock.doc.c_str());
}

/** What a docstring says about an op that returns nothing but indices. */
inline constexpr const char* index_note = R"(
        The indices have no gradient: see :class:`index_gradient` for what a
        transform makes of them.
      )";

} // namespace topk_bindings

void init_sort(nanobind::module_& core);
void init_arg_reduce(nanobind::module_& core);
void init_threads(nanobind::module_& core);
/** Adds what mlx/_overlay and mlx.selftest need to ``m``. */
void init_transforms(nanobind::module_& m);
