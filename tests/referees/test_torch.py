"""torch as a referee: its samples (OpInfo) for the ops that both libraries have.

Values, the order of stable sorts, and gradients are compared.
"""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db

from cases import mx_array, numpy_of

# How many samples torch has per dtype, and how many of those are 0-d.
COUNTS = {
    "topk": (14, 7),
    "sort": (58, 3),
    "argsort": (58, 3),
    "msort": (2, 0),
    "kthvalue": (10, 3),
    "median": (13, 3),
    "quantile": (60, 14),
    "argmax": (13, 3),
    "argmin": (13, 3),
    "searchsorted": (288, 0),
}
OPS = {op.name: op for op in op_db if op.name in COUNTS}
NUMBERS = [
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
]


def samples_of(name, dtype, requires_grad=False):
    torch.manual_seed(0)
    samples = list(OPS[name].sample_inputs("cpu", dtype, requires_grad))
    scalars = sum(sample.input.ndim == 0 for sample in samples)
    assert (len(samples), scalars) == COUNTS[name]
    return samples


def run_torch(name, sample):
    return OPS[name](sample.input, *sample.args, **sample.kwargs)


def numpy_from(tensor):
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def mlx_from(tensor):
    name = str(tensor.dtype).split(".")[-1]
    dtype = mx.bool_ if name == "bool" else getattr(mx, name)
    return mx_array(numpy_from(tensor), dtype)


def equal(ours, theirs):
    theirs = theirs if isinstance(theirs, mx.array) else mlx_from(theirs)
    np.testing.assert_array_equal(numpy_of(ours), numpy_of(theirs))


def take(a, indices, axis):
    return mx.take_along_axis(a, indices.astype(mx.int64), axis)


# ---- our ops with the parameters of torch's samples ---------------------------


def topk(a, k, dim=-1, largest=True, sorted=True):
    return mx.topk(a, k, dim, largest=largest, sorted=sorted, return_indices=True)


def sort(a, dim=-1, descending=False, stable=False):
    # torch's default is a sort that is not stable. That of MLX is stable for both.
    options = {"descending": descending, "stable": stable}
    return mx.TopKResult(mx.sort(a, dim, **options), mx.argsort(a, dim, **options))


def msort(a):
    return mx.sort(a, 0)


def kthvalue(a, k, dim=-1, keepdim=False):
    return mx.kthvalue(a, k, dim, keepdim).values


