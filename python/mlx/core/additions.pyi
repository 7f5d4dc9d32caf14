# The definitions that the fork adds to the stubs of mlx.core. setup.py inserts them
# into MLX's file, where they replace definitions of the same name.

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

class TopKResult(NamedTuple):
    """The chosen elements and their indices, from :func:`top_k` or :func:`topk`."""

    values: array
    indices: array

@overload
def topk(
    a: array,
    /,
    k: int,
    axis: None | int = -1,
    *,
    largest: bool = True,
    sorted: bool = False,
    return_indices: Literal[False] = False,
    stream: StreamOrDevice = None,
) -> array: ...
@overload
def topk(
    a: array,
    /,
    k: int,
    axis: None | int = -1,
    *,
    largest: bool = True,
    sorted: bool = False,
    return_indices: Literal[True],
    stream: StreamOrDevice = None,
) -> TopKResult: ...
@overload
def topk(
    a: array,
    /,
    k: int,
    axis: None | int = -1,
    *,
    largest: bool = True,
    sorted: bool = False,
    return_indices: bool,
    stream: StreamOrDevice = None,
) -> array | TopKResult: ...
def top_k(
    x: array,
    k: int,
    /,
    *,
    axis: int = -1,
    mode: Literal["largest", "smallest"] = "largest",
    sorted: bool = True,
    stream: StreamOrDevice = None,
) -> TopKResult: ...
def sort(
    a: array,
    /,
    axis: None | int = -1,
    *,
    descending: bool = False,
    stable: bool = True,
    stream: StreamOrDevice = None,
) -> array: ...
def argsort(
    a: array,
    /,
    axis: None | int = -1,
    *,
    descending: bool = False,
    stable: bool = True,
    stream: StreamOrDevice = None,
) -> array: ...
def partition(
    a: array,
    /,
    kth: int | Sequence[int],
    axis: None | int = -1,
    *,
    descending: bool = False,
    stream: StreamOrDevice = None,
) -> array: ...
def argpartition(
    a: array,
    /,
    kth: int | Sequence[int],
    axis: None | int = -1,
    *,
    descending: bool = False,
    stream: StreamOrDevice = None,
) -> array: ...
def lexsort(
    keys: array | Sequence[array],
    axis: int = -1,
    *,
    stream: StreamOrDevice = None,
) -> array: ...
def searchsorted(
    sorted_sequence: array,
    values: array,
    /,
    side: str = "left",
    *,
    axis: None | int = None,
    sorter: None | array = None,
    stream: StreamOrDevice = None,
) -> array: ...
def kthvalue(
    a: array,
    /,
    k: int,
    axis: None | int = -1,
    keepdims: bool = False,
    *,
    largest: bool = False,
    stream: StreamOrDevice = None,
) -> TopKResult: ...
def quantile(
    a: array,
    /,
    q: float | Sequence[Any] | array,
    axis: None | int | Sequence[int] = None,
    keepdims: bool = False,
    method: Literal[
        "inverted_cdf",
        "averaged_inverted_cdf",
        "closest_observation",
        "interpolated_inverted_cdf",
        "hazen",
        "weibull",
        "linear",
        "median_unbiased",
        "normal_unbiased",
        "lower",
        "higher",
        "nearest",
        "midpoint",
    ] = "linear",
    *,
    stream: StreamOrDevice = None,
) -> array: ...
def default_index_gradient() -> Literal["stop", "zero", "error"]: ...
def set_default_index_gradient(mode: Literal["stop", "zero", "error"]) -> None: ...

class index_gradient:
    def __init__(self, mode: Literal["stop", "zero", "error"]) -> None: ...
    @property
    def mode(self) -> Literal["stop", "zero", "error"]: ...
    def __enter__(self) -> index_gradient: ...
    def __exit__(self, *exception: object) -> None: ...

def selection_info() -> dict[str, Any]: ...
def selection_threads() -> int: ...
def set_selection_threads(threads: int) -> None: ...
