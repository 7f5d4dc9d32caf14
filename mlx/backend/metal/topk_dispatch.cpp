// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/metal/topk_dispatch.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>
#include <mutex>
#include <sstream>
#include <stdexcept>

#include "mlx/backend/common/topk_plan.h"
#include "mlx/backend/metal/topk_source.h"
#include "mlx/utils.h"

namespace mlx::core::metal {

namespace {

constexpr int64_t simd_size = 32;
constexpr int64_t group_threads = 256;
constexpr int64_t group_simds = group_threads / simd_size;
constexpr int64_t greatest_register_size = 32 * simd_size;
constexpr int64_t greatest_k = 2048;

std::atomic<int> forced_kernel{-1};

bool is_forced(TopKKernel kernel) {
  return forced_kernel == static_cast<int>(kernel);
}

/** What kernel_report tells. */
struct Record {
  std::mutex mutex;
  std::map<std::string, std::string> broken;
  std::atomic<uint64_t> launches{0};

  static Record& of_process() {
    static Record record;
    return record;
  }
};

int64_t ceildiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/** The name that metal/topk.h orders a dtype by; empty: Metal has none. */
std::string order_name(Dtype dtype) {
  switch (dtype.val()) {
    case Dtype::Val::bool_:
      return "uint8";
    case Dtype::Val::float64:
    case Dtype::Val::complex64:
      return "";
    default:
      std::ostringstream name;
      name << dtype;
      return name.str();
  }
}

// ---- which kernel -----------------------------------------------------------

bool fits_registers(int64_t size, int64_t k) {
  bool fits = size <= greatest_register_size && k <= simd_size;
  if (forced_kernel >= 0) {
    return fits && is_forced(TopKKernel::in_registers);
  }
  return fits && size <= tuning().register_size && k <= tuning().register_k;
}

/**
 * Over how many threadgroups a row is split. The longest way is a segment, and
 * then all that was found: shortest when both are as long. What is found costs
 * memory too: at most half as much as the row.
 */
int64_t segments_of(int64_t size, int64_t k, int64_t itemsize) {
  if (is_forced(TopKKernel::split)) {
    return std::clamp<int64_t>(size / std::max<int64_t>(k, 1), 1, 5);
  }
  if (forced_kernel >= 0 || size <= tuning().resident_size) {
    return 1;
  }
  auto balanced = static_cast<int64_t>(std::sqrt(size / k));
  auto pair = 2 * (std::max<int64_t>(itemsize, 4) + 4);
  auto affordable = size * itemsize / (2 * pair * k);
  auto long_enough = size / std::max(tuning().segment_size, k);
  return std::max<int64_t>(1, std::min({balanced, affordable, long_enough}));
}

// More room means fewer times that it has to be made, and fewer threadgroups
// at a time. 32 KiB is what Metal grants.
int64_t capacity_for(int64_t k, int64_t key_bytes) {
  if (k <= 64) {
    return 1024;
  }
  bool wide = key_bytes == 8;
  if (k <= 512) {
    return wide ? 1536 : 2048;
  }
  return wide ? 2560 : 3584;
}

// ---- one launch -------------------------------------------------------------

/** What all launches of a selection have in common. */
struct Problem {
  RowPlan rows;
  std::string order;
  int64_t key_bytes;
  int64_t k;
  bool smallest;
  bool sorted;
  bool writes_values;
  bool writes_indices;
};

std::vector<int64_t> axes_table(const RowPlan& rows) {
  std::vector<int64_t> table;
  for (size_t i = 0; i < rows.shape.size(); ++i) {
    table.push_back(rows.shape[i]);
    table.push_back(rows.in_strides[i]);
    table.push_back(rows.out_strides[i]);
  }
  if (table.empty()) {
    table.push_back(0); // there is no empty buffer
  }
  return table;
}

std::array<uint32_t, 3> grid(int64_t of_row, int64_t rows) {
  int64_t y = std::min<int64_t>(rows, 65535);
  return {
      static_cast<uint32_t>(of_row),
      static_cast<uint32_t>(y),
      static_cast<uint32_t>(ceildiv(rows, y))};
}

Dispatch base_dispatch(
    const Problem& problem,
    const std::string& family,
    int64_t segments) {
  auto& rows = problem.rows;
  Dispatch dispatch{};
  dispatch.kernel = family + "_" + problem.order;
  dispatch.instantiation = family + ", order_" + problem.order;
  auto& args = dispatch.arguments;
  args.rows = rows.rows;
  args.axis_size = rows.axis_size;
  args.k = problem.k;
  args.segments = segments;
  args.in_stride = rows.in_axis_stride;
  args.out_stride = rows.out_axis_stride;
  args.smallest = problem.smallest;
  args.sorted = problem.sorted;
  args.writes_values = problem.writes_values;
  args.writes_indices = problem.writes_indices;
  args.row_axes = rows.shape.size();
  dispatch.axes = axes_table(rows);
  dispatch.buffers = {{0, KernelArray::input, false}};
  dispatch.groups = grid(1, rows.rows);
  dispatch.threads = group_threads;
  return dispatch;
}

void add_outputs(Dispatch& dispatch) {
  dispatch.buffers.push_back({1, KernelArray::values, true});
  dispatch.buffers.push_back({2, KernelArray::indices, true});
}

void add_candidates(Dispatch& dispatch, const Problem& problem) {
  auto capacity = capacity_for(problem.k, problem.key_bytes);
  dispatch.arguments.capacity = capacity;
  dispatch.threadgroup_bytes = {capacity * problem.key_bytes, capacity * 4};
}

void add_found(Dispatch& dispatch, bool written) {
  dispatch.buffers.push_back({5, KernelArray::found_keys, written});
  dispatch.buffers.push_back({6, KernelArray::found_positions, written});
}

/** Reads the rows from their ends: the higher index wins among equals. */
void read_mirrored(TopKArguments& args) {
  args.in_start += (int64_t(args.axis_size) - 1) * args.in_stride;
  args.in_stride = -args.in_stride;
}

void write_mirrored(TopKArguments& args) {
  args.out_start += (int64_t(args.axis_size) - 1) * args.out_stride;
  args.out_stride = -args.out_stride;
  args.mirrored = 1;
}

Dispatch register_dispatch(const Problem& problem) {
  auto dispatch = base_dispatch(problem, "topk_register", 1);
  add_outputs(dispatch);
  int64_t of_lane = 1;
  while (of_lane * simd_size < problem.rows.axis_size) {
    of_lane *= 2;
  }
  std::ostringstream number;
  number << of_lane;
  dispatch.kernel.append("_").append(number.str());
  dispatch.instantiation.append(", ").append(number.str());
  // Few rows: over more of the GPU's cores.
  auto rows = problem.rows.rows;
  auto of_group = std::clamp<int64_t>(rows / 64, 1, group_simds);
  dispatch.groups = grid(1, ceildiv(rows, of_group));
  dispatch.threads = of_group * simd_size;
  return dispatch;
}

// ---- selections -------------------------------------------------------------

Selection select(const Problem& problem, int64_t itemsize) {
  auto size = problem.rows.axis_size;
  Selection result;
  if (fits_registers(size, problem.k)) {
    result.dispatches.push_back(register_dispatch(problem));
    return result;
  }
  auto segments = segments_of(size, problem.k, itemsize);
  if (segments == 1) {
    auto dispatch = base_dispatch(problem, "topk_resident", 1);
    add_outputs(dispatch);
    add_candidates(dispatch, problem);
    result.dispatches.push_back(std::move(dispatch));
    return result;
  }
  auto split = base_dispatch(problem, "topk_split", segments);
  add_found(split, true);
  add_candidates(split, problem);
  split.groups = grid(segments, problem.rows.rows);
  auto merge = base_dispatch(problem, "topk_merge", segments);
  add_outputs(merge);
  add_found(merge, false);
  add_candidates(merge, problem);
  result.dispatches = {std::move(split), std::move(merge)};
  auto found = problem.rows.rows * segments * problem.k;
  result.found_keys_bytes = found * problem.key_bytes;
  result.found_positions_bytes = found * 4;
  return result;
}

/** The same rows, with results of size k that lie one after the other. */
RowPlan with_dense_output(RowPlan rows, int64_t k) {
  rows.out_axis_stride = 1;
  int64_t stride = k;
  for (int i = static_cast<int>(rows.shape.size()) - 1; i >= 0; --i) {
    rows.out_strides[i] = stride;
    stride *= rows.shape[i];
  }
  return rows;
}

/** A selection of what is at one side of kth, and then all others. */
Selection
partition_by_selection(const Problem& problem, int64_t itemsize, bool mirror) {
  auto first = problem;
  first.rows = with_dense_output(problem.rows, problem.k);
  first.writes_values = false;
  first.writes_indices = true;
  auto result = select(first, itemsize);
  for (auto& dispatch : result.dispatches) {
    if (mirror) {
      read_mirrored(dispatch.arguments);
    }
    for (auto& buffer : dispatch.buffers) {
      if (buffer.array == KernelArray::indices) {
        buffer.array = KernelArray::best_positions;
      }
    }
  }
  result.best_positions_bytes = problem.rows.rows * problem.k * 4;

  auto segments = ceildiv(problem.rows.axis_size, tuning().resident_size);
  auto rest = base_dispatch(problem, "topk_rest", segments);
  add_outputs(rest);
  rest.buffers.push_back({6, KernelArray::best_positions, false});
  rest.groups = grid(segments, problem.rows.rows);
  if (mirror) {
    read_mirrored(rest.arguments);
    write_mirrored(rest.arguments);
  }
  result.dispatches.push_back(std::move(rest));
  return result;
}

int64_t* field_of(TopKTuning& tuning, const std::string& name) {
  const std::map<std::string, int64_t*> fields{
      {"register_size", &tuning.register_size},
      {"register_k", &tuning.register_k},
      {"resident_size", &tuning.resident_size},
      {"segment_size", &tuning.segment_size},
      {"selected_k", &tuning.selected_k},
      {"partition_size", &tuning.partition_size}};
  auto field = fields.find(name);
  return field == fields.end() ? nullptr : field->second;
}

} // namespace

TopKTuning parse_tuning(const std::string& text) {
  TopKTuning result;
  if (text == "0" || text == "1" || text.empty()) {
    result.enabled = text != "0";
    return result;
  }
  for (size_t start = 0; start <= text.size();) {
    auto part = text.substr(start, text.find(',', start) - start);
    start += part.size() + 1;
    auto equals = part.find('=');
    auto field = field_of(result, part.substr(0, equals));
    char* end = nullptr;
    auto number = equals == std::string::npos ? "" : &part[equals + 1];
    auto value = std::strtoll(number, &end, 10);
    if (!field || *number == 0 || *end != 0 || value < 0) {
      throw std::invalid_argument(
          "[topk] MLX_TOPK_METAL must be 0, 1 or a list of name=number with the "
          "names register_size, register_k, resident_size, segment_size, "
          "selected_k, partition_size, got '" +
          text + "'.");
    }
    *field = value;
  }
  result.selected_k = std::min(result.selected_k, greatest_k);
  result.resident_size = std::max<int64_t>(result.resident_size, 1);
  result.segment_size = std::max<int64_t>(result.segment_size, 1);
  return result;
}

const TopKTuning& tuning() {
  static const TopKTuning from_environment = [] {
    auto text = std::getenv("MLX_TOPK_METAL");
    return parse_tuning(text ? text : "");
  }();
  return from_environment;
}

void force_topk_kernel(std::optional<TopKKernel> kernel) {
  forced_kernel = kernel ? static_cast<int>(*kernel) : -1;
}

std::string source_of(const Dispatch& dispatch) {
  std::ostringstream source;
  source << topk_source << "instantiate_kernel(\"" << dispatch.kernel << "\", "
         << dispatch.instantiation << ")\n";
  return source.str();
}

bool can_topk(Dtype dtype, int64_t k) {
  return tuning().enabled && !order_name(dtype).empty() &&
      k <= tuning().selected_k;
}

// The side of kth with less to select. What is selected from the right is
// mirrored: there the greater element is the better, and of equals the later.
static bool selects_from_right(int64_t axis_size, int64_t kth) {
  return axis_size - kth < kth + 1;
}

static int64_t selected_for(int64_t axis_size, int64_t kth) {
  return selects_from_right(axis_size, kth) ? axis_size - kth : kth + 1;
}

bool can_partition(Dtype dtype, int64_t axis_size, int64_t kth) {
  auto k = selected_for(axis_size, kth);
  if (!tuning().enabled || order_name(dtype).empty()) {
    return false;
  }
  bool long_enough = axis_size > tuning().partition_size || forced_kernel >= 0;
  return fits_registers(axis_size, k) ||
      (k <= tuning().selected_k && long_enough);
}

std::optional<Selection>
plan_topk(const array& in, int axis, int k, TopKMode mode, TopKOrder order) {
  if (!can_topk(in.dtype(), k)) {
    return {};
  }
  Problem problem{
      core::plan_rows(in.shape(), in.strides(), axis, k),
      order_name(in.dtype()),
      in.itemsize() == 8 ? 8 : 4,
      k,
      mode == TopKMode::smallest,
      order == TopKOrder::sorted,
      true,
      true};
  if (k == 0 || problem.rows.rows == 0) {
    return Selection{};
  }
  return select(problem, in.itemsize());
}

std::optional<Selection>
plan_partition(const array& in, int axis, int kth, OrderResult result) {
  int64_t size = in.shape(axis);
  if (!can_partition(in.dtype(), size, kth)) {
    return {};
  }
  bool mirror = selects_from_right(size, kth);
  auto k = selected_for(size, kth);
  Problem problem{
      core::plan_rows(in.shape(), in.strides(), axis, size),
      order_name(in.dtype()),
      in.itemsize() == 8 ? 8 : 4,
      k,
      !mirror,
      true,
      result == OrderResult::values,
      result == OrderResult::indices};
  if (size == 0 || problem.rows.rows == 0) {
    return Selection{};
  }
  if (!fits_registers(size, k)) {
    return partition_by_selection(problem, in.itemsize(), mirror);
  }
  Selection whole;
  whole.dispatches.push_back(register_dispatch(problem));
  auto& args = whole.dispatches[0].arguments;
  args.writes_rest = 1;
  if (mirror) {
    read_mirrored(args);
    write_mirrored(args);
  }
  return whole;
}

bool prepare(const Selection& selection, KernelEncoder& encoder) {
  // Each kernel by itself: one that made values makes their indices too.
  auto& record = Record::of_process();
  for (auto& dispatch : selection.dispatches) {
    std::lock_guard lock(record.mutex);
    if (record.broken.count(dispatch.kernel) > 0) {
      return false;
    }
    try {
      encoder.prepare(dispatch);
    } catch (const std::exception& error) {
      if (record.broken.empty()) {
        std::cerr
            << "[topk] A Metal kernel cannot be used here: MLX's sort does "
               "its work. Please report this, with what `python -m "
               "mlx.selftest` prints. "
            << dispatch.kernel << ": " << error.what() << std::endl;
      }
      record.broken[dispatch.kernel] = error.what();
      return false;
    }
  }
  return true;
}

KernelReport kernel_report() {
  auto& record = Record::of_process();
  std::lock_guard lock(record.mutex);
  return {record.launches, {record.broken.begin(), record.broken.end()}};
}

void forget_broken_kernels() {
  auto& record = Record::of_process();
  std::lock_guard lock(record.mutex);
  record.broken.clear();
}

array scratch_array(int64_t bytes) {
  // In two dimensions, of which neither is beyond an int.
  constexpr int line = 1024;
  auto lines = static_cast<int>(ceildiv(std::max<int64_t>(bytes, 1), line));
  return array({lines, line}, uint8, nullptr, {});
}

void encode(
    const Selection& selection,
    const array& in,
    array* values,
    array* indices,
    KernelEncoder& encoder) {
  bool splits = selection.found_keys_bytes > 0;
  bool partitions = selection.best_positions_bytes > 0;
  auto found_keys = splits ? encoder.scratch(selection.found_keys_bytes) : in;
  auto found_positions =
      splits ? encoder.scratch(selection.found_positions_bytes) : in;
  auto best = partitions ? encoder.scratch(selection.best_positions_bytes) : in;
  // A kernel does not write to the output that is missing: anything will do.
  auto array_of = [&](KernelArray array_) -> array& {
    switch (array_) {
      case KernelArray::values:
        return values ? *values : *indices;
      case KernelArray::indices:
        return indices ? *indices : *values;
      case KernelArray::found_keys:
        return found_keys;
      case KernelArray::found_positions:
        return found_positions;
      default:
        return best;
    }
  };
  for (auto& dispatch : selection.dispatches) {
    encoder.set_kernel(dispatch);
    for (auto& buffer : dispatch.buffers) {
      if (buffer.array == KernelArray::input) {
        encoder.set_input(in, buffer.index);
      } else if (buffer.written) {
        encoder.set_output(array_of(buffer.array), buffer.index);
      } else {
        encoder.set_input(array_of(buffer.array), buffer.index);
      }
    }
    encoder.set_bytes(&dispatch.arguments, sizeof(TopKArguments), 3);
    auto& axes = dispatch.axes;
    encoder.set_bytes(axes.data(), axes.size() * sizeof(axes[0]), 4);
    for (int i = 0; i < 2; ++i) {
      if (dispatch.threadgroup_bytes[i] > 0) {
        encoder.set_threadgroup_memory(dispatch.threadgroup_bytes[i], i);
      }
    }
    encoder.launch(dispatch);
    ++Record::of_process().launches;
  }
}

} // namespace mlx::core::metal
