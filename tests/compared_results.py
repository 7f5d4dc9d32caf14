"""Compares the results of calls of ``stock_calls.py``, and says how they differ."""

import dataclasses

import numpy as np
from stock_calls import PARTITIONS, Array, Raised, recorded

import oracle


@dataclasses.dataclass
class Compared:
    """A call, and its results on stock MLX and here.

    ``twin`` is the result on stock MLX of the call that ``call.twin`` names.
    """

    call: object
    stock: object
    ours: object
    twin: object

    def both_raise(self, kind=None):
        raised = isinstance(self.stock, Raised) and isinstance(self.ours, Raised)
        same = raised and self.stock.kind == self.ours.kind
        return same and kind in (None, self.ours.kind)

    def only_stock_raises(self, kind):
        raised = isinstance(self.stock, Raised) and self.stock.kind == kind
        return raised and not isinstance(self.ours, Raised)

    def both_arrays(self):
        """Returns whether both are arrays of one type and shape."""
        both = isinstance(self.stock, Array) and isinstance(self.ours, Array)
        return (
            both
            and self.stock.dtype == self.ours.dtype
            and self.stock.bits.shape == self.ours.bits.shape
        )

    def neither_raises(self):
        return not isinstance(self.stock, Raised) and not isinstance(self.ours, Raised)


def same(a, b):
    """Returns whether two results are the same, bit for bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Array):
        return a.dtype == b.dtype and np.array_equal(a.bits, b.bits)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


# ---- Partitions --------------------------------------------------------------


def by_value(values):
    """Returns the elements with one bit pattern for all NaNs, and one for all zeros."""
    if values.dtype.kind not in "fc":
        return values
    return np.where(np.isnan(values), np.nan, np.where(values == 0, 0, values))


def rows_of(a, axis):
    return a.reshape(1, -1) if axis is None else np.moveaxis(a, axis, -1)


def parts_of(call, rows):
    """Sorts, in each row, what the contract lets stand in any order."""
    if call.op == "topk":
        return [np.sort(rows, axis=-1)]
    before, kth, after = np.split(rows, [call.kth, call.kth + 1], axis=-1)
    return [np.sort(before, axis=-1), kth, np.sort(after, axis=-1)]


def equal_parts(call, a, b):
    pairs = zip(parts_of(call, a), parts_of(call, b), strict=True)
    is_number = a.dtype.kind in "fc"
    return all(np.array_equal(x, y, equal_nan=is_number) for x, y in pairs)


def promised(call, source):
    """Returns, for each row, the indices that docs/topk.md promises, best first.

    They are the k largest for ``topk``, and otherwise all, as a stable sort has them.
    """
    rows = rows_of(source.values, call.axis)
    largest = call.op == "topk"
    k = rows.shape[-1] - call.kth if largest else rows.shape[-1]
    return oracle.topk_indices(rows, k, largest=largest).astype(np.int64)


def is_partition(it):
    is_drawn = it.call.op in PARTITIONS and it.call.array is not None
    return is_drawn and it.both_arrays()


def differs_in_order(it):
    if not is_partition(it):
        return False
    axis = it.call.axis
    return equal_parts(
        it.call, rows_of(it.stock.bits, axis), rows_of(it.ours.bits, axis)
    )


def differs_in_ties(it):
    """Checks that stock chose equal elements, and that ours are the promised ones."""
    if not is_partition(it):
        return False
    axis, source = it.call.axis, recorded(it.call.array)
    values = by_value(rows_of(source.values, axis))
    stock, ours = (rows_of(x.bits, axis) for x in (it.stock, it.ours))
    wanted = promised(it.call, source)
    if it.call.op == "argpartition":
        is_permutation = np.array_equal(np.sort(stock, -1), np.sort(wanted, -1))
        chosen = np.take_along_axis(values, stock.astype(np.int64), -1)
    else:
        is_permutation = True
        chosen = by_value(rows_of(it.stock.values, axis))
        bits = rows_of(source.bits, axis)
    by_contract = np.take_along_axis(values, wanted, -1)
    if it.call.op != "argpartition":
        wanted = np.take_along_axis(bits, wanted, -1)
    return (
        is_permutation
        and equal_parts(it.call, chosen, by_contract)
        and equal_parts(it.call, ours, wanted)
    )


def finds_another_complex_nan(it):
    """Checks that ours is the first element with a NaN in either part."""
    if it.call.op.removeprefix("array.") not in ("argmax", "argmin"):
        return False
    if it.call.array is None or not it.both_arrays():
        return False
    if recorded(it.call.array).dtype != "complex64":
        return False
    is_nan = np.isnan(recorded(it.call.array).values)
    first = np.argmax(is_nan, it.call.axis).ravel()
    found = it.ours.values.ravel()
    differs = it.ours.values.ravel() != it.stock.values.ravel()
    has_nan = np.any(is_nan, it.call.axis).ravel()
    return bool(np.all(~differs | (has_nan & (found == first))))


# ---- Transforms --------------------------------------------------------------


def gathers_through_an_index(it):
    raised = isinstance(it.stock, Raised)
    is_index_error = raised and "with respect to indices" in it.stock.message
    return is_index_error and same(it.ours, it.twin)


def equal(a, b):
    """Returns whether two results are equal; -0.0 equals 0.0."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    both = isinstance(a, Array) and isinstance(b, Array)
    return both and a.dtype == b.dtype and np.array_equal(a.values, b.values)


