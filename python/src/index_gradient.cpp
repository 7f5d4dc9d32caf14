// Copyright © 2026 the mlx-topk authors. MIT licence.

// The index gradient mode in Python: a default for the process, and a context
// manager. A context variable has the open contexts, so that each thread and
// each asyncio task has its own.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "mlx/index_gradient.h"
#include "python/src/topk_bindings.h"

namespace mx = mlx::core;
namespace nb = nanobind;
using namespace nb::literals;
using namespace topk_bindings;

namespace {

struct IndexGradientContext {
  mx::IndexGradient mode;
};

// The value of the context variable: None, or a tuple of the innermost context
// that is open, its mode, and the value that the variable had before.
constexpr int entry_context = 0;
constexpr int entry_mode = 1;
constexpr int entry_outer = 2;

// The methods get and set of the context variable. Python's C functions for
// context variables are not among those that nanobind lets a module link to on
// macOS.
nb::handle get_entry;
nb::handle set_entry;

// Threads of C++ alone have no Python contexts, so the mode is not read there.
std::optional<mx::IndexGradient> mode_of_python() {
  if (!PyGILState_Check()) {
    return {};
  }
  nb::object entry = get_entry();
  if (entry.is_none()) {
    return {};
  }
  return mx::IndexGradient(nb::cast<int>(entry[entry_mode]));
}

nb::object enter(nb::object self) {
  int mode = int(nb::cast<IndexGradientContext&>(self).mode);
  set_entry(nb::make_tuple(self, mode, get_entry()));
  return self;
}

void exit(nb::object self, nb::args) {
  nb::object innermost = get_entry();
  if (!innermost.is_none() && nb::object(innermost[entry_context]).is(self)) {
    set_entry(innermost[entry_outer]);
    return;
  }
  for (nb::object entry = innermost; !entry.is_none();
       entry = entry[entry_outer]) {
    if (nb::object(entry[entry_context]).is(self)) {
      throw std::runtime_error(
          "index_gradient was exited before a context that was entered inside "
          "it. Exit contexts in the reverse order.");
    }
  }
  throw std::runtime_error(
      "index_gradient was exited on another thread or in another asyncio task "
      "than it was entered, or more often than it was entered.");
}

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
  auto variable = nb::module_::import_("contextvars")
                      .attr("ContextVar")(
                          "mlx.core.index_gradient", "default"_a = nb::none());
  // Kept as long as the process lives.
  get_entry = nb::object(variable.attr("get")).release();
  set_entry = nb::object(variable.attr("set")).release();
  mx::set_index_gradient_source(&mode_of_python);
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

        Each thread and each asyncio task has its own contexts, since they are
        kept in a context variable. A new task begins with those of the code
        that made it. A generator shares the contexts of its caller, so a
        context that it leaves open at a ``yield`` is in force there too.

        Args:
            mode (str): ``"stop"``, ``"zero"`` or ``"error"``.

        Raises:
            ValueError: If ``mode`` is not one of the three.
            RuntimeError: On exit, if the context is not the innermost one that
                this thread or task has entered.
      )pbdoc")
      .def(
          "__init__",
          [](IndexGradientContext* self, const std::string& mode) {
            new (self) IndexGradientContext{mx::to_index_gradient(mode)};
          },
          "mode"_a,
          nb::sig(
              "def __init__(self, mode: Literal['stop', 'zero', 'error']) -> None"))
      .def_prop_ro(
          "mode",
          [](const IndexGradientContext& self) {
            return mx::to_string(self.mode);
          },
          nb::sig("def mode(self) -> Literal['stop', 'zero', 'error']"))
      .def(
          "__enter__", &enter, nb::sig("def __enter__(self) -> index_gradient"))
      .def(
          "__exit__",
          &exit,
          nb::sig("def __exit__(self, *exception: object) -> None"));
}

} // namespace

void init_index_gradient(nb::module_& m) {
  init_default(m);
  init_context(m);
}
