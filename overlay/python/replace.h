// Copyright © 2026 the mlx-topk authors. MIT licence.

// Replaces functions of mlx.core by functions of this library.

#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <utility>

namespace topk_bindings {

namespace nb = nanobind;

/** The signature and the docstring of a stock function that is replaced. */
struct Original {
  std::string signature;
  std::string doc;
};

Original original(nb::handle scope, const char* name);

/** Replaces the first ``what`` in ``text``. Throws if there is none. */
void replace_text(
    std::string& text,
    const std::string& what,
    const std::string& by);

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

/**
 * Replaces a function by one that has the stock function's signature and
 * docstring. ``note`` is appended to the docstring.
 */
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

/** What a function has in addition to the stock function that it replaces. */
struct Additions {
  /** The new arguments in a signature, before ``stream``. */
  std::string keywords;
  /** The new arguments in a docstring, in the form of MLX's. */
  std::string arguments;
  std::string note;
};

/**
 * Adds keywords and documentation to a stock signature and docstring. Throws
 * std::runtime_error if it does not find the places for them.
 */
void extend(Original& stock, const Additions& added);

/**
 * Replaces a function by one that has more arguments. ``arguments`` are all of
 * them, in the order of the function's, except for the last, ``stream``.
 */
template <typename Function, typename... Arguments>
void replace_extended(
    nb::handle scope,
    const char* name,
    Original stock,
    const Additions& added,
    Function&& function,
    const Arguments&... arguments) {
  extend(stock, added);
  replace(
      scope,
      name,
      std::forward<Function>(function),
      arguments...,
      nb::arg("stream") = nb::none(),
      nb::sig(stock.signature.c_str()),
      stock.doc.c_str());
}

/** The note in the docstring of an op that returns only indices. */
inline constexpr const char* index_note = R"(
        The indices have no gradient. :class:`index_gradient` says how a
        transform treats them.
      )";

} // namespace topk_bindings

void init_sort(nanobind::module_& core);
void init_arg_reduce(nanobind::module_& core);
void init_quantile(nanobind::module_& core);
void init_threads(nanobind::module_& core);
/** Adds to ``m`` the functions that mlx/_overlay and mlx.selftest call. */
void init_transforms(nanobind::module_& m);
/** Adds to ``m`` the function that mlx.nn.routing.route calls. */
void init_route(nanobind::module_& m);
