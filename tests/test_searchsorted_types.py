"""searchsorted compares integers of any two types as integers."""

import bisect

import mlx.core as mx
import numpy as np
import pytest

SIGNED = [mx.int8, mx.int16, mx.int32, mx.int64]
UNSIGNED = [mx.uint8, mx.uint16, mx.uint32, mx.uint64]
SIDES = {"left": bisect.bisect_left, "right": bisect.bisect_right}
EDGES = [0, 1, 5, 5, 2**7, 2**15, 2**24 + 1, 2**25 + 1, 2**31, 2**32 - 1, 2**40 + 1]
EDGES += [2**53 + 1, 2**53 + 2, 2**62 + 1, 2**63 - 2, 2**63 - 1, 2**63, 2**64 - 1]
NEGATIVE = [-(2**63), -(2**63) + 1, -(2**53) - 1, -(2**31), -129, -128, -1]


def numbers(dtype):
    """Returns the edge cases that the type can represent, and their neighbours."""
    limits = mx.iinfo(dtype)
    near = {n + step for n in NEGATIVE + EDGES for step in (-1, 0, 1)}
    return sorted(n for n in near if limits.min <= n <= limits.max)


def search(sequence, keys, side, types):
    a, b = (
        mx.array(np.array(n, str(t).removeprefix("mlx.core.")))
        for n, t in zip((sequence, keys), types, strict=True)
    )
    return a, b, mx.searchsorted(a, b, side=side)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("keys", SIGNED + UNSIGNED, ids=str)
@pytest.mark.parametrize("sequence", SIGNED + UNSIGNED, ids=str)
def test_integers_of_two_types_are_compared_exactly(sequence, keys, side):
    inside, wanted = numbers(sequence), numbers(keys)
    a, b, found = search(inside, wanted, side, (sequence, keys))
    expected = [SIDES[side](inside, n) for n in wanted]
    assert found.tolist() == expected and found.dtype == mx.uint32
    for f in (mx.compile, lambda f: mx.compile(f, shapeless=True)):
        compiled = f(lambda a, b: mx.searchsorted(a, b, side))
        assert compiled(a[:3], b).tolist() == [
            SIDES[side](inside[:3], n) for n in wanted
        ]
        assert compiled(a, b).tolist() == expected
    rows = mx.vmap(lambda b: mx.searchsorted(a, b, side))(b[:, None])
    assert rows.squeeze(1).tolist() == expected
    empty = mx.searchsorted(a[:0], b, side)
    assert empty.tolist() == [0] * len(wanted)


def test_mixed_integers_keep_the_errors_and_the_shapes_of_searchsorted():
    a, b = mx.array([1, 2], mx.uint64), mx.array([[-1], [2]])
    assert mx.searchsorted(a, b).tolist() == [[0], [1]]
    assert mx.searchsorted(a, mx.array(2)).shape == ()
    with pytest.raises(ValueError, match="must be 1-D"):
        mx.searchsorted(a[None], b)
    with pytest.raises(ValueError, match="Invalid side 'middle'"):
        mx.searchsorted(a, b, side="middle")


def test_a_float_and_an_integer_are_compared_in_the_floating_type():
    odd = mx.array([2**24 + 1], mx.int32)
    assert mx.searchsorted(mx.array([2.0**24]), odd).item() == 0
    assert mx.searchsorted(odd, mx.array([2.0**24])).item() == 0
    wide = mx.array([2.0**24], mx.float64)
    with mx.stream(mx.cpu):
        assert mx.searchsorted(wide, odd).item() == 1
    assert mx.searchsorted(mx.array([2048.0], mx.float16), mx.array([2049])).item() == 0
