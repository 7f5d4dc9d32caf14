// Copyright © 2026 the mlx-topk authors. MIT licence.

// The extension mlx._selection. Importing it puts our functions into the
// mlx.core that is already loaded; mlx/_overlay.py decides when.

#include "python/src/bindings.h"

namespace topk_bindings {

Original original(nb::handle scope, const char* name) {
  // One (signature, docstring, defaults) per overload; these have one.
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

} // namespace topk_bindings

NB_MODULE(_selection, m) {
  m.doc() = "Selection and its gradients for mlx.core.";
  auto core = nanobind::module_::import_("mlx.core");
  topk_bindings::init_index_gradient(core);
  topk_bindings::init_selection(core, m);
}
