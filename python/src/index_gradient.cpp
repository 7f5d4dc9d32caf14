// Copyright © 2026 the mlx-topk authors. MIT licence.

// The option in Python: a process default, and a context manager per thread.

#include "mlx/index_gradient.h"

#include "python/src/bindings.h"

namespace topk_bindings {

namespace mx = mlx::core;
using namespace nb::literals;

using IndexGradientContext =
    ScopeContext<mx::IndexGradientScope, mx::IndexGradient>;

void init_index_gradient(nb::module_& core) {
  // Fails here, at import, if the environment variable is wrong.
  mx::default_index_gradient();

  replace(
      core,
      "default_index_gradient",
      []() { return mx::to_string(mx::default_index_gradient()); },
      nb::sig(
          "def default_index_gradient() -> Literal['stop', 'zero', 'error']"),
      R"pbdoc(
        What a gradient through an index means in this process.

        Starts as what the environment variable ``MLX_INDEX_GRADIENT`` said
        when ``mlx.core`` was imported, or ``"stop"``.

        Returns:
            str: ``"stop"``, ``"zero"`` or ``"error"``.
      )pbdoc");

  replace(
      core,
      "set_default_index_gradient",
      [](const std::string& mode) {
        mx::set_default_index_gradient(mx::to_index_gradient(mode));
      },
      "mode"_a,
      nb::sig(
          "def set_default_index_gradient(mode: Literal['stop', 'zero', 'error']) -> None"),
      R"pbdoc(
        Set what a gradient through an index means in this process.

        Affects every thread that is not inside :func:`index_gradient`.

        Args:
            mode (str): See :class:`index_gradient`.

        Raises:
            ValueError: If ``mode`` is not one of the three.
      )pbdoc");

  nb::class_<IndexGradientContext>(
      core,
      "index_gradient",
      R"pbdoc(
        A context manager that decides what a gradient through an index means.

        Ops that return indices (:func:`topk`, :func:`argsort`,
        :func:`argpartition`, :func:`argmax`, ...) read the mode when they are
        called, so that a compiled function keeps the mode it was traced under.
        The mode is in force on the thread that entered the context.

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
            new (self) IndexGradientContext(mx::to_index_gradient(mode));
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

} // namespace topk_bindings
