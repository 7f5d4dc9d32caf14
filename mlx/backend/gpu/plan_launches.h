// Copyright © 2026 the mlx-topk authors. MIT licence.

// Plans which kernels of mlx/backend/metal/kernels make a selection, with what
// arguments. Nothing here touches a device. The number of rows decides the grid
// and the size of its threadgroups, but never the result of a row.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "mlx/backend/common/row_plan.h"
#include "mlx/backend/gpu/launch.h"
#include "mlx/backend/gpu/launch_tuning.h"
#include "mlx/dtype.h"
#include "mlx/topk.h"

namespace mlx::core::gpu {

/** Whether there is a plan for k and arrays of this type. */
bool can_topk(Dtype dtype, int64_t k, const LaunchTuning& tuning);

/**
 * Plans the selection of the k best of each of ``rows``. The plan is empty if
 * there is nothing to select. Returns nothing if the kernels cannot do it.
 * ``aligned`` says whether the address of the first row is a multiple of 16.
 * Without ``writes_indices`` only the values are written.
 */
std::optional<LaunchPlan> plan_topk_launches(
    const RowPlan& rows,
    bool aligned,
    Dtype dtype,
    int64_t k,
    TopKMode mode,
    TopKOrder order,
    bool writes_indices,
    const LaunchTuning& tuning);

// ---- parts, from which other plans can be made ------------------------------

/** What all launches of a plan have in common. */
struct Selection {
  RowPlan rows;
  // The result of key_type_of().
  std::string key_type;
  int64_t itemsize;
  int64_t k;
  bool smallest;
  bool sorted;
  bool writes_values;
  bool writes_indices;
  // Whether rows are read from their end, so that the higher index wins among
  // equal elements.
  bool mirrored;
  // Whether the address of the first row is a multiple of 16 bytes.
  bool aligned;

  int64_t key_bytes() const {
    return itemsize == 8 ? 8 : 4;
  }
};

/**
 * Returns the type name with which the kernels are instantiated for ``dtype``,
 * or nullptr if they cannot order arrays of this type.
 */
const char* key_type_of(Dtype dtype);

/** Whether topk_lanes selects k of ``size`` elements. */
bool fits_registers(int64_t size, int64_t k, const LaunchTuning& tuning);

LaunchPlan plan_selection(
    const Selection& selection,
    const LaunchTuning& tuning);

/**
 * Plans topk_bound, or topk_bound_split and topk_bound_merge. Returns nothing
 * if other kernels are better.
 */
std::optional<LaunchPlan> plan_bounds(
    const Selection& selection,
    const LaunchTuning& tuning);

/**
 * Returns a launch of ``family``, such as "topk_split", with ``segments``
 * threadgroups per row. Only its input is bound.
 */
Launch base_launch(
    const Selection& selection,
    const std::string& family,
    int64_t segments);

/** Returns a launch of topk_lanes for a selection that fits_registers(). */
Launch short_row_launch(const Selection& selection);

void add_template_argument(Launch& launch, const std::string& argument);

void bind_outputs(Launch& launch);

/**
 * Binds the scratch arrays for the elements found in each segment. ``written``
 * says whether the kernel writes these arrays; otherwise it reads them.
 */
void bind_found(Launch& launch, bool written);

/** Returns a grid of ``groups_per_row`` by rows, in the limits of CUDA. */
std::array<uint32_t, 3> grid(int64_t groups_per_row, int64_t rows);

inline int64_t ceildiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

} // namespace mlx::core::gpu
