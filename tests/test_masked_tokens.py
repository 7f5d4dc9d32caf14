"""Tokens whose experts are masked: no output, no gradient, no part in any mean."""

import itertools

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.nn import routing
from mlx.utils import tree_flatten
from transforms_of import close, normal

EXPERTS, SIZE, TOKENS = 5, 4, 6
DEAD = 2
SCORES = ["softmax", "sigmoid"]
GRADIENTS = ["chosen", "dense", "mean", "soft"]
TYPES = [mx.float32, mx.float16, mx.bfloat16]
SETTINGS = list(
    itertools.product(GRADIENTS, SCORES, [True, False], [True, False], [1, 2, EXPERTS])
)


def mixture(gradient, score, renormalize, balance, k, dtype=mx.float32):
    mx.random.seed(0)
    moe = routing.MixtureOfExperts(
        SIZE,
        7,
        EXPERTS,
        k,
        gradient,
        score=score,
        renormalize=renormalize,
        balance=balance,
    )
    if balance:
        moe.router.expert_bias = 0.1 * mx.arange(float(EXPERTS))
    if gradient == "mean":
        moe.expert_mean = mx.ones((EXPERTS, SIZE))
    moe.set_dtype(dtype)
    return moe


def one_dead_row():
    """Returns a mask: no expert for token ``DEAD``, and only expert 3 for token 4."""
    mask = np.ones((TOKENS, EXPERTS), bool)
    mask[DEAD] = False
    mask[4] = np.arange(EXPERTS) == 3
    return mx.array(mask)


def gradients_of(moe, x, mask):
    """Returns the gradients for the parameters, by name, and for the input."""

    def loss(parameters, x):
        moe.update(parameters)
        y = moe(x, mask).astype(mx.float32)
        return (y * mx.sin(mx.arange(1.0, 1 + SIZE))).sum()

    kept = moe.parameters()
    mean = moe.get("expert_mean")
    to_parameters, to_x = mx.grad(loss, (0, 1))(moe.trainable_parameters(), x)
    moe.update(kept)
    if mean is not None:
        moe.expert_mean = mean
    return dict(tree_flatten(to_parameters)), to_x


def without(x, row):
    return mx.concatenate([x[:row], x[row + 1 :]])


def finite(x):
    return mx.all(mx.isfinite(x)).item()


# ---- the router and the mixture ----------------------------------------------


# In evaluation mode the setting of gradient has no effect.
EVALUATED = [s for s in SETTINGS if s[0] == "chosen"]


