"""Checks of arguments, which raise errors worded like those of MLX."""

import operator
from typing import Any

import mlx.core as mx


def shape_of(x: mx.array) -> str:
    """Formats the shape as MLX does in its errors."""
    return "(" + ",".join(map(str, x.shape)) + ")"


def check_floating(op: str, name: str, x: mx.array) -> None:
    if not mx.issubdtype(x.dtype, mx.floating):
        raise ValueError(f"[{op}] {name} must be floating, got {x.dtype}.")


def checked_axis(op: str, x: mx.array, axis: int) -> int:
    """Returns the axis counted from 0."""
    if not -x.ndim <= axis < x.ndim:
        raise IndexError(
            f"[{op}] There is no axis {axis} in an array with {x.ndim} dimensions."
        )
    return axis % x.ndim


def checked_integer(op: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"[{op}] {name} must be an integer, got {value!r}.")
    return operator.index(value)


def checked_k(op: str, k: Any, x: mx.array, axis: int) -> int:
    k = checked_integer(op, "k", k)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(
            f"[{op}] k must be between 0 and {x.shape[axis]} for axis {axis} of an "
            f"array with shape {shape_of(x)}, got {k}."
        )
    return k


def checked_positive(op: str, name: str, value: float) -> float:
    if isinstance(value, mx.array):
        raise TypeError(f"[{op}] {name} must be a number, got an array.")
    if not 0 < value < float("inf"):
        raise ValueError(f"[{op}] {name} must be positive and finite, got {value}.")
    return float(value)


def checked_choice(op: str, name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"[{op}] {name} must be one of {listed}, got {value!r}.")
    return value


def check_shape(op: str, name: str, x: mx.array, wanted: tuple[int, ...]) -> None:
    if x.shape != wanted:
        expected = "(" + ",".join(map(str, wanted)) + ")"
        raise ValueError(
            f"[{op}] {name} must have shape {expected}, got {shape_of(x)}."
        )


def check_indices(op: str, indices: mx.array) -> None:
    if not mx.issubdtype(indices.dtype, mx.integer):
        raise ValueError(f"[{op}] indices must be integers, got {indices.dtype}.")


def checked_mask(op: str, mask: mx.array, shape: tuple[int, ...]) -> mx.array:
    """Returns the mask, broadcast to ``shape``."""
    if mask.dtype != mx.bool_:
        raise ValueError(f"[{op}] mask must be bool, got {mask.dtype}.")
    # A mask with more dimensions, or with a longer axis, does not broadcast.
    sizes = (1,) * (len(shape) - mask.ndim) + mask.shape
    fits = all(size in (1, n) for size, n in zip(sizes, shape, strict=False))
    if mask.ndim > len(shape) or not fits:
        wanted = "(" + ",".join(map(str, shape)) + ")"
        raise ValueError(
            f"[{op}] mask must broadcast to shape {wanted}, got {shape_of(mask)}."
        )
    return mx.broadcast_to(mask, shape)
