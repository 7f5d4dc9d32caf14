// Copyright © 2026 the mlx-topk authors. MIT licence.

// The extension module mlx._selection. Importing it replaces functions of
// mlx.core. mlx/_overlay imports it, after it has loaded mlx.core.

#include <nanobind/nanobind.h>

#include "overlay/python/replace.h"
#include "python/src/topk_bindings.h"

NB_MODULE(_selection, m) {
  m.doc() = "Selection and its gradients for mlx.core.";
  auto core = nanobind::module_::import_("mlx.core");
  init_index_gradient(core);
  init_topk(core);
  init_sort(core);
  init_arg_reduce(core);
  init_threads(core);
  init_transforms(m);
}
