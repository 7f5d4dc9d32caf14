// Copyright © 2026 the mlx-topk authors. MIT licence.

// Functions that get and set how many threads selections on the CPU use.

#include <nanobind/nanobind.h>

#include "mlx/topk_threads.h"
#include "overlay/python/replace.h"

namespace nb = nanobind;
namespace selection = mlx::core::selection;
using namespace nb::literals;

void init_threads(nb::module_& core) {
  // Reads MLX_TOPK_THREADS, so that a bad value is an error at import.
  selection::threads();
  core.def(
      "selection_threads",
      &selection::threads,
      nb::sig("def selection_threads() -> int"),
      R"pbdoc(
        How many threads a selection on the CPU may use.

        Returns:
            int: The number that was given to :func:`set_selection_threads`. If
            that was not called, the environment variable ``MLX_TOPK_THREADS``,
            or the number of CPUs that this process may run on.
      )pbdoc");
  core.def(
      "set_selection_threads",
      &selection::set_threads,
      "threads"_a,
      nb::sig("def set_selection_threads(threads: int) -> None"),
      R"pbdoc(
        Set how many threads a selection on the CPU may use.

        Results do not depend on the number. All streams share one pool of
        helper threads. A selection uses fewer of them while selections run on
        other streams.

        Args:
            threads (int): From ``1``, which uses no thread but the stream's
                own, to ``1024``.

        Raises:
            ValueError: If ``threads`` is not in that range.
      )pbdoc");
}
