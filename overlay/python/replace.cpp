// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "overlay/python/replace.h"

#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "python/src/topk_bindings.h"

namespace topk_bindings {

namespace {

nb::handle result_type;

// tuple.__new__. It makes a named tuple too, in less time than the class, whose
// own __new__ is a function of Python.
nb::handle new_tuple;

} // namespace

void set_result_type(nb::handle type) {
  result_type = type.inc_ref();
  new_tuple = nb::getattr((PyObject*)&PyTuple_Type, "__new__").release();
}

nb::object to_python(mlx::core::TopKResult result) {
  return new_tuple(
      result_type,
      nb::make_tuple(std::move(result.values), std::move(result.indices)));
}

Original original(nb::handle scope, const char* name) {
  // __nb_signature__ has a tuple (signature, docstring, defaults) for each
  // overload. The functions that are replaced have one overload.
  nb::object found = nb::getattr(scope, name).attr("__nb_signature__")[0];
  Original result;
  result.signature = nb::cast<std::string>(found[0]);
  if (!found[1].is_none()) {
    result.doc = nb::cast<std::string>(found[1]);
  }
  result.doc.erase(result.doc.find_last_not_of(" \n") + 1);
  result.doc += "\n";
  return result;
}

void replace_text(
    std::string& text,
    const std::string& what,
    const std::string& by) {
  auto at = text.find(what);
  if (at == std::string::npos) {
    throw std::runtime_error(
        "This version of MLX has another signature or docstring: there is no \"" +
        what + "\" in:\n" + text);
  }
  text.replace(at, what.size(), by);
}

void extend(Original& stock, const Additions& added) {
  const std::string stream = "stream: ";
  replace_text(stock.signature, stream, added.keywords + (", " + stream));
  const std::string returns = "\n        Returns:";
  replace_text(stock.doc, returns, added.arguments + returns);
  stock.doc += added.note;
}

} // namespace topk_bindings
