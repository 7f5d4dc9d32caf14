"""Compares each function of mlx.nn.routing with the formula in its docstring."""

import doctest
import importlib
import itertools
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
from mlx.nn import routing
from transforms_of import assert_all_paths_agree, close, normal, scaled_gradient

# ---- straight_through --------------------------------------------------------


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
def test_straight_through_returns_hard_and_differentiates_soft(dtype):
    hard = mx.array([1.0, -0.0, 0.0, 1e-3, -mx.inf, mx.nan, 3.3, 0.1]).astype(dtype)
    x, c = normal(0, 8).astype(dtype), normal(1, 8).astype(dtype)

    def out(x):
        return routing.straight_through(hard, mx.softmax(x) * 3)

    unsigned = mx.uint32 if dtype == mx.float32 else mx.uint16
    assert mx.array_equal(out(x).view(unsigned), hard.view(unsigned)).item()
    _, (got,) = mx.vjp(out, [x], [c])
    _, (wanted,) = mx.vjp(lambda x: mx.softmax(x) * 3, [x], [c])
    assert mx.array_equal(got, wanted).item() and got.dtype == dtype


def test_straight_through_gives_hard_no_gradient():
    hard, soft = normal(0, 5), normal(1, 5)
    f = mx.grad(lambda h, s: routing.straight_through(h**2, s**2).sum(), (0, 1))
    to_hard, to_soft = f(hard, soft)
    assert to_hard.tolist() == [0.0] * 5
    close(to_soft, 2 * soft)


def test_straight_through_gives_no_gradient_to_infinite_or_nan_entries():
    soft = mx.array([1.0, mx.inf, -mx.inf, mx.nan])
    f = mx.value_and_grad(lambda s: routing.straight_through(mx.ones(4), s).sum())
    value, gradient = f(soft)
    assert value.item() == 4 and gradient.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("again", [False, True], ids=["first", "second"])
def test_straight_through_under_every_transform(again):
    def loss(x):
        hard = (x > mx.median(x)).astype(x.dtype)
        mask = routing.straight_through(hard, mx.softmax(x))
        return (mask * x**2).sum()

    assert_all_paths_agree(scaled_gradient(loss) if again else loss, normal(2, 3, 7))


# ---- dense_router ------------------------------------------------------------

EXPERTS, K, SIZE = 6, 2, 3


def mixture(z, outputs, renormalize=False, mean=None):
    """Returns the output of dense_router, and the indices and weights it was given."""
    probs = mx.softmax(z, axis=-1)
    indices = mx.topk(probs, K, return_indices=True).indices
    weights = mx.take_along_axis(probs, indices, axis=-1)
    if renormalize:
        weights = weights / weights.sum(axis=-1, keepdims=True)
    if mean is not None:
        outputs = mx.take_along_axis(outputs, indices[..., None], axis=-2)
    y = routing.dense_router(probs, indices, outputs, weights, mean)
    return y, indices, weights


@pytest.mark.parametrize("renormalize", [False, True])
def test_dense_router_returns_the_sparse_mixture(renormalize):
    z, outputs = normal(0, 4, 5, EXPERTS), normal(1, 4, 5, EXPERTS, SIZE)
    y, indices, weights = mixture(z, outputs, renormalize)
    chosen = mx.take_along_axis(outputs, indices[..., None], axis=-2)
    sparse = (weights[..., None, :] @ chosen).squeeze(-2)
    assert mx.array_equal(y, sparse).item()


@pytest.mark.parametrize("renormalize", [False, True])
def test_dense_router_gives_the_gate_the_gradient_of_the_dense_mixture(renormalize):
    z, outputs, c = normal(0, 7, EXPERTS), normal(1, 7, EXPERTS, SIZE), normal(2, 7, 3)

    def sparse(z):
        return (c * mixture(z, outputs, renormalize)[0]).sum()

    def dense(z):
        return (c * (mx.softmax(z, -1)[..., None] * outputs).sum(-2)).sum()

    close(mx.grad(sparse)(z), mx.grad(dense)(z))


