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
enum Entry { entry_context, entry_mode, entry_outer };

PyObject* open_contexts = nullptr;

nb::object innermost() {
  PyObject* value = nullptr;
  if (PyContextVar_Get(open_contexts, Py_None, &value) != 0) {
    throw nb::python_error();
  }
  return nb::steal(value);
}

nb::handle part(nb::handle entry, Entry which) {
  return PyTuple_GET_ITEM(entry.ptr(), which);
}

void set_innermost(nb::handle value) {
  auto token = PyContextVar_Set(open_contexts, value.ptr());
  if (!token) {
    throw nb::python_error();
  }
  Py_DECREF(token);
}

// Threads of C++ alone have no Python contexts, so the mode is not read there.
std::optional<mx::IndexGradient> mode_of_python() {
  if (!PyGILState_Check()) {
    return {};
  }
  nb::object entry = innermost();
  if (entry.is_none()) {
    return {};
  }
  return mx::IndexGradient(nb::cast<int>(part(entry, entry_mode)));
}

nb::object enter(nb::object self) {
  int mode = int(nb::inst_ptr<IndexGradientContext>(self)->mode);
  nb::object number = nb::int_(mode), outer = innermost();
  nb::object entry =
      nb::steal(PyTuple_Pack(3, self.ptr(), number.ptr(), outer.ptr()));
  set_innermost(entry);
  return self;
}

void exit(nb::handle self, nb::args) {
  auto entry = innermost();
  if (!entry.is_none() && part(entry, entry_context).is(self)) {
    set_innermost(part(entry, entry_outer));
    return;
  }
  for (nb::handle e = entry; !e.is_none(); e = part(e, entry_outer)) {
    if (part(e, entry_context).is(self)) {
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
  // Throws, and so makes the import fail, if the variable's value is no mode.
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
        What a gradient through an index means in this process.

        Starts as what the environment variable ``MLX_INDEX_GRADIENT`` said
        when ``mlx.core`` was imported, or ``"stop"``.

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
        Set what a gradient through an index means in this process.

        Affects every thread that is not inside :func:`index_gradient`.

        Args:
            mode (str): ``"stop"``, ``"zero"`` or ``"error"``, see
                :class:`index_gradient`.

        Raises:
            ValueError: If ``mode`` is not one of the three.
      )pbdoc");
}

void init_context(nb::module_& m) {
  // Kept as long as the process lives.
  open_contexts = PyContextVar_New("mlx.core.index_gradient", nullptr);
  if (!open_contexts) {
    throw nb::python_error();
  }
  mx::set_index_gradient_source(&mode_of_python);
  nb::class_<IndexGradientContext>(
      m,
      "index_gradient",
      R"pbdoc(
        A context manager that decides what a gradient through an index means.

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
