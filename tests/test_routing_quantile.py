"""Compares quantile balancing with its formula in NumPy, and its load with the goal."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.nn import routing
from transforms_of import close, normal

EXPERTS, K, TOKENS = 6, 2, 50


def scores_and_bias(seed=0, tokens=TOKENS, experts=EXPERTS):
    return mx.sigmoid(normal(seed, tokens, experts)), 0.1 * normal(seed + 1, experts)


def required(bias, scores, k):
    """Returns the formula's r, in float64."""
    scores = np.array(scores).astype(float)
    biased = np.sort(scores + np.array(bias), axis=1)
    return biased[:, -k - 1][:, None] - scores


def by_numpy(bias, scores, k):
    experts = len(bias)
    new = np.quantile(required(bias, scores, k), k / experts, axis=0)
    return new - new.mean()


def imbalance(indices, experts):
    loads = np.bincount(np.array(indices).ravel(), minlength=experts)
    return loads.max() / loads.mean()


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("tokens", [1, 2, 7, 50])
def test_the_bias_is_the_quantile_of_numpy(tokens, k):
    scores, bias = scores_and_bias(0, tokens)
    got = routing.quantile_expert_bias(bias, scores, k)
    close(got, by_numpy(bias, scores, k), atol=1e-6)
    shaped = routing.quantile_expert_bias(bias, scores.reshape(1, tokens, -1), k)
    assert shaped.tolist() == got.tolist()


def test_the_updates_can_be_compiled():
    def estimate(bias, scores):
        counts = routing.quantile_histogram(bias, scores, K, 100)
        return routing.histogram_expert_bias(bias, counts, K)

    def exact(bias, scores):
        return routing.quantile_expert_bias(bias, scores, K)

    scores, bias = scores_and_bias()
    for f in (exact, estimate):
        close(mx.compile(f)(bias, scores), f(bias, scores))


