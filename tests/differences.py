"""What differs from stock MLX, and for each difference how a result shows it.

docs/changes-from-stock.md has the same list: keys, descriptions and reasons.
"""

import dataclasses
from collections.abc import Callable

import compared_results as results
from compared_results import Compared


@dataclasses.dataclass
class Difference:
    key: str
    what: str
    why: str
    explains: Callable[[Compared], bool]


# They are tried from top to bottom: the first that explains a result counts.
DIFFERENCES = [
    Difference(
        "order",
        "`topk`, `partition`, `argpartition`: the order in which the elements on "
        "one side stand",
        "Stock does not say what the order is. Other algorithms give another order.",
        results.differs_in_order,
    ),
    Difference(
        "ties",
        "`topk`, `partition`, `argpartition`: which of several equal elements is "
        "chosen, also between `-0.0` and `0.0` and between NaNs",
        "Stock does not say which one. Here it is the one with the lower index, so "
        "that the choice is the same everywhere.",
        results.differs_in_ties,
    ),
    Difference(
        "complex-nan",
        "`argmax`, `argmin` of complex64 where an element has NaN in one part only: "
        "the index of the first such element",
        "Stock returns the first NaN of real types, too. For complex types it may "
        "return another element.",
        results.finds_another_complex_nan,
    ),
    Difference(
        "index-gradient",
        "gradients, tangents: a gather such as `take_along_axis(x, argsort(x))` is "
        "differentiated; on stock it is an error",
        "This is what the fork is for. The result is that of `mx.stop_gradient` "
        "around the indices. `mx.index_gradient` chooses otherwise.",
        results.gathers_through_an_index,
    ),
    Difference(
        "tied-gradient",
        "gradients, tangents of `topk`, `partition`, `argpartition`, `median` where "
        "elements are equal",
        "On stock the gradient of `topk`, `partition` and `median` orders the "
        "elements again and may go to some that were not chosen. Here it goes to the "
        "chosen ones, those that a stable order has there.",
        results.differs_in_a_gradient,
    ),
    Difference(
        "shapeless",
        "`mx.compile(f, shapeless=True)` accepts `topk` and `median`; on stock it is "
        "an error",
        "Here they are made of primitives that know their shapes. On stock they end "
        "with a slice, which does not.",
        results.infers_a_shape,
    ),
    Difference(
        "vmap",
        "`mx.vmap` over `random.categorical` with `num_samples` and over the sorted "
        "sequence of `searchsorted`; on stock it is an error",
        "Here the search is vectorised over both of its arguments.",
        results.vectorises,
    ),
    Difference(
        "tangent-type",
        "`mx.jvp` of `argpartition`: the tangent, all zeros, has the type uint32, "
        "not the type of the input",
        "A tangent has the type of its output, as that of `argsort` has on stock.",
        results.differs_in_a_tangents_type,
    ),
    Difference(
        "bool-k",
        "`topk(a, True)` is a `TypeError`; on stock `True` is 1",
        "It is most often a mistake, such as `topk(a, largest)`.",
        results.is_a_bool_k,
    ),
    Difference(
        "huge-k",
        "`topk(a, 2**31)` is a `ValueError`; on stock a `TypeError`",
        "The type is right, and the value is not.",
        results.is_a_huge_k,
    ),
    Difference(
        "k-message",
        "`topk`: the `TypeError` about a `k` that is not an integer has another "
        "message",
        "It names the value and its type.",
        results.names_the_type,
    ),
    Difference(
        "empty-batch",
        "`argmax`, `argmin`, `random.categorical` of no rows, such as shape (0, 4) "
        "along axis 1: an empty array; on stock an error",
        "`mx.max` and NumPy return an empty array, too.",
        results.is_an_empty_batch,
    ),
    Difference(
        "empty-message",
        "`argmax`, `argmin`, `random.categorical` along an axis of size 0: the error "
        "has another message. Its type is the same",
        "It names the axis and the shape.",
        results.names_the_empty_axis,
    ),
    Difference(
        "range-message",
        "`topk`, `partition`, `argpartition`: the error about `k`, `kth` or the "
        "axis has another message. Its type is the same",
        "It says what is allowed.",
        results.says_what_is_allowed,
    ),
    Difference(
        "signature-message",
        "`TypeError` about arguments that do not fit: the message differs for "
        "`topk`, `sort`, `argsort`, `partition`, `argpartition`, `searchsorted`, "
        "`random.categorical` and the transforms",
        "MLX's message has the types of the arguments. The first six have more "
        "arguments here. The others are Python functions, which pass on MLX's error "
        "or raise Python's.",
        results.lists_a_signature,
    ),
    Difference(
        "new-arguments",
        "`topk` accepts `largest`, `sorted` and `return_indices`; `sort`, `argsort`, "
        "`partition` and `argpartition` accept `descending`, the first two `stable`, "
        "the others a sequence as `kth`; `searchsorted` accepts `axis` and `sorter`; "
        "on stock these are errors",
        "Added: see the contract.",
        results.is_a_new_argument,
    ),
    Difference(
        "new-names",
        "`mx` has more names, such as `mx.top_k` and `mx.lexsort`",
        "Added: see the changelog.",
        results.is_a_new_name,
    ),
    Difference(
        "version",
        "`mx.__version__` ends with `+topk.` and a number",
        "Programs and `pip` can tell which MLX this is, and both still count it as "
        "MLX's version.",
        results.is_the_version,
    ),
    Difference(
        "function-types",
        "`type(mx.grad)` and the types of `vmap`, `checkpoint` and "
        "`custom_function` are those of Python functions and classes",
        "They are written in Python, around MLX's own.",
        results.is_a_function_type,
    ),
    Difference(
        "docstrings",
        "`__doc__` of `topk`, `sort`, `argsort`, `partition`, `argpartition` and "
        "`searchsorted` shows more arguments; `__doc__` of "
        "`random.categorical`, the transforms and the export functions does not "
        "begin with a signature",
        "The others are Python functions. `help` shows their signatures.",
        results.is_a_first_line,
    ),
]


def explanation(compared):
    """Returns the key of the first difference that explains two results, or None."""
    for difference in DIFFERENCES:
        if difference.explains(compared):
            return difference.key
    return None