def median(a, dim=None, keepdim=False):
    """Returns the lower of the two elements in the middle, as torch's median is."""
    n = a.size if dim is None or a.ndim == 0 else a.shape[dim]
    return mx.kthvalue(a, (n + 1) // 2, dim, keepdim).values


def quantile(a, q, dim=None, keepdim=False, interpolation="linear"):
    q = mlx_from(q) if isinstance(q, torch.Tensor) else q
    return mx.quantile(a, q, dim, keepdim, method=interpolation)


def only(a, i, dim, keepdim):
    """Returns element ``i`` of an axis. The axis stays only if ``keepdim`` is true."""
    return mx.take(a, mx.array([i]) if keepdim else i, dim)


# ---- the comparisons, one for each op -----------------------------------------


def check_topk(a, theirs, k, dim=-1, largest=True, sorted=True):
    assert sorted, "no sample leaves the order to torch"
    ours = topk(a, k, dim, largest)
    equal(ours.values, theirs.values)
    equal(take(a, ours.indices, dim), theirs.values)
    unsorted = mx.sort(mx.topk(a, k, dim, largest=largest), dim)
    equal(unsorted, torch.sort(theirs.values, dim).values)


def check_sort(a, theirs, dim=-1, descending=False, stable=False):
    ours = sort(a, dim, descending)
    equal(ours.values, theirs.values)
    equal(take(a, ours.indices, dim), theirs.values)
    if stable:
        equal(ours.indices, theirs.indices)
    mode = "largest" if descending else "smallest"
    chosen = mx.top_k(a, a.shape[dim], axis=dim, mode=mode)
    equal(chosen.indices, ours.indices)


def check_argsort(a, theirs, dim=-1, descending=False, stable=False):
    ours = mx.argsort(a, dim, descending=descending)
    equal(take(a, ours, dim), take(a, mlx_from(theirs), dim))


def check_msort(a, theirs):
    equal(msort(a), theirs)
    equal(take(a, mx.argsort(a, 0), 0), theirs)


def check_kthvalue(a, theirs, k, dim=-1, keepdim=False):
    ours = mx.kthvalue(a, k, dim, keepdim)
    equal(ours.values, theirs.values)
    kept = ours.indices if keepdim else mx.expand_dims(ours.indices, dim)
    equal(only(take(a, kept, dim), 0, dim, keepdim), theirs.values)
    kth = mx.partition(a, k - 1, dim)
    equal(only(kth, k - 1, dim, keepdim), theirs.values)
    fetched = take(a, mx.argpartition(a, k - 1, dim), dim)
    equal(only(fetched, k - 1, dim, keepdim), theirs.values)
    smallest = mx.top_k(a, k, axis=dim, mode="smallest").values
    equal(only(smallest, k - 1, dim, keepdim), theirs.values)


def check_median(a, theirs, dim=None, keepdim=False):
    theirs = theirs if dim is None else theirs.values
    equal(median(a, dim, keepdim), theirs)
    lower = mx.quantile(a, 0.5, dim, keepdim, method="lower")
    equal(lower, mlx_from(theirs).astype(lower.dtype))


def check_quantile(a, theirs, *args, **kwargs):
    # torch computes the place in the type of the array, and interpolates otherwise.
    ours = quantile(a, *args, **kwargs)
    assert ours.shape == tuple(theirs.shape)
    tolerance = 1e-6 if a.dtype == mx.float32 else 1e-14
    np.testing.assert_allclose(
        numpy_of(ours), numpy_from(theirs), rtol=tolerance, atol=tolerance
    )


def check_argmax(a, theirs, dim=None, keepdim=False):
    equal(mx.argmax(a, dim, keepdim), theirs)


def check_argmin(a, theirs, dim=None, keepdim=False):
    equal(mx.argmin(a, dim, keepdim), theirs)


def check_searchsorted(
    a, theirs, values, *, out_int32, right=False, side="left", sorter=None
):
    side = "right" if right else side
    sorter = None if sorter is None else mlx_from(sorter)
    is_tensor = isinstance(values, torch.Tensor)
    values = mlx_from(values) if is_tensor else mx.array(values, a.dtype)
    equal(mx.searchsorted(a, values, side, axis=-1, sorter=sorter), theirs)
    # The search of each row alone, without the new arguments.
    a = a if sorter is None else take(a, sorter, -1)
    if a.ndim == 1:
        return equal(mx.searchsorted(a, values, side), theirs)
    rows = zip(a.flatten(0, -2), values.flatten(0, -2), strict=True)
    ours = [np.array(mx.searchsorted(row, wanted, side)) for row, wanted in rows]
    np.testing.assert_array_equal(np.reshape(ours, values.shape), numpy_from(theirs))


CHECKS = {
    "topk": (check_topk, NUMBERS),
    "sort": (check_sort, [torch.bool, *NUMBERS]),
    "argsort": (check_argsort, [torch.bool, *NUMBERS]),
    "msort": (check_msort, [torch.bool, *NUMBERS]),
    "kthvalue": (check_kthvalue, NUMBERS),
    "median": (check_median, NUMBERS),
    "quantile": (check_quantile, [torch.float32, torch.float64]),
    "argmax": (check_argmax, NUMBERS),
    "argmin": (check_argmin, NUMBERS),
    "searchsorted": (check_searchsorted, NUMBERS),
}


# torch warns that samples that are not contiguous are slow.
@pytest.mark.filterwarnings("ignore:.*non-contiguous:UserWarning")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name, (_, dtypes) in CHECKS.items() for dtype in dtypes],
    ids=str,
)
def test_every_sample_of_torch(name, dtype):
    check, _ = CHECKS[name]
    for sample in samples_of(name, dtype):
        a = mlx_from(sample.input)
        theirs = run_torch(name, sample)
        reduces_all = name in ("argmax", "argmin", "median", "quantile")
        flattens = reduces_all and "dim" not in sample.kwargs
        if a.ndim == 0 and not flattens:
            # In torch a scalar has an axis of one element, in MLX it has none.
            with pytest.raises(IndexError, match="with 0 dimensions"):
                check(a, theirs, *sample.args, **sample.kwargs)
        else:
            check(a, theirs, *sample.args, **sample.kwargs)


