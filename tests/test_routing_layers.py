"""The router and the mixture: values, gradients, degenerate cases, transforms."""

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest
from mlx.nn import routing
from mlx.nn.routing._chosen import chosen_matmul
from mlx.utils import tree_flatten
from transforms_of import assert_all_paths_agree, close, normal, scaled_gradient

GRADIENTS = ["chosen", "dense", "mean", "soft"]
gradients = pytest.mark.parametrize("gradient", GRADIENTS)
HALVES = [mx.float16, mx.bfloat16]


def layer(experts=6, k=2, **options):
    mx.random.seed(0)
    return routing.MixtureOfExperts(5, 7, experts, k, **options)


def by_hand(moe, x):
    """Computes the mixture in NumPy, one input and one expert at a time."""
    chosen = moe.router(x)
    up, down = np.array(moe.experts.up), np.array(moe.experts.down)
    rows = np.array(x).reshape(-1, x.shape[-1])
    out = np.zeros_like(rows)
    indices = np.array(chosen.indices).reshape(len(rows), moe.router.k)
    weights = np.array(chosen.weights).reshape(len(rows), moe.router.k)
    for row, (experts, ws) in enumerate(zip(indices, weights, strict=True)):
        for e, w in zip(experts, ws, strict=True):
            h = up[e] @ rows[row]
            out[row] += w * (down[e] @ (h / (1 + np.exp(-h))))
    return out.reshape(x.shape)


def loss(moe, x, **options):
    y = moe(x, **options).astype(mx.float32)
    return (y * mx.arange(1.0, 1 + y.size).reshape(y.shape)).sum()


