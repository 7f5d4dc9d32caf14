"""Routers that replay given indices, and routers that choose within groups."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.nn import routing
from mlx.utils import tree_flatten
from transforms_of import assert_all_paths_agree, close, normal

EXPERTS, SIZE, TOKENS, K = 6, 4, 5, 3
SETTINGS = [(s, r) for s in ("softmax", "sigmoid") for r in (True, False)]


def router(score="softmax", renormalize=True, **options):
    mx.random.seed(0)
    return routing.TopKRouter(SIZE, EXPERTS, K, score, renormalize, **options)


def by_hand(logits, indices, score, renormalize):
    """Returns the weights of the given experts, in float64. -1 is padding."""
    z = np.array(logits).astype(float)
    scores = 1 / (1 + np.exp(-z))
    if score == "softmax":
        scores = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    weights = np.take_along_axis(scores, np.maximum(indices, 0), -1) * (indices >= 0)
    if renormalize:
        weights = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-30)
    return weights


# ---- replay ------------------------------------------------------------------


@pytest.mark.parametrize("score, renormalize", SETTINGS)
def test_replay_of_its_own_choice_changes_no_bit(score, renormalize):
    r, x = router(score, renormalize), normal(1, TOKENS, SIZE)
    chosen = r(x)
    for dtype in (mx.uint32, mx.int32, mx.int64):
        again = r(x, indices=chosen.indices.astype(dtype))
        assert again.indices.dtype == dtype
        for got, wanted in zip(again, chosen, strict=True):
            assert mx.array_equal(got, wanted).item()


@pytest.mark.parametrize("score, renormalize", SETTINGS)
def test_replay_weighs_the_given_experts_by_the_live_logits(score, renormalize):
    r, x = router(score, renormalize, balance=True), normal(1, TOKENS, SIZE)
    r.expert_bias = normal(2, EXPERTS)
    given = np.array([[5, 0, 3], [1, -1, 2], [-1, -1, 4], [-1, -1, -1], [0, 1, 2]])
    chosen = r(x, indices=mx.array(given))
    wanted = by_hand(x @ r.weight.T, given, score, renormalize)
    close(chosen.weights, wanted)
    assert chosen.weights.tolist()[3] == [0.0] * K
    assert chosen.indices.tolist() == given.tolist()

    def loss(x):
        weights = r(x, indices=mx.array(given)).weights
        return (weights * mx.arange(1.0, 1 + TOKENS * K).reshape(TOKENS, K)).sum()

    gradient = mx.grad(loss)(x)
    assert gradient[3].tolist() == [0.0] * SIZE
    assert mx.any(gradient[0]).item()
    for i, j in ((0, 0), (1, 2), (2, 1)):
        step = np.zeros((TOKENS, SIZE))
        step[i, j] = 1e-3
        ends = [
            (
                by_hand(
                    np.array(x + d) @ np.array(r.weight.T), given, score, renormalize
                )
                * np.arange(1, 1 + TOKENS * K).reshape(TOKENS, K)
            ).sum()
            for d in (mx.array(step), mx.array(-step))
        ]
        close(gradient[i, j], (ends[0] - ends[1]) / 2e-3, rtol=1e-2, atol=1e-3)


def test_replayed_weights_under_every_transform():
    r, given = router(), mx.array([[5, 0, 3], [1, -1, 2]])

    def loss(x):
        return (r(x, indices=given).weights * mx.array([1.0, 2, 4])).sum()

    assert_all_paths_agree(loss, normal(3, 3, 2, SIZE))


@pytest.mark.parametrize("gradient", ["chosen", "dense", "mean", "soft"])
def test_padding_adds_nothing_to_a_mixture_or_to_its_gradients(gradient):
    def mixture():
        mx.random.seed(0)
        moe = routing.MixtureOfExperts(SIZE, 7, EXPERTS, K, gradient)
        if gradient == "mean":
            moe.expert_mean = normal(9, EXPERTS, SIZE)
        return moe

    def found(x, given):
        moe = mixture()

        def loss(parameters, x):
            moe.update(parameters)
            return (moe(x, indices=given) ** 2).sum()

        gradients = mx.grad(loss, (0, 1))(moe.trainable_parameters(), x)
        return moe, dict(tree_flatten(gradients[0])), gradients[1]

    x = normal(1, TOKENS, SIZE)
    given = mx.array([[5, 0, 3], [1, 4, 2], [-1, -1, -1], [2, 5, 4], [0, 1, 2]])
    x[2] = mx.array([mx.nan, mx.inf, 1e30, 1.0])
    assert mixture()(x, indices=given)[2].tolist() == [0.0] * SIZE
    rows = mx.array([0, 1, 3, 4])
    moe, got, to_x = found(x, given)
    without, wanted, to_rows = found(x[rows], given[rows])
    assert to_x[2].tolist() == [0.0] * SIZE
    close(to_x[rows], to_rows, rtol=1e-4, atol=1e-5)
    for name in wanted:
        close(got[name], wanted[name], rtol=1e-4, atol=1e-5)
    if gradient == "mean":
        close(moe.expert_mean, without.expert_mean, atol=1e-7)


@pytest.mark.parametrize("gradient", ["chosen", "dense", "mean", "soft"])
def test_padding_within_a_token_is_as_a_smaller_k(gradient):
    def found(k, given):
        mx.random.seed(0)
        moe = routing.MixtureOfExperts(SIZE, 7, EXPERTS, k, gradient)
        if gradient == "mean":
            moe.expert_mean = normal(9, EXPERTS, SIZE)
        moe.router.k = len(given[0])
        x = normal(1, 2, SIZE)

        def loss(parameters):
            moe.update(parameters)
            moe.router.k = len(given[0])
            return (moe(x, indices=mx.array(given)) ** 2).sum()

        value, gradients = mx.value_and_grad(loss)(moe.trainable_parameters())
        return value, dict(tree_flatten(gradients)), moe

    value, got, moe = found(K, [[-1, 3, 1], [4, -1, 0]])
    wanted_value, wanted, small = found(K, [[3, 1], [4, 0]])
    close(value, wanted_value)
    if gradient != "soft":  # its relaxed choice has k entries, whatever is given
        for name in wanted:
            close(got[name], wanted[name], rtol=1e-4, atol=1e-5)
    if gradient == "mean":
        close(moe.expert_mean, small.expert_mean, atol=1e-7)


def test_padding_is_no_load():
    indices = mx.array([[0, 1], [2, -1], [-1, -1]])
    assert routing.expert_loads(indices, 4).tolist() == [1, 1, 1, 0]
    mask = mx.array([True, False, True])
    assert routing.expert_loads(indices, 4, mask).tolist() == [1, 1, 0, 0]
    bias = routing.update_expert_bias(mx.zeros(3), indices, 0.5)
    assert bias.tolist() == [0.0, 0.0, 0.0]
    probs = mx.softmax(normal(0, 3, 4), axis=-1)
    got = routing.load_balance_loss(probs, indices, 1.0)
    shares, mean = np.array([1, 1, 1, 0]) / 3, np.array(probs[:2]).mean(axis=0)
    close(got, 4 * (shares * mean).sum())


@pytest.mark.parametrize(
    "indices, message",
    [
        (mx.zeros((5, 3)), "indices must be integers, got mlx.core.float32."),
        (mx.zeros((5, 2), mx.int32), "indices must have shape (5,3), got (5,2)."),
    ],
)
def test_bad_indices_are_refused(indices, message):
    with pytest.raises(ValueError) as caught:
        router()(mx.zeros((TOKENS, SIZE)), indices=indices)
    assert str(caught.value) == f"[TopKRouter] {message}"


# ---- groups ------------------------------------------------------------------


def grouped_choice(preference, k, groups, topk_groups, group_score):
    """Returns the indices that a loop over the experts finds for one row."""
    size = len(preference) // groups
    tops = []
    for g in range(groups):
        best = sorted(preference[g * size : (g + 1) * size], reverse=True)
        best = [b for b in best if b > -np.inf][: 2 if group_score == "top2" else 1]
        tops.append(sum(best) if best else -np.inf)
    usable = sorted(range(groups), key=lambda g: (-tops[g], g))[:topk_groups]
    experts = [e for e in range(len(preference)) if e // size in usable]
    return sorted(experts, key=lambda e: (-preference[e], e))[:k]


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("group_score", ["top2", "max"])
@pytest.mark.parametrize("groups, topk_groups", [(2, 1), (4, 2), (4, 3), (12, 4)])
def test_a_choice_within_groups_is_that_of_a_loop(
    groups, topk_groups, group_score, balance
):
    mx.random.seed(0)
    r = routing.TopKRouter(
        8,
        12,
        4,
        score="sigmoid",
        balance=balance,
        groups=groups,
        topk_groups=topk_groups,
        group_score=group_score,
    )
    if balance:
        r.expert_bias = 0.3 * normal(7, 12)
    mask = mx.random.uniform(shape=(200, 12), key=mx.random.key(3)) < 0.9
    mask = mx.where(mask.sum(axis=-1, keepdims=True) < 12, mask, True)
    for m in (None, mask):
        chosen = r(normal(1, 200, 8), m)
        preference = np.array(chosen.probs + (r.expert_bias if balance else 0))
        preference = np.where(np.array(chosen.logits) == -np.inf, -np.inf, preference)
        for row, got in zip(preference, chosen.indices.tolist(), strict=True):
            wanted = grouped_choice(row, 4, groups, topk_groups, group_score)
            left = sum(row[e] > -np.inf for e in wanted)
            assert got[:left] == wanted[:left]


def test_all_groups_are_as_none():
    x = normal(1, 50, SIZE)
    wanted = router()(x)
    got = router(groups=3, topk_groups=3)(x)
    for a, b in zip(got, wanted, strict=True):
        assert mx.array_equal(a, b).item()


def test_the_sign_rule_balances_experts_in_groups():
    mx.random.seed(1)
    options = {"groups": 4, "topk_groups": 2}
    r = routing.TopKRouter(8, 8, 2, "sigmoid", True, True, **options)
    r.weight = r.weight + 0.12 * mx.arange(8.0)[:, None]
    x, loads = normal(2, 512, 8) + 1, []
    for _ in range(400):
        chosen = r(x)
        loads.append(routing.expert_loads(chosen.indices, 8).max().item() / 128)
        r.update_bias(chosen.indices, 0.002)
        mx.eval(r.expert_bias)
    assert loads[0] > 3 and loads[-1] < 1.3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"groups": 4}, "groups must divide the number of experts 6, got 4."),
        ({"groups": 0}, "groups must divide the number of experts 6, got 0."),
        (
            {"groups": 3, "topk_groups": 4},
            "topk_groups must be between 1 and 3, got 4.",
        ),
        (
            {"groups": 3, "topk_groups": 1},
            "1 groups of 2 experts are fewer than k = 3 experts.",
        ),
        (
            {"groups": 3, "topk_groups": 2, "group_score": "mean"},
            "group_score must be one of 'top2', 'max', got 'mean'.",
        ),
    ],
)
def test_bad_groups_are_refused(options, message):
    with pytest.raises(ValueError) as caught:
        router(**options)
    assert str(caught.value) == f"[TopKRouter] {message}"
