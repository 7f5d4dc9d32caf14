# Copyright © 2026 the mlx-topk authors. MIT licence.

"""The contract of selection in plain Python and NumPy: slow, and simple to check.

The repository's docs/topk.md states the contract in words.
"""

import numpy as np


def _is_nan(value):
    return value != value


def _position(value):
    """Returns the sort key of an element that is not NaN."""
    value = value.item()
    return (value.real, value.imag) if isinstance(value, complex) else value


def best_first(row, largest):
    """Returns a row's indices, best first. NaN is greatest; lower indices win ties."""
    indices = range(len(row))
    nans = [i for i in indices if _is_nan(row[i])]
    others = [i for i in indices if not _is_nan(row[i])]
    # sorted() is stable with reverse=True too: equal elements keep their order.
    others = sorted(others, key=lambda i: _position(row[i]), reverse=largest)
    return nans + others if largest else others + nans


def order(row, largest):
    """Returns what best_first does, faster, for rows of real numbers."""
    if row.dtype.kind == "f":
        nan = np.isnan(row)
        key = np.where(nan, 0, row)
        last = ~nan if largest else nan
        return np.lexsort((-key if largest else key, last))
    if largest:
        # Reversing before and after the sort keeps ties in order of their indices.
        return len(row) - 1 - np.argsort(row[::-1], kind="stable")[::-1]
    return np.argsort(row, kind="stable")


def topk_indices(a, k, axis=-1, largest=True):
    """Returns the indices of the k best along an axis, best first."""
    rows = np.moveaxis(a, axis, -1)
    out = np.empty((*rows.shape[:-1], k), np.uint32)
    for where in np.ndindex(rows.shape[:-1]):
        out[where] = best_first(rows[where], largest)[:k]
    return np.moveaxis(out, -1, axis)


def topk(a, k, axis=-1, largest=True):
    indices = topk_indices(a, k, axis, largest)
    return np.take_along_axis(a, indices.astype(np.int64), axis), indices


def topk_gradient(a, k, weights, axis=-1, largest=True):
    """Returns the gradient of ``sum(weights * topk(a, k))`` with respect to ``a``."""
    gradient = np.zeros(a.shape, weights.dtype)
    indices = topk_indices(a, k, axis, largest).astype(np.int64)
    np.put_along_axis(gradient, indices, weights, axis)
    return gradient