def test_dense_router_gives_chosen_experts_the_sparse_gradient_and_others_zero():
    z, outputs, c = normal(0, 7, EXPERTS), normal(1, 7, EXPERTS, SIZE), normal(2, 7, 3)
    got = np.array(mx.grad(lambda o: (c * mixture(z, o)[0]).sum())(outputs))
    _, indices, weights = mixture(z, outputs)
    wanted = np.zeros(outputs.shape, np.float32)
    for row, (chosen, ws) in enumerate(
        zip(np.array(indices), np.array(weights), strict=True)
    ):
        for expert, w in zip(chosen, ws, strict=True):
            wanted[row, expert] = w * np.array(c)[row]
    np.testing.assert_array_equal(got != 0, wanted != 0)
    close(got, wanted)


def test_an_infinite_output_of_an_expert_not_chosen_has_no_effect():
    outputs = mx.array([[1.0], [2.0], [mx.inf]])
    y = routing.dense_router(mx.array([0.5, 0.3, 0.2]), mx.array([0]), outputs)
    assert y.tolist() == [0.5]


def test_with_a_mean_experts_not_chosen_count_with_their_mean_output():
    z, outputs, c = normal(0, 7, EXPERTS), normal(1, 7, EXPERTS, SIZE), normal(2, 7, 3)
    mean = normal(3, EXPERTS, SIZE)
    y, indices, _ = mixture(z, outputs, mean=mean)
    close(y, mixture(z, outputs)[0])
    is_chosen = mx.any(indices[..., None] == mx.arange(EXPERTS), axis=-2)
    filled = mx.where(is_chosen[..., None], outputs, mean)
    got = mx.grad(lambda z: (c * mixture(z, outputs, mean=mean)[0]).sum())(z)
    wanted = mx.grad(lambda z: (c * mixture(z, filled)[0]).sum())(z)
    close(got, wanted)
    to_mean = mx.grad(lambda m: (c * mixture(z, outputs, mean=m)[0]).sum())(mean)
    assert not mx.any(to_mean).item()


@pytest.mark.parametrize("again", [False, True], ids=["first", "second"])
@pytest.mark.parametrize("mean", [None, normal(3, EXPERTS, SIZE)], ids=["all", "mean"])
def test_dense_router_under_every_transform(again, mean):
    def loss(z):
        outputs = mx.tanh(z[:, None] * mx.arange(1.0, 1 + SIZE))
        return (mixture(z, outputs, mean=mean)[0] ** 2).sum()

    assert_all_paths_agree(
        scaled_gradient(loss) if again else loss, normal(4, 3, EXPERTS)
    )


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_dense_router_in_half_types(dtype):
    z, outputs = normal(0, 7, EXPERTS), normal(1, 7, EXPERTS, SIZE).astype(dtype)

    def loss(z, outputs):
        return mixture(z, outputs)[0].astype(mx.float32).square().sum()

    got = mx.grad(loss, (0, 1))(z, outputs)
    wanted = mx.grad(loss, (0, 1))(z, outputs.astype(mx.float32))
    assert [g.dtype for g in got] == [mx.float32, dtype]
    for g, w in zip(got, wanted, strict=True):
        close(g.astype(mx.float32), w, rtol=0.05, atol=0.05)


def test_the_running_mean_is_updated_for_chosen_experts_only():
    mean = mx.array([[1.0], [2.0], [3.0]])
    outputs, indices = mx.array([[[4.0], [6.0]]]), mx.array([[0, 0]])
    got = routing.update_expert_mean(mean, outputs, indices, decay=0.75)
    close(got, [[0.75 * 1 + 0.25 * 5], [2], [3]])
    assert routing.update_expert_mean(mean, outputs, indices, decay=0).tolist() == [
        [5],
        [2],
        [3],
    ]


# ---- sample_topk -------------------------------------------------------------


