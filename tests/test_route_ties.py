"""``routing.route``: equal experts and groups, and logits as scores."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.nn import routing
from transforms_of import assert_all_paths_agree, normal, scaled_gradient

ROWS, EXPERTS, K = 300, 16, 5
# float64 is composed of MLX's ops, the others have a kernel.
dtypes = pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
cpu = mx.stream(mx.cpu)


def tied(seed, shape=(ROWS, EXPERTS)):
    """Returns integers from -2 to 2, with a few NaNs."""
    rng = np.random.default_rng(seed)
    a = rng.integers(-2, 3, shape).astype(np.float32)
    a[rng.random(shape) < 0.02] = np.nan
    return a


def last_of_sort(a, k):
    return np.argsort(a, axis=-1, kind="stable")[..., -k:]


@dtypes
@pytest.mark.parametrize("biased", [False, True])
def test_higher_ties_are_those_of_an_ascending_sort(dtype, biased):
    a = tied(0)
    bias = tied(1, EXPERTS) if biased else None
    wanted = last_of_sort(a + bias if biased else a, K)
    options = {"score": "logits", "renormalize": False, "ties": "higher"}
    if biased:
        options["bias"] = mx.array(bias)
    with cpu:
        logits = mx.array(a).astype(getattr(mx, dtype))
        for is_sorted in (False, True):
            weights, indices = routing.route(logits, K, sorted=is_sorted, **options)
            expected = wanted[..., ::-1] if is_sorted else wanted
            assert np.array_equal(indices, expected)
            assert weights.dtype == logits.dtype
            values = np.take_along_axis(a, expected, axis=-1)
            found = weights.astype(mx.float32)
            assert np.array_equal(found, values, equal_nan=True)


@pytest.mark.parametrize("score", ["softmax", "sigmoid", "sqrtsoftplus"])
def test_unsorted_higher_ties_are_those_of_argpartition(score):
    logits = mx.array(np.nan_to_num(tied(2)))
    _, indices, scores = routing.route(
        logits, K, score=score, sorted=False, ties="higher", return_scores=True
    )
    with cpu:
        assert mx.array_equal(indices, mx.argpartition(scores, -K)[..., -K:])
        lower = routing.route(logits, K, score=score)[1]
        assert mx.array_equal(lower, mx.argpartition(-scores, K - 1)[..., :K])
    assert not mx.array_equal(mx.sort(lower, -1), mx.sort(indices, -1))


@dtypes
@pytest.mark.parametrize("group_score", ["top2", "max"])
@pytest.mark.parametrize("ties", ["lower", "higher"])
def test_equal_groups_are_chosen_by_their_index(dtype, group_score, ties):
    a = tied(3)
    grouped = np.sort(a.reshape(ROWS, 4, -1), axis=-1)
    worth = grouped[..., -1]
    if group_score == "top2":
        worth = worth + grouped[..., -2]
    if ties == "higher":
        kept = last_of_sort(worth, 2)
    else:
        kept = np.lexsort((-worth, ~np.isnan(worth)), axis=-1)[..., :2]
    with cpu:
        _, indices = routing.route(
            mx.array(a).astype(getattr(mx, dtype)),
            K,
            score="logits",
            groups=4,
            topk_groups=2,
            group_score=group_score,
            group_ties=ties,
            excluded_score=-np.inf,
        )
    used = np.array(indices)[..., None] // 4 == kept[:, None, :]
    rows = ~np.isnan(a).any(axis=-1)
    assert rows.sum() > 100
    assert used.any(axis=-1)[rows].all()


@dtypes
@pytest.mark.parametrize("is_sorted", [False, True])
def test_renormalized_logits_are_the_softmax_of_the_chosen(dtype, is_sorted):
    def chain(x):
        x = x.astype(mx.float64 if dtype == "float64" else mx.float32)
        order = mx.argsort(-mx.stop_gradient(x), axis=-1)[..., :K]
        order = mx.stop_gradient(order if is_sorted else order[..., ::-1])
        chosen = mx.softmax(mx.take_along_axis(x, order, axis=-1), axis=-1)
        return (chosen * 1.5).astype(getattr(mx, dtype)), order

    def route(x):
        return routing.route(x, K, score="logits", sorted=is_sorted, scale=1.5)

    with cpu:
        x = (3 * normal(4, ROWS, EXPERTS)).astype(getattr(mx, dtype))
        c = normal(5, ROWS, K).astype(x.dtype)
        for got, wanted in zip(route(x), chain(x), strict=True):
            assert got.dtype == wanted.dtype and mx.array_equal(got, wanted).item()
        results = []
        for f in (route, chain):
            gradient = mx.grad(lambda x, f=f: (f(x)[0] * c).sum())(x)
            _, (tangent,) = mx.jvp(lambda x, f=f: f(x)[0], [x], [2 * x])
            results.append((gradient, tangent))
        for got, wanted in zip(*results, strict=True):
            assert mx.array_equal(got, wanted).item() and mx.any(got).item()


# MLX compiles C++ code for the compiled paths, which takes seconds.
@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
def test_softmax_of_the_chosen_under_every_transform(again):
    def loss(x):
        weights, _, scores = routing.route(
            x, 3, score="logits", ties="higher", sorted=False, return_scores=True
        )
        return (weights * mx.arange(3)).sum() + (scores**3).sum()

    assert_all_paths_agree(scaled_gradient(loss) if again else loss, normal(6, 2, 8))


def test_vmap_of_the_gradient():
    def loss(x):
        weights, _ = routing.route(x, 3, score="logits", ties="higher", scale=2.0)
        return (weights * mx.arange(3)).sum()

    x = normal(6, 5, 8)
    got = mx.vmap(mx.grad(loss))(x)
    assert mx.array_equal(got, mx.stack([mx.grad(loss)(row) for row in x])).item()
    assert mx.any(got).item()


def test_masked_experts_have_no_part_in_the_softmax():
    x = normal(7, 3, 6)
    mask = mx.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0] * 6]).astype(mx.bool_)

    def loss(x):
        weights = routing.route(x, 2, score="logits", mask=mask)[0]
        return (weights * mx.array([1.0, 3.0])).sum()

    weights, indices = routing.route(x, 2, score="logits", mask=mask)
    assert set(indices[0].tolist()) < {0, 1, 2}
    assert indices[1:].tolist() == [[3, 0], [0, 1]]
    assert np.isclose(weights[0].sum(), 1)
    assert weights[1:].tolist() == [[1, 0], [0, 0]]
    gradient = mx.grad(loss)(x)
    assert mx.any(gradient[0, :3]).item()
    assert not mx.any(mx.where(mask, 0, gradient)).item()
    assert not mx.any(gradient[1:]).item()


def test_vmap_over_the_bias():
    x, bias = normal(8, 4, 3, EXPERTS), normal(9, 4, EXPERTS)

    def route(x, bias):
        return routing.route(x, K, score="logits", ties="higher", bias=bias)

    for got, *rows in zip(mx.vmap(route)(x, bias), *map(route, x, bias), strict=True):
        assert mx.array_equal(got, mx.stack(rows)).item()


@pytest.mark.parametrize("name", ["ties", "group_ties"])
def test_an_unknown_rule_for_ties_is_an_error(name):
    with pytest.raises(ValueError, match=rf"\[route\] {name} must be one of 'lower'"):
        routing.route(mx.zeros((2, 4)), 2, **{name: "random"})