def differs_in_a_gradient(it):
    return it.neither_raises() and it.twin is not None and equal(it.ours, it.twin)


def infers_a_shape(it):
    raised = it.only_stock_raises("ValueError")
    return (
        raised and "infer output shapes" in it.stock.message and same(it.ours, it.twin)
    )


def differs_in_a_tangents_type(it):
    if it.call.name != "mx.jvp(lambda x: mx.argpartition(x, 1), [V], [V])":
        return False
    (_, [stock]), (_, [ours]) = it.stock, it.ours
    is_zero = not stock.values.any() and not ours.values.any()
    return is_zero and (stock.dtype, ours.dtype) == ("float32", "uint32")


def vectorises(it):
    """Looks for the error about vmap on stock, in the call or in its twin."""
    unable = "Cannot vmap over the sorted sequence"
    raised = [x.message for x in (it.stock, it.twin) if isinstance(x, Raised)]
    is_ours = isinstance(it.stock, Raised) and not isinstance(it.ours, Raised)
    return is_ours and any(unable in message for message in raised)


# ---- Arguments and errors ----------------------------------------------------


def is_a_bool_k(it):
    refused = isinstance(it.ours, Raised) and it.ours.kind == "TypeError"
    is_bool = it.call.name in ("mx.topk(A, True)", "mx.topk(A, False)")
    return is_bool and refused and "bool" in it.ours.message


def is_a_huge_k(it):
    kinds = [getattr(result, "kind", None) for result in (it.stock, it.ours)]
    return it.call.op == "topk" and kinds == ["TypeError", "ValueError"]


def names_the_type(it):
    is_type_error = it.call.op == "topk" and it.both_raise("TypeError")
    return is_type_error and it.ours.message.startswith("[topk] k must be an integer")


def is_an_empty_batch(it):
    raised = it.only_stock_raises("ValueError") and "zero size" in it.stock.message
    return raised and isinstance(it.ours, Array) and it.ours.bits.size == 0


def names_the_empty_axis(it):
    both = it.both_raise("ValueError") and "zero size" in it.stock.message
    return both and "has no elements" in it.ours.message


def says_what_is_allowed(it):
    messages = it.both_raise() and it.call.op in PARTITIONS
    return messages and all(
        result.message.startswith(f"[{it.call.op}]") for result in (it.stock, it.ours)
    )


def lists_a_signature(it):
    is_type_error = it.both_raise("TypeError")
    return is_type_error and "incompatible function arguments" in it.stock.message


def is_a_new_argument(it):
    words = ["largest=", "sorted=", "return_indices=", "descending=", "stable="]
    words += ["sorter="]
    if it.call.op in ("partition", "argpartition"):
        words.append("kth=[")
    if it.call.op == "searchsorted":
        words.append("axis=")
    return it.only_stock_raises("TypeError") and any(w in it.call.name for w in words)


def is_a_new_name(it):
    if it.call.op in ("top_k", "lexsort"):
        return it.only_stock_raises("AttributeError")
    is_list = it.call.op == "module" and it.call.name.startswith("sorted(")
    return is_list and set(it.stock) < set(it.ours)


def is_the_version(it):
    return it.call.name == "mx.__version__" and it.ours.startswith(it.stock + "+")


def is_a_function_type(it):
    types = it.ours if isinstance(it.ours, list) else [it.ours]
    is_type = it.call.op == "module" and "type(" in it.call.name
    return is_type and set(types) <= {"function", "type"}


def is_a_first_line(it):
    return it.call.op == "docstring" and bool(it.stock) and bool(it.ours)