def closed_form(z, order):
    """Computes the Plackett-Luce probability of ``order`` from its definition."""
    weights = np.exp(np.asarray(z, np.float64))
    probability, left = 1.0, weights.sum()
    for i in order:
        probability *= weights[i] / left
        left -= weights[i]
    return probability


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
def test_the_log_probability_is_that_of_plackett_luce(dtype):
    z = (2 * normal(0, 50, 6)).astype(dtype)
    for k in (0, 1, 3, 6):
        indices, log_prob = routing.sample_topk(z, k, mx.random.key(k))
        assert indices.shape == (50, k) and indices.dtype == mx.uint32
        assert log_prob.dtype == mx.float32
        wanted = [
            np.log(closed_form(row, order))
            for row, order in zip(
                np.array(z.astype(mx.float32)), np.array(indices), strict=True
            )
        ]
        close(log_prob, wanted, rtol=1e-4, atol=1e-5)
        assert all(len(set(row)) == k for row in indices.tolist())


def test_draws_occur_as_often_as_their_probability_says():
    z = mx.array([0.5, -1.0, 1.5, 0.0])
    draws = 200_000
    many = mx.broadcast_to(z, (draws, 4))
    indices, _ = routing.sample_topk(many, 2, mx.random.key(3))
    codes, counts = np.unique(np.array(indices) @ [4, 1], return_counts=True)
    found = dict(zip(codes.tolist(), (counts / draws).tolist(), strict=True))
    orders = list(itertools.permutations(range(4), 2))
    assert sorted(found) == sorted(4 * i + j for i, j in orders)
    for i, j in orders:
        p = closed_form(z, (i, j))
        assert abs(found[4 * i + j] - p) < 5 * np.sqrt(p / draws)


def test_the_score_function_is_unbiased():
    """Compares the estimate with the gradient of the exact mean over all 30 pairs."""
    z, table = normal(5, 6), normal(6, 6, 6)
    orders = mx.array(list(itertools.permutations(range(6), 2)))

    def expected(z):
        total = 0
        for i, j in orders.tolist():
            left = mx.logsumexp(mx.where(mx.arange(6) == i, -mx.inf, z))
            log_p = z[i] - mx.logsumexp(z) + z[j] - left
            total = total + mx.exp(log_p) * table[i, j]
        return total

    draws = 400_000

    def surrogate(z, key):
        many = mx.broadcast_to(z, (draws, 6))
        indices, log_prob = routing.sample_topk(many, 2, key)
        loss = table[indices[:, 0], indices[:, 1]]
        others = (loss.sum() - loss) / (draws - 1)
        return (mx.stop_gradient(loss - others) * log_prob).mean()

    wanted = np.array(mx.grad(expected)(z), np.float64)
    got = np.mean(
        [np.array(mx.grad(surrogate)(z, mx.random.key(s))) for s in range(5)], axis=0
    )
    cosine = got @ wanted / np.linalg.norm(got) / np.linalg.norm(wanted)
    assert cosine > 0.9995
    assert np.linalg.norm(got - wanted) < 0.01 * np.linalg.norm(wanted)


def test_masked_entries_are_drawn_last_and_have_probability_zero():
    z = mx.array([[0.0, -mx.inf, 1.0, -mx.inf]])
    for seed in range(20):
        indices, log_prob = routing.sample_topk(z, 3, mx.random.key(seed))
        assert set(indices[0, :2].tolist()) == {0, 2} and log_prob.item() == -mx.inf
        indices, log_prob = routing.sample_topk(z, 2, mx.random.key(seed))
        assert np.isfinite(log_prob.item())
        for k in (2, 3):
            gradient = mx.grad(
                lambda z, k=k, s=seed: routing.sample_topk(z, k, mx.random.key(s))[
                    1
                ].sum()
            )(z)
            assert mx.all(mx.isfinite(gradient)).item()
            assert gradient[0, 1].item() == gradient[0, 3].item() == 0


def test_a_nan_logit_gives_a_nan_log_probability():
    z = mx.array([0.0, mx.nan, 1.0])
    assert np.isnan(routing.sample_topk(z, 2, mx.random.key(0))[1].item())


