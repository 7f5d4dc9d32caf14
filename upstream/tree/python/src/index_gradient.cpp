// Copyright © 2026 the mlx-topk authors. MIT licence.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "mlx/index_gradient.h"
#include "python/src/scope_context.h"

namespace mx = mlx::core;
namespace nb = nanobind;
using namespace nb::literals;

using IndexGradientContext =
    ScopeContext<mx::IndexGradientScope, mx::IndexGradient>;

namespace {

void init_default(nb::module_& m) {
  // Fails here, at import, if the environment variable is wrong.
  mx::default_index_gradient();

  m.def(
      "default_index_gradient",
      []() { return mx::to_string(mx::default_index_gradient()); },
      nb::sig("def default_index_gradient() -> str"),
      R"pbdoc(
        What a gradient through an index means in this process.

        Starts as what the environment variable ``MLX_INDEX_GRADIENT`` said
        when ``mlx.core`` was imported, or ``"stop"``.

        Returns:
            str: ``"stop"``, ``"zero"`` or ``"error"``.
      )pbdoc");
  m.def(
      "set_default_index_gradient",
      [](const std::string& mode) {
        mx::set_default_index_gradient(mx::to_index_gradient(mode));
      },
      "mode"_a,
      nb::sig("def set_default_index_gradient(mode: str) -> None"),
      R"pbdoc(
        Set what a gradient through an index means in this process.

        Affects every thread that is not inside :func:`index_gradient`.

        Args:
            mode (str): See :class:`index_gradient`.
      )pbdoc");
}

} // namespace

void init_index_gradient(nb::module_& m) {
  init_default(m);
  nb::class_<IndexGradientContext>(
      m,
      "index_gradient",
      R"pbdoc(
        A context manager that decides what a gradient through an index means.

        Transforms read the mode when they are called, on the thread that
        calls them, so that a compiled gradient keeps the mode it was traced
        under.

        * ``"stop"``, the default: indices are constants to every transform.
        * ``"zero"``: the op stays on the tape and its gradient is zero. Gathers
          still refuse to differentiate through an index.
        * ``"error"``: differentiating through the indices is a ``ValueError``.

        Args:
            mode (str): ``"stop"``, ``"zero"`` or ``"error"``.
      )pbdoc")
      .def(
          "__init__",
          [](IndexGradientContext* self, const std::string& mode) {
            new (self) IndexGradientContext(mx::to_index_gradient(mode));
          },
          "mode"_a,
          nb::sig("def __init__(self, mode: str) -> None"))
      .def_prop_ro(
          "mode",
          [](const IndexGradientContext& self) {
            return mx::to_string(std::get<0>(self.arguments));
          })
      .def(
          "__enter__",
          &IndexGradientContext::enter,
          nb::sig("def __enter__(self) -> index_gradient"))
      .def(
          "__exit__",
          &IndexGradientContext::exit,
          nb::sig("def __exit__(self, *exception: object) -> None"));
}
