// Copyright © 2026 the mlx-topk authors. MIT licence.

// The extension module mlx._selection. Importing it replaces functions of
// mlx.core. mlx/_overlay imports it, after it has loaded mlx.core.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

#include "overlay/python/replace.h"
#include "python/src/topk_bindings.h"

namespace {

// Throws if mlx.core is not the one that mlx._overlay has loaded. nanobind
// makes an ImportError of it that has the same text. It would replace the text
// of an error that Python code raises.
void require_own_core() {
  auto load = nanobind::module_::import_("mlx._overlay.load");
  nanobind::object problem = load.attr("why_not_selection")();
  if (!problem.is_none()) {
    throw nanobind::import_error(nanobind::cast<std::string>(problem).c_str());
  }
}

} // namespace

NB_MODULE(_selection, m) {
  require_own_core();
  m.doc() = "Selection and its gradients for mlx.core.";
  auto core = nanobind::module_::import_("mlx.core");
  init_index_gradient(core);
  init_topk(core);
  init_sort(core);
  init_arg_reduce(core);
  init_quantile(core);
  init_threads(core);
  init_transforms(m);
  init_route(m);
}
