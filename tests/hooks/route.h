// Copyright © 2026 the mlx-topk authors. MIT licence.

#pragma once

#include <nanobind/nanobind.h>

namespace hooks {

/**
 * Defines functions that take what routing.route takes, but for ``mask``.
 * emulate_route runs the kernel in the emulator, which emulate_metal has to
 * have started. route_by_stock evaluates the node as a GPU without a usable
 * kernel does. route_sources returns the kernels that would run, as
 * metal_sources does, or an empty dict if there is none.
 */
void init_route(nanobind::module_& m);

} // namespace hooks