@pytest.mark.parametrize(
    "setting, train",
    [(s, True) for s in SETTINGS] + [(s, False) for s in EVALUATED],
    ids=str,
)
def test_a_token_without_experts_gives_zero_and_gets_no_gradient(setting, train):
    moe, mask = mixture(*setting).train(train), one_dead_row()
    x = normal(1, TOKENS, SIZE)
    x[DEAD] = mx.array([np.nan, np.inf, 1e30, 1.0])
    y, chosen = moe(x, mask, return_routing=True)
    assert y[DEAD].tolist() == [0.0] * SIZE and finite(y)
    assert not mx.any(chosen.weights[DEAD]).item() and finite(chosen.weights)
    assert not mx.any(chosen.probs[DEAD]).item()
    assert chosen.indices[DEAD].tolist() == list(range(moe.router.k))

    moe = mixture(*setting).train(train)
    got, to_x = gradients_of(moe, x, mask)
    assert to_x[DEAD].tolist() == [0.0] * SIZE and finite(to_x)
    # The rest of the batch trains as if this token were not there.
    moe = mixture(*setting).train(train)
    wanted, _ = gradients_of(moe, without(x, DEAD), without(mask, DEAD))
    for name, gradient in got.items():
        close(gradient, wanted[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_batch_without_experts_has_gradients_of_exactly_zero(gradient, score, dtype):
    for renormalize, k in itertools.product([True, False], [1, 2, EXPERTS]):
        moe = mixture(gradient, score, renormalize, False, k, dtype)
        x = normal(1, TOKENS, SIZE).astype(dtype)
        nothing = mx.zeros(EXPERTS, mx.bool_)
        y = moe(x, nothing)
        assert y.dtype == dtype and not mx.any(y).item()
        to_parameters, to_x = gradients_of(moe, x, nothing)
        for name, g in [*to_parameters.items(), ("x", to_x)]:
            assert not mx.any(g).item(), name
        if gradient == "mean":
            assert mx.all(moe.expert_mean == 1).item()


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("score", SCORES)
def test_a_router_gets_no_gradient_from_a_token_without_experts(score, renormalize):
    router, mask = mixture("chosen", score, renormalize, True, 2).router, one_dead_row()
    x, c = normal(1, TOKENS, SIZE), mx.array([1.0, -3.0])
    x[DEAD] = mx.array([np.nan, np.inf, 1e30, 1.0])

    def loss(weight, x, mask):
        router.weight = weight
        chosen = router(x, mask)
        return (c * chosen.weights).sum() + (chosen.probs**2).sum()

    weight = router.weight
    got, to_x = mx.grad(loss, (0, 1))(weight, x, mask)
    wanted = mx.grad(loss)(weight, without(x, DEAD), without(mask, DEAD))
    close(got, wanted)
    assert mx.any(got).item() and not mx.any(to_x[DEAD]).item()
    along = mx.jvp(lambda w: loss(w, x, mask), [weight], [mx.ones_like(weight)])[1][0]
    close(along, got.sum(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("score", SCORES)
def test_a_token_with_fewer_experts_than_k_weighs_the_others_with_zero(
    score, renormalize
):
    router = mixture("chosen", score, renormalize, False, 3).router
    x = normal(1, TOKENS, SIZE)
    chosen = router(x, mx.arange(EXPERTS) == 3)
    # The masked experts that fill the places are those with the lowest indices.
    assert chosen.indices.tolist() == [[3, 0, 1]] * TOKENS
    first = [1.0] * TOKENS if renormalize else chosen.probs[:, 3].tolist()
    assert chosen.weights[:, 0].tolist() == first
    assert not mx.any(chosen.weights[:, 1:]).item()
    assert mx.all(chosen.logits[:, 0] == -mx.inf).item()


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_an_infinite_output_of_a_masked_expert_has_no_effect(
    gradient, score, renormalize
):
    moe = mixture(gradient, score, renormalize, False, EXPERTS)
    moe.experts.up[0], moe.experts.down[0] = 1e20, 1e30
    mask = mx.arange(EXPERTS) > 2
    x = normal(1, TOKENS, SIZE)
    assert not finite(moe.experts.all(x)[:, 0]) and finite(moe(x, mask))
    to_parameters, _ = gradients_of(moe, x, mask)
    assert finite(to_parameters["router.weight"])
    for name in ("experts.up", "experts.down"):
        assert not mx.any(to_parameters[name][:3]).item()


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("gradient", ["chosen", "dense", "soft"])
def test_masked_tokens_have_finite_derivatives_under_every_transform(gradient, score):
    for renormalize, k in itertools.product([True, False], [1, 2]):
        moe, mask = mixture(gradient, score, renormalize, True, k), one_dead_row()
        x, tangent = normal(1, TOKENS, SIZE), normal(2, TOKENS, SIZE)

        def loss(x, moe=moe, mask=mask):
            return (moe(x, mask) ** 2).sum()

        wanted = mx.grad(loss)(x)
        assert not mx.any(wanted[DEAD]).item() and mx.any(wanted[0]).item()
        close(mx.compile(mx.grad(loss))(x), wanted)
        rows = mx.vmap(mx.grad(lambda x, m, moe=moe: (moe(x, m) ** 2).sum()))(x, mask)
        close(rows, wanted, rtol=1e-4, atol=1e-5)
        _, (along,) = mx.jvp(loss, [x], [tangent])
        close(along, (wanted * tangent).sum(), rtol=1e-3, atol=1e-4)
        second = mx.grad(lambda x, f=loss: (mx.grad(f)(x) ** 2).sum())(x)
        assert finite(second) and not mx.any(second[DEAD]).item()


def test_expert_mean_does_not_count_masked_choices():
    moe, x = mixture("mean", "softmax", True, False, 2), normal(1, TOKENS, SIZE)
    moe(x, one_dead_row())
    kept = mixture("mean", "softmax", True, False, 2)
    kept(without(x, DEAD), without(one_dead_row(), DEAD))
    close(moe.expert_mean, kept.expert_mean, atol=1e-8)
    only = mixture("mean", "softmax", True, False, 2)
    only(x, mx.arange(EXPERTS) == 3)
    moved = mx.any(only.expert_mean != 1, axis=-1)
    assert moved.tolist() == [False, False, False, True, False]


# ---- losses and updates ------------------------------------------------------

KEPT = np.array([True, False, True, True, False, True])


def batch(dtype=mx.float32):
    """Returns logits, scores and choices, with NaN and inf in the masked tokens."""
    logits = normal(3, TOKENS, EXPERTS).astype(dtype)
    indices = mx.topk(logits, 2, return_indices=True).indices
    probs = mx.softmax(logits, axis=-1)
    rubbish = mx.array([[np.nan], [np.inf]] * 3).astype(dtype)
    mask = mx.array(KEPT)[:, None]
    return (mx.where(mask, logits, rubbish), mx.where(mask, probs, rubbish), indices)


def kept(x):
    return mx.array(np.flatnonzero(KEPT)), x[mx.array(np.flatnonzero(KEPT))]


def losses():
    logits, probs, indices = batch()
    return {
        "load": (lambda p, i, m=None: routing.load_balance_loss(p, i, 1.0, m), probs),
        "z": (lambda z, i, m=None: routing.router_z_loss(z, 1.0, m), logits),
    }, indices


@pytest.mark.parametrize("name", ["load", "z"])
def test_a_loss_ignores_masked_tokens(name):
    both, indices = losses()
    f, x = both[name]
    where, rows = kept(x)
    few = indices[where]
    mask = mx.array(KEPT)
    value, gradient = mx.value_and_grad(f)(x, indices, mask)
    wanted, to_rows = mx.value_and_grad(f)(rows, few)
    close(value, wanted, rtol=1e-6)
    close(gradient[where], to_rows, rtol=1e-6)
    assert not mx.any(mx.where(mask[:, None], 0, gradient)).item()
    # The same with further axes, and with a mask that is broadcast.
    shaped = f(x.reshape(2, 3, -1), indices.reshape(2, 3, -1), mask.reshape(2, 3))
    assert shaped.item() == value.item()
    everything = f(rows, few, mx.array([True]))
    assert everything.item() == wanted.item()
    assert mx.vmap(lambda m: f(x, indices, m))(mask[None])[0].item() == value.item()


@pytest.mark.parametrize("name", ["load", "z"])
def test_a_loss_of_masked_tokens_only_is_zero_with_a_gradient_of_zero(name):
    both, indices = losses()
    f, x = both[name]
    value, gradient = mx.value_and_grad(f)(x, indices, mx.array(False))
    assert value.item() == 0 and not mx.any(gradient).item()
    tangent = mx.jvp(lambda x: f(x, indices, mx.array(False)), [x], [mx.ones_like(x)])
    assert tangent[1][0].item() == 0


def test_router_z_loss_does_not_count_tokens_with_nothing_but_minus_inf():
    logits = mx.array([[0.0, np.log(3.0)], [-np.inf, -np.inf], [-np.inf, 2.0]])
    value, gradient = mx.value_and_grad(lambda z: routing.router_z_loss(z, 0.5))(logits)
    close(value, 0.5 * (np.log(4) ** 2 + 4) / 2)
    rows = [[np.log(4) / 4, np.log(4) * 3 / 4], [0, 0], [0, 2]]
    close(gradient, 0.5 * np.array(rows))
    nothing = mx.full((3, 2), -mx.inf)
    value, gradient = mx.value_and_grad(routing.router_z_loss)(nothing)
    assert value.item() == 0 and not mx.any(gradient).item()


def test_update_expert_bias_ignores_masked_tokens():
    indices = mx.array([[0, 1], [3, 4], [0, 2], [1, 0], [4, 3], [0, 2]])
    bias, mask = normal(4, EXPERTS), mx.array(KEPT)
    _, few = kept(indices)
    got = routing.update_expert_bias(bias, indices, 0.1, mask)
    assert got.tolist() == routing.update_expert_bias(bias, few, 0.1).tolist()
    assert got.tolist() != routing.update_expert_bias(bias, indices, 0.1).tolist()
    nothing = routing.update_expert_bias(bias, indices, 0.1, mx.zeros(1, mx.bool_))
    assert nothing.tolist() == bias.tolist()
    router = routing.TopKRouter(SIZE, EXPERTS, 2, balance=True)
    router.update_bias(indices, 0.1, mask)
    wanted = routing.update_expert_bias(mx.zeros(EXPERTS), few, 0.1)
    assert router.expert_bias.tolist() == wanted.tolist()


def test_update_expert_mean_ignores_masked_tokens():
    _, _, indices = batch()
    mean, mask = normal(4, EXPERTS, 3), mx.array(KEPT)
    outputs = normal(5, TOKENS, 2, 3)
    outputs[1], outputs[4] = mx.nan, mx.inf
    where, few = kept(indices)
    got = routing.update_expert_mean(mean, outputs, indices, 0.5, mask)
    wanted = routing.update_expert_mean(mean, outputs[where], few, 0.5)
    close(got, wanted, rtol=1e-6)
    nothing = routing.update_expert_mean(mean, outputs, indices, 0.5, mx.array(False))
    assert nothing.tolist() == mean.tolist()


# ---- bad masks ---------------------------------------------------------------

Z, I2 = mx.zeros((4, 8)), mx.zeros((4, 2), mx.uint32)
CALLS = {
    "load_balance_loss": lambda m: routing.load_balance_loss(Z, I2, mask=m),
    "router_z_loss": lambda m: routing.router_z_loss(Z, mask=m),
    "update_expert_bias": lambda m: routing.update_expert_bias(mx.zeros(8), I2, mask=m),
    "update_expert_mean": lambda m: routing.update_expert_mean(
        mx.zeros((8, 3)), mx.zeros((4, 2, 3)), I2, mask=m
    ),
    "TopKRouter": lambda m: routing.TopKRouter(3, 4, 2)(mx.zeros((4, 3)), m),
    "MixtureOfExperts": lambda m: routing.MixtureOfExperts(3, 5, 4, 2)(
        mx.zeros((4, 3)), m
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_mask_of_a_wrong_type_or_shape_is_refused(name):
    shape = "(4,4)" if name in ("TopKRouter", "MixtureOfExperts") else "(4)"
    for mask, message in [
        (mx.zeros(4), f"[{name}] mask must be bool, got mlx.core.float32."),
        (
            mx.zeros(3, mx.bool_),
            f"[{name}] mask must broadcast to shape {shape}, got (3).",
        ),
        (
            mx.zeros((2, 4, 4), mx.bool_),
            f"[{name}] mask must broadcast to shape {shape}, got (2,4,4).",
        ),
    ]:
        with pytest.raises(ValueError) as caught:
            CALLS[name](mask)
        assert str(caught.value) == message


def test_a_layer_with_masks_can_be_trained_by_nn_value_and_grad():
    moe, mask = mixture("dense", "softmax", True, False, 2), one_dead_row()
    x = normal(1, TOKENS, SIZE)

    def loss(moe):
        y, chosen = moe(x, mask, return_routing=True)
        some = mx.any(mask, axis=-1)
        return (
            (y**2).mean()
            + routing.load_balance_loss(chosen.probs, chosen.indices, mask=some)
            + routing.router_z_loss(chosen.logits)
        )

    value, gradients = nn.value_and_grad(moe, loss)(moe)
    assert finite(value)
    for name, g in tree_flatten(gradients):
        assert finite(g) and mx.any(g).item(), name