@pytest.mark.parametrize("again", [False, True], ids=["first", "second"])
def test_sample_topk_under_every_transform(again):
    key = mx.random.key(9)

    def loss(z):
        return routing.sample_topk(z, 2, key)[1] ** 2

    assert_all_paths_agree(scaled_gradient(loss) if again else loss, normal(7, 3, 5))


def test_without_a_key_draws_differ_and_follow_the_global_seed():
    mx.random.seed(0)
    z = mx.zeros(1000)
    first, second = (routing.sample_topk(z, 5)[0].tolist() for _ in range(2))
    mx.random.seed(0)
    assert first != second and routing.sample_topk(z, 5)[0].tolist() == first


# ---- bad arguments and examples ----------------------------------------------

Z = mx.zeros((4, 8))
I2 = mx.zeros((4, 2), mx.uint32)
BAD = [
    (
        lambda: routing.straight_through(Z, mx.zeros(8)),
        "[straight_through] soft must have shape (4,8), got (8).",
    ),
    (
        lambda: routing.straight_through(Z, Z.astype(mx.int32)),
        "[straight_through] soft must be floating, got mlx.core.int32.",
    ),
    (
        lambda: routing.dense_router(Z, I2, mx.zeros((4, 7, 3))),
        "[dense_router] outputs must have shape (4,8,3), got (4,7,3).",
    ),
    (
        lambda: routing.dense_router(Z, I2, mx.zeros((4, 8, 3)), mean=mx.zeros((8, 3))),
        "[dense_router] outputs must have shape (4,2,3), got (4,8,3).",
    ),
    (
        lambda: routing.dense_router(Z, I2, Z),
        "[dense_router] probs (...,E), indices (...,k) and outputs (...,E,D) or "
        "(...,k,D) are needed, got shapes (4,8), (4,2) and (4,8).",
    ),
    (
        lambda: routing.dense_router(Z, Z, mx.zeros((4, 8, 3))),
        "[dense_router] indices must be integers, got mlx.core.float32.",
    ),
    (
        lambda: routing.sample_topk(Z, 9),
        "[sample_topk] k must be between 0 and 8 for axis 1 of an array with shape "
        "(4,8), got 9.",
    ),
    (
        lambda: routing.load_balance_loss(Z, mx.zeros((3, 2), mx.uint32)),
        "[load_balance_loss] indices must have shape (4,2), got (3,2).",
    ),
    (
        lambda: routing.router_z_loss(Z.astype(mx.int32)),
        "[router_z_loss] logits must be floating, got mlx.core.int32.",
    ),
    (
        lambda: routing.update_expert_bias(Z, I2),
        "[update_expert_bias] bias must have shape (E,), got (4,8).",
    ),
    (
        lambda: routing.update_expert_mean(Z, mx.zeros((4, 2, 8)), I2, 1.5),
        "[update_expert_mean] decay must be between 0 and 1, got 1.5.",
    ),
]


@pytest.mark.parametrize("call, message", BAD, ids=[m for _, m in BAD])
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("name", sorted(routing.__all__))
def test_examples_of_docstrings(name):
    public = getattr(routing, name)
    module = importlib.import_module(public.__module__)
    assert public.__doc__ and public.__module__.startswith("mlx.nn.routing.")
    test = doctest.DocTestParser().get_doctest(public.__doc__, {}, name, None, 0)
    assert bool(test.examples) == (name not in NO_EXAMPLE)
    assert doctest.DocTestRunner().run(test).failed == 0
    assert module.__doc__


NO_EXAMPLE = {"Experts", "PatchedGates", "Routing", "update_expert_mean"}


def test_mlx_nn_does_not_import_routing_by_itself():
    program = (
        "import mlx.nn as nn; assert not hasattr(nn, 'routing'); "
        "import mlx.nn.routing; assert nn.routing.soft_topk; "
        "from mlx.nn import routing; print(len(routing.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert int(done.stdout) == len(routing.__all__), done.stderr
