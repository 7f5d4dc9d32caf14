// Copyright © 2026 the mlx-topk authors. MIT licence.

// The index gradient mode in Python: a default for the process, and a context
// manager that sets the mode of a thread.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

#include "mlx/index_gradient.h"
#include "python/src/scope_context.h"
#include "python/src/topk_bindings.h"

namespace mx = mlx::core;
namespace nb = nanobind;
using namespace nb::literals;
using namespace topk_bindings;

namespace {

using IndexGradientContext =
    ScopeContext<mx::IndexGradientScope, mx::IndexGradient>;

void init_default(nb::module_& m) {
  // Makes the import fail if the environment variable does not name a mode.
  if (auto mode = initial_index_gradient()) {
    mx::set_default_index_gradient(mx::to_index_gradient(*mode));
  }

  define(
      m,
      "default_index_gradient",
      []() { return mx::to_string(mx::default_index_gradient()); },
      nb::sig(
          "def default_index_gradient() -> Literal['stop', 'zero', 'error']"),
      R"pbdoc(
        The index gradient mode that is the default in this process.

        Until the mode is set, it is the value that the environment variable
        ``MLX_INDEX_GRADIENT`` had when ``mlx.core`` was imported, or ``"stop"``.

        Returns:
            str: ``"stop"``, ``"zero"`` or ``"error"``.
      )pbdoc");

  define(
      m,
      "set_default_index_gradient",
      [](const std::string& mode) {
        mx::set_default_index_gradient(mx::to_index_gradient(mode));
      },
      "mode"_a,
      nb::sig(
          "def set_default_index_gradient(mode: Literal['stop', 'zero', 'error']) -> None"),
      R"pbdoc(
        Set the index gradient mode that is the default in this process.

        Affects every thread that is not inside :func:`index_gradient`.

        Args:
            mode (str): ``"stop"``, ``"zero"`` or ``"error"``, see
                :class:`index_gradient`.

        Raises:
            ValueError: If ``mode`` is not one of the three.
      )pbdoc");
}

void init_context(nb::module_& m) {
  nb::class_<IndexGradientContext>(
      m,
      "index_gradient",
      R"pbdoc(
        A context manager that sets how transforms treat the indices that ops
        such as :func:`argsort` return.

)pbdoc" INDEX_GRADIENT_READERS R"pbdoc(
        * ``"stop"``, the default: indices are constants to every transform.
        * ``"zero"``: the op stays on the tape and its gradient is zero. Gathers
          still refuse to differentiate through an index.
        * ``"error"``: differentiating through the indices is a ``ValueError``.

        Args:
            mode (str): ``"stop"``, ``"zero"`` or ``"error"``.

        Raises:
            ValueError: If ``mode`` is not one of the three.
      )pbdoc")
      .def(
          "__init__",
          [](IndexGradientContext* self, const std::string& mode) {
            new (self) IndexGradientContext(
                mx::to_index_gradient(mode), "index_gradient");
          },
          "mode"_a,
          nb::sig(
              "def __init__(self, mode: Literal['stop', 'zero', 'error']) -> None"))
      .def_prop_ro(
          "mode",
          [](const IndexGradientContext& self) {
            return mx::to_string(std::get<0>(self.arguments));
          },
          nb::sig("def mode(self) -> Literal['stop', 'zero', 'error']"))
      .def(
          "__enter__",
          &IndexGradientContext::enter,
          nb::sig("def __enter__(self) -> index_gradient"))
      .def(
          "__exit__",
          &IndexGradientContext::exit,
          nb::sig("def __exit__(self, *exception: object) -> None"));
}

} // namespace

void init_index_gradient(nb::module_& m) {
  init_default(m);
  init_context(m);
}