# ---- values ------------------------------------------------------------------


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5), (0, 5)])
@gradients
def test_the_value_is_the_sparse_mixture(gradient, shape, train):
    moe = layer(gradient=gradient).train(train)
    x = normal(0, *shape)
    close(moe(x), by_hand(moe, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
@pytest.mark.parametrize("renormalize", [True, False])
def test_the_weights_are_the_scores_of_the_chosen_experts(score, renormalize):
    mx.random.seed(0)
    router = routing.TopKRouter(5, 6, 3, score, renormalize)
    x = normal(0, 9, 5)
    indices, weights, probs, logits = router(x)
    close(logits, x @ router.weight.T)
    wanted = mx.softmax(logits, -1) if score == "softmax" else mx.sigmoid(logits)
    close(probs, wanted)
    assert mx.array_equal(indices, mx.top_k(logits, 3).indices).item()
    chosen = mx.take_along_axis(probs, indices, -1)
    close(weights, chosen / chosen.sum(-1, keepdims=True) if renormalize else chosen)


def test_the_bias_changes_the_choice_but_not_the_weights():
    router = routing.TopKRouter(5, 4, 2, "sigmoid", False, balance=True)
    router.expert_bias = mx.array([0.0, 5.0, 0.0, 4.0])
    x = normal(0, 9, 5)
    chosen = router(x)
    assert chosen.indices.tolist() == [[1, 3]] * 9
    close(chosen.weights, mx.take_along_axis(chosen.probs, chosen.indices, -1))
    mask = mx.array([True, False, True, True])
    assert all(1 not in row for row in router(x, mask).indices.tolist())


@pytest.mark.parametrize("dtype", HALVES)
@gradients
def test_half_types_are_near_float32_and_stay_finite(gradient, dtype):
    moe = layer(gradient=gradient)
    x = normal(0, 20, 5).astype(dtype)
    moe.set_dtype(dtype)
    got, gradients = nn.value_and_grad(moe, loss)(moe, x)
    half = moe(x)
    assert half.dtype == dtype and moe.router(x).probs.dtype == mx.float32
    moe.set_dtype(mx.float32)
    wanted = moe(x.astype(mx.float32))
    close(half.astype(mx.float32), wanted, rtol=0.05, atol=0.05)
    for name, g in tree_flatten(gradients):
        assert g.dtype == dtype and mx.all(mx.isfinite(g)).item(), name
    assert np.isfinite(got.item())


# ---- gradients of the gate ---------------------------------------------------


def gate_gradient(moe, x):
    return nn.value_and_grad(moe, loss)(moe, x)[1]["router"]["weight"]


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_with_k_1_a_renormalised_weight_gives_the_gate_a_zero_gradient(score):
    moe = layer(k=1, score=score)
    x = normal(0, 50, 5) * 3
    assert not mx.any(gate_gradient(moe, x)).item()
    free = layer(k=1, score=score, renormalize=False)
    assert mx.any(gate_gradient(free, x)).item()


@pytest.mark.parametrize("gradient", ["dense", "soft"])
def test_with_k_1_dense_and_soft_give_the_gate_a_gradient(gradient):
    assert mx.any(gate_gradient(layer(k=1, gradient=gradient), normal(0, 9, 5))).item()


def test_dense_gives_the_gate_the_gradient_of_the_dense_mixture():
    moe, x = layer(gradient="dense"), normal(0, 9, 5)

    def dense(moe, x):
        y = (moe.router(x).probs[..., None] * moe.experts.all(x)).sum(-2)
        return (y * mx.arange(1.0, 1 + y.size).reshape(y.shape)).sum()

    wanted = nn.value_and_grad(moe, dense)(moe, x)[1]["router"]["weight"]
    close(gate_gradient(moe, x), wanted, rtol=1e-4)


def test_soft_gives_the_gate_the_gradient_of_the_smoothed_weights():
    moe, x = layer(gradient="soft", tau=0.7), normal(0, 9, 5)
    answers = moe.experts.all(x)
    chosen = moe.router(x)
    hard = mx.any(chosen.indices[..., None] == mx.arange(6), axis=-2)

    def relaxed(weight):
        logits = x @ weight.T
        soft = routing.soft_topk(logits, 2, 0.7)
        mask = soft + mx.stop_gradient(hard - soft)
        weights = mask * mx.softmax(logits, -1)
        weights = weights / weights.sum(-1, keepdims=True)
        y = (weights[..., None] * answers).sum(-2)
        return (y * mx.arange(1.0, 1 + y.size).reshape(y.shape)).sum()

    close(gate_gradient(moe, x), mx.grad(relaxed)(moe.router.weight), rtol=1e-3)


@gradients
def test_an_expert_that_was_not_chosen_has_a_gradient_of_exactly_zero(gradient):
    moe, x = layer(gradient=gradient), normal(0, 9, 5)
    mask = mx.array([True, True, False, True, True, False])
    value = nn.value_and_grad(moe, lambda moe, x: loss(moe, x, mask=mask))
    grads = value(moe, x)[1]
    assert set(moe.router(x, mask).indices.flatten().tolist()) <= {0, 1, 3, 4}
    for name in ("up", "down"):
        touched = mx.any(grads["experts"][name], axis=(1, 2)).tolist()
        assert touched == [True, True, False, True, True, False]
    assert mx.all(mx.isfinite(grads["router"]["weight"])).item()
    assert not mx.any(grads["router"]["weight"][2]).item()


def test_the_running_mean_is_saved_but_not_trained():
    moe, x = layer(gradient="mean", mean_decay=0.5), normal(0, 9, 5)
    names = dict(tree_flatten(moe.trainable_parameters()))
    assert "expert_mean" not in names and "router.weight" in names
    assert "expert_mean" in dict(tree_flatten(moe.parameters()))
    y, chosen = moe(x, return_routing=True)
    answers = moe.experts(x, chosen.indices)
    wanted = routing.update_expert_mean(mx.zeros((6, 5)), answers, chosen.indices, 0.5)
    close(moe.expert_mean, wanted)
    before = moe.expert_mean
    moe.eval()(x)
    assert mx.array_equal(moe.expert_mean, before).item() and y.shape == x.shape
    moe.freeze()
    assert moe.unfreeze() is moe
    assert "expert_mean" not in dict(tree_flatten(moe.trainable_parameters()))


def test_the_running_mean_is_updated_by_a_compiled_step():
    moe, x = layer(gradient="mean"), normal(0, 9, 5)
    optimizer = optim.SGD(learning_rate=0.01)
    state = [moe.state, optimizer.state]

    def step(x):
        value, grads = nn.value_and_grad(moe, loss)(moe, x)
        optimizer.update(moe, grads)
        return value

    compiled = mx.compile(step, inputs=state, outputs=state)
    for _ in range(3):
        mx.eval(compiled(x), state)
    got = moe.expert_mean
    moe = layer(gradient="mean")
    for _ in range(3):
        mx.eval(step(x), moe.state)
    close(got, moe.expert_mean, rtol=1e-4)
    assert mx.any(got).item()


# ---- degenerate cases --------------------------------------------------------


@gradients
def test_with_all_experts_chosen_every_gradient_is_exact(gradient):
    moe, x = layer(k=6, gradient=gradient), normal(0, 9, 5)
    close(moe(x), by_hand(moe, x), rtol=1e-4, atol=1e-5)
    exact = layer(k=6)
    close(gate_gradient(moe, x), gate_gradient(exact, x), rtol=1e-3, atol=1e-4)


@gradients
def test_a_single_expert_is_the_mixture_and_its_gate_has_no_gradient(gradient):
    moe, x = layer(experts=1, k=1, gradient=gradient), normal(0, 9, 5)
    close(moe(x), moe.experts.all(x).squeeze(-2))
    assert not mx.any(gate_gradient(moe, x)).item()


@gradients
def test_equal_logits_choose_the_lower_indices(gradient):
    moe, x = layer(gradient=gradient), normal(0, 9, 5)
    moe.router.weight = mx.zeros_like(moe.router.weight)
    y, chosen = moe(x, return_routing=True)
    assert chosen.indices.tolist() == [[0, 1]] * 9
    close(chosen.weights, mx.full((9, 2), 0.5))
    assert mx.all(mx.isfinite(gate_gradient(moe, x))).item() and y.shape == x.shape


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
@gradients
def test_masked_experts_are_chosen_last_and_have_weight_zero(gradient, score):
    moe, x = layer(gradient=gradient, score=score), normal(0, 9, 5)
    mask = mx.arange(6) == 4
    y, chosen = moe(x, mask, return_routing=True)
    assert chosen.indices[:, 0].tolist() == [4] * 9
    assert chosen.weights.tolist() == [[1.0, 0.0]] * 9
    close(y, moe.experts.all(x)[:, 4], rtol=1e-4)
    value = nn.value_and_grad(moe, lambda moe, x: loss(moe, x, mask=mask))
    for name, g in tree_flatten(value(moe, x)[1]):
        assert mx.all(mx.isfinite(g)).item(), name


def test_bad_arguments_are_refused():
    cases = [
        (
            lambda: routing.TopKRouter(4, 8, 9),
            "[TopKRouter] k must be between 1 and 8, got 9.",
        ),
        (
            lambda: routing.TopKRouter(4, 8, 0),
            "[TopKRouter] k must be between 1 and 8, got 0.",
        ),
        (
            lambda: routing.TopKRouter(4, 0, 0),
            "[TopKRouter] num_experts must be positive, got 0.",
        ),
        (
            lambda: routing.TopKRouter(4, 8, 2, score="tanh"),
            "[TopKRouter] score must be one of 'softmax', 'sigmoid', 'sqrtsoftplus', "
            "got 'tanh'.",
        ),
        (
            lambda: layer(gradient="none"),
            "[MixtureOfExperts] gradient must be one of 'chosen', 'dense', 'mean', "
            "'soft', got 'none'.",
        ),
        (
            lambda: routing.TopKRouter(4, 8, 2).update_bias(mx.array([0])),
            "[TopKRouter] update_bias needs balance=True.",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == message


# ---- transforms --------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True], ids=["first", "second"])
@gradients
def test_every_order_of_transforms_gives_the_same_gradient(gradient, again):
    moe = layer(gradient=gradient)

    def f(x):
        mean = moe.get("expert_mean")
        y = (moe(x) ** 2).sum()
        if mean is not None:
            moe.expert_mean = mean
        return y

    assert_all_paths_agree(scaled_gradient(f) if again else f, normal(1, 3, 5), 1e-3)


@gradients
def test_vmap_over_parameters_gives_what_a_loop_does(gradient):
    """gather_mm has no vmap of its own, so this tests the rule that replaces it."""
    moe, x = layer(gradient=gradient), normal(0, 9, 5)

    def gate(weight, up):
        moe.router.weight, moe.experts.up = weight, up
        mean = moe.get("expert_mean")
        out = loss(moe, x)
        if mean is not None:
            moe.expert_mean = mean
        return out

    weights, ups = normal(1, 3, 6, 5), normal(2, 3, 6, 7, 5)
    together = mx.vmap(mx.grad(gate, (0, 1)))(weights, ups)
    one_by_one = [
        mx.grad(gate, (0, 1))(w, u) for w, u in zip(weights, ups, strict=True)
    ]
    for got, *wanted in zip(together, *one_by_one, strict=True):
        close(got, mx.stack(wanted), rtol=1e-3, atol=1e-4)


def test_chosen_matmul_and_its_derivatives_match_a_masked_product():
    x, w = normal(0, 8, 3), normal(1, 4, 3, 2)
    indices = mx.array([0, 3, 3, 1, 0, 0, 1, 3], mx.uint32)

    def ours(x, w):
        return (chosen_matmul(x, w, indices) ** 3).sum()

    selects = (indices[:, None] == mx.arange(4)).astype(mx.float32)

    def masked(x, w):
        return ((selects[..., None] * (x @ w).swapaxes(0, 1)).sum(1) ** 3).sum()

    def steps(f):
        def second(x, w):
            a, b = mx.grad(f, (0, 1))(x, w)
            return (a**2).sum() + (b**2).sum() + (a[:4, :3] * b[:, :, 0]).sum()

        return f, second

    for f, g in zip(steps(ours), steps(masked), strict=True):
        for got, wanted in zip(
            mx.grad(f, (0, 1))(x, w), mx.grad(g, (0, 1))(x, w), strict=True
        ):
            close(got, wanted, rtol=1e-4, atol=1e-3)
        tangents = [normal(2, 8, 3), normal(3, 4, 3, 2)]
        got, wanted = (mx.jvp(h, [x, w], tangents)[1][0] for h in (f, g))
        close(got, wanted, rtol=1e-4)
    assert not mx.any(mx.grad(ours, 1)(x, w)[2]).item()


# ---- training ----------------------------------------------------------------


@gradients
def test_a_mixture_learns_which_expert_fits_an_input(gradient):
    """The experts are frozen, and only the router learns.

    The right expert of an input is the index of the largest of its first 4 features.
    """
    mx.random.seed(3)
    moe = routing.MixtureOfExperts(8, 32, 4, 1, gradient, renormalize=False)
    moe.experts.freeze()
    x = normal(4, 512, 8)
    right = mx.argmax(x[:, :4], axis=-1)
    every = moe.experts.all(x) * 30
    target = mx.take_along_axis(every, right[:, None, None], axis=1).squeeze(1)
    moe.experts.down = moe.experts.down * 30
    optimizer = optim.Adam(learning_rate=0.02)

    def error(moe):
        p = moe.router(x)
        return ((moe(x) / mx.stop_gradient(p.weights) - target) ** 2).mean()

    def accuracy():
        return (moe.router(x).indices[:, 0] == right).mean().item()

    before = accuracy()
    for _ in range(150):
        grads = nn.value_and_grad(moe, error)(moe)[1]
        optimizer.update(moe, grads)
        mx.eval(moe.parameters(), optimizer.state)
    assert before < 0.35 and accuracy() > 0.5
