// Copyright © 2026 the mlx-topk authors. MIT licence.

// sort, argsort, partition, argpartition, lexsort and searchsorted.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mlx/ops.h"
#include "overlay/python/replace.h"
#include "overlay/selection.h"

namespace mx = mlx::core;
namespace nb = nanobind;
namespace selection = mlx::core::selection;
using namespace nb::literals;
using namespace topk_bindings;

namespace {

using Axis = std::optional<int>;
using Kths = std::variant<int, std::vector<int>>;
using Keys = std::variant<mx::array, std::vector<mx::array>>;

// ---- documentation ---------------------------------------------------------

constexpr const char* direction_keyword = "descending: bool = False";
constexpr const char* sort_keywords =
    "descending: bool = False, stable: bool = True";

constexpr const char* direction_argument =
    R"(            descending (bool, optional): If ``True``, the greatest element is
              the first. ``NaN`` is the greatest. Among equal elements the lower
              index comes first, as in ascending order. Default: ``False``.
)";

constexpr const char* stable_argument =
    R"(            stable (bool, optional): The sort is stable for ``False``, too.
              Default: ``True``.
)";

constexpr const char* sort_note = R"(
        The sort is stable. The gradient of each element goes to the position
        in the input that the element came from.
      )";

constexpr const char* partition_note = R"(
        The result has the elements at the indices that :func:`argpartition`
        returns. The gradient of each element goes to the position in the input
        that the element came from.

        ``kth`` may be a sequence. Then each of these positions holds the
        element that :func:`sort` has there. This takes as long as a sort,
        unless all positions are among the first 64 or the last 64. With an
        empty sequence the result is the input.
      )";

constexpr const char* argpartition_note = R"(
        ``kth`` may be a sequence. Then each of these positions holds the index
        that :func:`argsort` has there. This takes as long as a sort, unless all
        positions are among the first 64 or the last 64. With an empty sequence
        the indices are 0, 1, ...

        The indices have no gradient. :class:`index_gradient` says how a
        transform treats them.
      )";

constexpr const char* search_keywords =
    "axis: None | int = None, sorter: None | array = None";

constexpr const char* search_arguments =
    R"(            axis (int, optional): The axis along which ``sorted_sequence`` is
              sorted, if it has more than one. Each row along it is searched
              for the values in the same row of ``values``, which has the same
              shape except for this axis.
            sorter (array, optional): Integer indices, such as :func:`argsort`
              returns, that sort ``sorted_sequence``, which is not sorted then.
              It has the same shape. It is not checked. Default: ``None``.
)";

constexpr const char* search_note = R"(
        A ``ValueError`` is raised if ``sorted_sequence`` is not one-dimensional
        and there is no ``axis``, if the shapes do not fit, or if ``sorter``
        does not hold integers, and an ``IndexError`` for a bad ``axis``.

        The indices have no gradient. :class:`index_gradient` says how a
        transform treats them.
      )";

constexpr const char* lexsort_doc = R"(
        Returns the indices that sort by several keys.

        The last key counts most. Each of the others decides only where all
        keys after it are equal. Where all keys are equal, the lower index comes
        first. ``NaN`` is greater than all numbers, and the two zeros are equal.

        Args:
            keys (array or sequence of arrays): The keys, all of the same shape.
              The first axis of an array lists them.
            axis (int, optional): The axis of a key to sort over. Default:
              ``-1``.

        Returns:
            array: A ``uint32`` array of the shape of one key.

        Raises:
            ValueError: If there is no key, or if the shapes differ.
            IndexError: If the keys have no such axis.

        Example:
            >>> surname = mx.array([1, 0, 1, 0])
            >>> name = mx.array([2, 3, 1, 3])
            >>> mx.lexsort([name, surname])
            array([1, 3, 2, 0], dtype=uint32)

        The indices have no gradient. :class:`index_gradient` says how a
        transform treats them.
      )";

// ---- functions -------------------------------------------------------------

mx::SortDirection direction(bool descending) {
  return descending ? mx::SortDirection::descending
                    : mx::SortDirection::ascending;
}

mx::array argsort(
    const mx::array& a,
    Axis axis,
    bool descending,
    bool,
    mx::StreamOrDevice s) {
  return axis
      ? selection::argsort(a, *axis, direction(descending), s)
      : selection::argsort(mx::flatten(a, s), 0, direction(descending), s);
}