def test_at_fixed_thresholds_each_expert_takes_its_share_of_the_tokens():
    # If an expert is itself the threshold of a token, r is its old bias, so r has ties.
    scores, bias = scores_and_bias(2, 60)
    r = required(bias, scores, K)
    new = np.array(routing.quantile_expert_bias(bias, scores, K))
    # The mean was subtracted from all, so it is found from one expert.
    new = new + np.quantile(r, K / EXPERTS, axis=0)[0] - new[0]
    fewest = (r < new - 1e-6).sum(axis=0)
    most = (r < new + 1e-6).sum(axis=0)
    assert (fewest <= 60 * K // EXPERTS).all() and (most >= 60 * K // EXPERTS).all()
    assert (most == fewest).sum() >= 3


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_a_skewed_load_is_even_within_five_steps_of_new_tokens(score):
    mx.random.seed(1)
    router = routing.TopKRouter(8, 8, 2, score=score, balance=True)
    router.weight = router.weight + 0.12 * mx.arange(8.0)[:, None]
    loads = []
    for step in range(6):
        chosen = router(normal(step, 16384, 8) + 1)
        loads.append(imbalance(chosen.indices, 8))
        router.update_quantile_bias(chosen, iterations=4)
    assert loads[0] > 3 and loads[5] <= 1.05


def test_masked_tokens_and_tokens_with_nan_do_not_count():
    scores, bias = scores_and_bias()
    mask = mx.arange(TOKENS) % 3 != 0
    rows = mx.array(np.flatnonzero(np.array(mask)))
    wanted = routing.quantile_expert_bias(bias, scores[rows], K)
    for rubbish in (mx.nan, mx.inf, 7.0):
        dirty = mx.where(mask[:, None], scores, rubbish)
        got = routing.quantile_expert_bias(bias, dirty, K, mask)
        assert got.tolist() == wanted.tolist()
    dirty = mx.where(mask[:, None], scores, mx.nan)
    assert routing.quantile_expert_bias(bias, dirty, K).tolist() == wanted.tolist()
    counts = routing.quantile_histogram(bias, dirty, K, mask=mask)
    few = routing.quantile_histogram(bias, scores[rows], K)
    assert mx.array_equal(counts, few).item()


def test_nothing_changes_if_no_token_counts_or_all_experts_are_chosen():
    scores, bias = scores_and_bias()
    nothing = mx.array(False)
    empty = routing.quantile_histogram(bias, scores, K, mask=nothing)
    full = routing.quantile_histogram(bias, scores, EXPERTS)
    assert not mx.any(empty).item() and not mx.any(full).item()
    for got in (
        routing.quantile_expert_bias(bias, scores, K, nothing),
        routing.quantile_expert_bias(bias, scores[:0], K),
        routing.quantile_expert_bias(bias, scores, EXPERTS),
        routing.histogram_expert_bias(bias, empty, K),
        routing.histogram_expert_bias(bias, full, EXPERTS),
    ):
        assert got.tolist() == bias.tolist()


def test_masked_experts_keep_the_bias_finite():
    scores, bias = scores_and_bias()
    # Expert 0 is masked everywhere, expert 1 for most tokens, and some tokens have
    # only two experts, which they have to choose.
    scores[:, 0] = -mx.inf
    scores[10:, 1] = -mx.inf
    scores[:30, 4:] = -mx.inf
    scores[:10, 1] = -mx.inf
    got = np.array(routing.quantile_expert_bias(bias, scores, K))
    counts = routing.quantile_histogram(bias, scores, K)
    assert np.isfinite(got).all()
    assert np.isfinite(np.array(routing.histogram_expert_bias(bias, counts, K))).all()
    assert counts.sum(axis=1).tolist() == [TOKENS] * EXPERTS


@pytest.mark.parametrize("bins", [None, 10000])
def test_a_router_with_masked_experts_balances_the_others(bins):
    mx.random.seed(1)
    router = routing.TopKRouter(8, 8, 2, score="sigmoid", balance=True)
    router.weight = router.weight + 0.12 * mx.arange(8.0)[:, None]
    x, mask = normal(3, 4096, 8) + 1, mx.arange(8) != 7
    before = imbalance(np.array(router(x, mask).indices), 7)
    for _ in range(10):
        router.update_quantile_bias(router(x, mask), bins=bins)
    loads = routing.expert_loads(router(x, mask).indices, 8)
    assert before > 2.5 and loads[7].item() == 0
    assert loads.max().item() * 7 / loads.sum().item() < 1.1


@pytest.mark.parametrize("bins", [50, 1000])
def test_a_histogram_gives_the_quantile_up_to_the_width_of_a_bin(bins):
    scores, bias = scores_and_bias(4, 400)
    counts = routing.quantile_histogram(bias, scores, K, bins)
    assert counts.shape == (EXPERTS, bins)
    assert counts.sum(axis=1).tolist() == [400] * EXPERTS
    low, width = bias.min().item() - 1, (bias.max() - bias.min() + 2).item() / bins
    edges = low + width * np.arange(bins + 1)
    wanted = [np.histogram(r, edges)[0] for r in required(bias, scores, K).T]
    # A value next to an edge may be rounded into the neighbouring bin.
    moved = np.abs(np.array(counts) - wanted).sum()
    assert moved <= 4
    got = routing.histogram_expert_bias(bias, counts, K)
    wanted = by_numpy(bias, scores, K)
    # Both the quantile and the mean that is subtracted are off by a bin at most.
    assert np.abs(np.array(got) - wanted).max() <= 2 * width


def test_histograms_of_parts_add_up_to_that_of_the_batch():
    scores, bias = scores_and_bias(5)
    whole = routing.quantile_histogram(bias, scores, K)
    parts = [routing.quantile_histogram(bias, part, K) for part in mx.split(scores, 5)]
    assert mx.array_equal(sum(parts[1:], parts[0]), whole).item()


def test_a_histogram_interpolates_within_its_bin():
    counts = mx.array([[0, 1, 2, 1], [4, 0, 0, 0]])
    got = routing.histogram_expert_bias(mx.zeros(2), counts, 1)
    # Bins begin at -1 and are 0.5 wide. Two of four tokens lie before 0.25 and -0.75.
    close(got, [0.5, -0.5])


def test_the_bias_has_no_gradient_and_keeps_its_type():
    scores, bias = scores_and_bias()
    for dtype in (mx.float16, mx.bfloat16):
        assert (
            routing.quantile_expert_bias(bias.astype(dtype), scores, K).dtype == dtype
        )

    def loss(bias, scores):
        counts = routing.quantile_histogram(bias, scores, K)
        exact = routing.quantile_expert_bias(bias, scores, K)
        return (exact + routing.histogram_expert_bias(bias, counts, K)).sum()

    to_bias, to_scores = mx.grad(loss, (0, 1))(bias, scores)
    assert not mx.any(to_bias).item() and not mx.any(to_scores).item()


def test_evaluation_does_not_move_the_bias():
    router = routing.TopKRouter(8, 8, 2, balance=True)
    x = normal(0, 64, 8) + 1
    router.eval()
    chosen = router(x)
    router.update_quantile_bias(chosen)
    router.update_quantile_bias(chosen, bins=100)
    router.update_bias(chosen.indices)
    assert router.expert_bias.tolist() == [0.0] * 8
    router.train()
    router.update_bias(chosen.indices)
    moved = router.expert_bias.tolist()
    assert moved != [0.0] * 8
    router.update_quantile_bias(chosen)
    wanted = routing.quantile_expert_bias(mx.array(moved), chosen.probs, 2)
    assert router.expert_bias.tolist() == wanted.tolist()


S, B = mx.zeros((4, 8)), mx.zeros(8)
H = mx.zeros((8, 10), mx.int32)
BAD = [
    (
        lambda: routing.quantile_expert_bias(S, S, 1),
        "[quantile_expert_bias] bias must have shape (E,), got (4,8).",
    ),
    (
        lambda: routing.quantile_expert_bias(B, S, 0),
        "[quantile_expert_bias] k must be between 1 and 8, got 0.",
    ),
    (
        lambda: routing.quantile_expert_bias(B, S[:, :7], 1),
        "[quantile_expert_bias] scores must have shape (4,8), got (4,7).",
    ),
    (
        lambda: routing.quantile_expert_bias(B, S.astype(mx.int32), 1),
        "[quantile_expert_bias] scores must be floating, got mlx.core.int32.",
    ),
    (
        lambda: routing.quantile_expert_bias(B, S, 1, mx.zeros(4)),
        "[quantile_expert_bias] mask must be bool, got mlx.core.float32.",
    ),
    (
        lambda: routing.quantile_histogram(B, S, 1, 0),
        "[quantile_histogram] bins must be positive, got 0.",
    ),
    (
        lambda: routing.histogram_expert_bias(B, S, 1),
        "[histogram_expert_bias] histogram must be integers, got mlx.core.float32.",
    ),
    (
        lambda: routing.histogram_expert_bias(B, H[:7], 1),
        "[histogram_expert_bias] histogram must have shape (8,bins), got (7,10).",
    ),
    (
        lambda: routing.TopKRouter(8, 8, 2).update_quantile_bias(None),
        "[TopKRouter] update_quantile_bias needs balance=True.",
    ),
    (
        lambda: routing.TopKRouter(
            8, 8, 2, balance=True, groups=4, topk_groups=2
        ).update_quantile_bias(None),
        "[TopKRouter] update_quantile_bias does not support groups.",
    ),
    (
        lambda: routing.TopKRouter(8, 8, 2, balance=True).update_quantile_bias(
            None, group=mx.distributed.init()
        ),
        "[TopKRouter] update_quantile_bias with group needs bins.",
    ),
]


@pytest.mark.parametrize("call, message", BAD, ids=[m for _, m in BAD])
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_k_and_bins_must_be_integers(value):
    with pytest.raises(TypeError):
        routing.quantile_expert_bias(B, S, value)
    with pytest.raises(TypeError):
        routing.quantile_histogram(B, S, 1, value)