@pytest.mark.parametrize("name", CHECKS)
def test_no_dtype_of_torch_is_left_out(name):
    assert OPS[name].supported_dtypes("cpu") == set(CHECKS[name][1])


# ---- gradients ----------------------------------------------------------------

VALUES = {
    "topk": lambda a, *args, **kwargs: topk(a, *args, **kwargs).values,
    "sort": lambda a, *args, **kwargs: sort(a, *args, **kwargs).values,
    "msort": msort,
    "kthvalue": kthvalue,
    "median": median,
}

differentiable = pytest.mark.parametrize("name", VALUES)


# torch promises an order of equal elements only for its stable sort. That order is the
# same as ours. The functions below therefore express each op by a stable sort.


def stable_sort(a, dim=-1, descending=False, stable=True):
    return torch.sort(a, dim=dim, descending=descending, stable=True).values


def stable_topk(a, k, dim=-1, largest=True, sorted=True):
    return stable_sort(a, dim, largest).narrow(dim, 0, k)


def stable_msort(a):
    return stable_sort(a, 0)


def stable_kthvalue(a, k, dim=-1, keepdim=False):
    kth = stable_sort(a, dim).narrow(dim, k - 1, 1)
    return kth if keepdim else kth.squeeze(dim)


def stable_median(a, dim=None, keepdim=False):
    if dim is None:
        return stable_kthvalue(a.flatten(), (a.numel() + 1) // 2, 0)
    return stable_kthvalue(a, (a.shape[dim] + 1) // 2, dim, keepdim)


STABLE_VALUES = {
    "median": stable_median,
    "topk": stable_topk,
    "sort": stable_sort,
    "msort": stable_msort,
    "kthvalue": stable_kthvalue,
}


def assert_same_gradient(op, torch_op, leaf, sample, compare=equal):
    """Compares the gradients of a weighted sum of the values that the ops return."""
    leaf = leaf.detach().requires_grad_()
    theirs = torch_op(leaf, *sample.args, **sample.kwargs)
    theirs = theirs if isinstance(theirs, torch.Tensor) else theirs.values
    weights = torch.arange(1.0, theirs.numel() + 1).reshape(theirs.shape)
    (weights * theirs).sum().backward()

    def loss(a):
        return (mlx_from(weights) * op(a, *sample.args, **sample.kwargs)).sum()

    compare(mx.grad(loss)(mlx_from(leaf)), leaf.grad)


def samples_with_an_axis(name):
    samples = samples_of(name, torch.float32, requires_grad=True)
    assert all(sample.input.requires_grad for sample in samples)
    return [sample for sample in samples if sample.input.ndim]


@differentiable
def test_gradients_are_those_of_torch(name):
    for sample in samples_with_an_axis(name):
        assert sample.input.unique().numel() == sample.input.numel()
        assert_same_gradient(VALUES[name], OPS[name], sample.input, sample)


@differentiable
def test_gradients_under_ties_are_those_of_torchs_stable_sort(name):
    for sample in samples_with_an_axis(name):
        four_values = sample.input.remainder(4).floor()
        assert_same_gradient(VALUES[name], STABLE_VALUES[name], four_values, sample)


def close(ours, theirs):
    # The two interpolate with weights that are rounded otherwise.
    np.testing.assert_allclose(numpy_of(ours), numpy_from(theirs), rtol=1e-4, atol=1e-5)


def test_gradients_of_quantiles_are_those_of_torch():
    for sample in samples_with_an_axis("quantile"):
        assert sample.input.unique().numel() == sample.input.numel()
        assert_same_gradient(
            quantile, OPS["quantile"], sample.input, sample, compare=close
        )