mx::array sort(
    const mx::array& a,
    Axis axis,
    bool descending,
    bool,
    mx::StreamOrDevice s) {
  return axis ? selection::sort(a, *axis, direction(descending), s)
              : selection::sort(mx::flatten(a, s), 0, direction(descending), s);
}

mx::array argpartition(
    const mx::array& a,
    const Kths& kths,
    Axis axis,
    bool descending,
    mx::StreamOrDevice s) {
  auto to = direction(descending);
  auto indices = [&](const mx::array& in, int along) {
    auto call = [&](auto& kth) {
      return selection::argpartition(in, kth, along, to, s);
    };
    return std::visit(call, kths);
  };
  return axis ? indices(a, *axis) : indices(mx::flatten(a, s), 0);
}

mx::array partition(
    const mx::array& a,
    const Kths& kths,
    Axis axis,
    bool descending,
    mx::StreamOrDevice s) {
  auto to = direction(descending);
  auto values = [&](const mx::array& in, int along) {
    auto call = [&](auto& kth) {
      return selection::partition(in, kth, along, to, s);
    };
    return std::visit(call, kths);
  };
  return axis ? values(a, *axis) : values(mx::flatten(a, s), 0);
}

mx::array lexsort(const Keys& keys, int axis, mx::StreamOrDevice s) {
  auto array = std::get_if<mx::array>(&keys);
  return array
      ? selection::lexsort(*array, axis, s)
      : selection::lexsort(std::get<std::vector<mx::array>>(keys), axis, s);
}

mx::array searchsorted(
    const mx::array& sorted_sequence,
    const mx::array& values,
    const std::string& side,
    Axis axis,
    const std::optional<mx::array>& sorter,
    mx::StreamOrDevice s) {
  // Without an axis, a sequence with more than one is an error of stock MLX's.
  if (!axis && (!sorter || sorted_sequence.ndim() != 1)) {
    return selection::searchsorted(sorted_sequence, values, side, s);
  }
  int along = axis.value_or(-1);
  return selection::searchsorted(
      sorted_sequence, values, side, along, sorter, s);
}

void init_sorts(nb::module_& core) {
  auto replace = [&](const char* name, const char* note, auto function) {
    replace_extended(
        core,
        name,
        original(core, name),
        {sort_keywords,
         std::string(direction_argument) + stable_argument,
         note},
        function,
        nb::arg(),
        "axis"_a.none() = -1,
        nb::kw_only(),
        "descending"_a = false,
        "stable"_a = true);
  };
  replace("argsort", index_note, &argsort);
  replace("sort", sort_note, &sort);
}

void init_partitions(nb::module_& core) {
  auto replace = [&](const char* name, const char* note, auto function) {
    auto stock = original(core, name);
    replace_text(stock.signature, "kth: int", "kth: int | Sequence[int]");
    replace_text(stock.doc, "kth (int):", "kth (int or sequence of ints):");
    replace_extended(
        core,
        name,
        stock,
        {direction_keyword, direction_argument, note},
        function,
        nb::arg(),
        "kth"_a,
        "axis"_a.none() = -1,
        nb::kw_only(),
        "descending"_a = false);
  };
  replace("partition", partition_note, &partition);
  replace("argpartition", argpartition_note, &argpartition);
}

} // namespace

void init_sort(nb::module_& core) {
  init_sorts(core);
  init_partitions(core);
  replace(
      core,
      "lexsort",
      &lexsort,
      "keys"_a,
      "axis"_a = -1,
      nb::kw_only(),
      "stream"_a = nb::none(),
      nb::sig(
          "def lexsort(keys: array | Sequence[array], axis: int = -1, *, "
          "stream: StreamOrDevice = None) -> array"),
      lexsort_doc);
  replace_extended(
      core,
      "searchsorted",
      original(core, "searchsorted"),
      {search_keywords, search_arguments, search_note},
      &searchsorted,
      nb::arg(),
      nb::arg(),
      "side"_a = "left",
      nb::kw_only(),
      "axis"_a.none() = nb::none(),
      "sorter"_a.none() = nb::none());
}
