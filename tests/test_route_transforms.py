"""``routing.route``: transforms, masked experts, layouts, exports and errors."""

import itertools

import mlx.core as mx
import numpy as np
import pytest
from mlx.nn import routing
from route_chain import chain
from test_export import on_stock
from transforms_of import assert_all_paths_agree, close, normal, scaled_gradient

SCORES = ["softmax", "sigmoid", "sqrtsoftplus"]
scores = pytest.mark.parametrize("score", SCORES)
SETTINGS = {
    "plain": {"k": 2},
    "raw": {"k": 3, "renormalize": False, "scale": 1.5},
    "groups": {"k": 2, "groups": 4, "topk_groups": 2, "scale": 2.5, "eps": 1e-3},
}
settings = pytest.mark.parametrize("name", SETTINGS)
EXPERTS = 8
BIAS = 0.1 * normal(5, EXPERTS)
# An export would hold the random numbers of an array that is not evaluated.
mx.eval(BIAS)


def routed(name, score, **extra):
    """Returns weights, indices and scores as a function of the logits."""
    options = {**SETTINGS[name], "score": score, "return_scores": True, **extra}
    k = options.pop("k")
    return lambda x: routing.route(x, k, **options)


def chained(name, score, indices, bias=None):
    options = {**SETTINGS[name], "score": score}
    return lambda x: chain(x, options, bias, indices)


def same(a, b):
    assert a.dtype == b.dtype and a.shape == b.shape
    assert mx.array_equal(a, b, equal_nan=True).item()


# ---- derivatives -------------------------------------------------------------


# MLX compiles C++ code for the compiled paths, which takes a second for each.
QUICK = [("groups", "sigmoid", True), ("plain", "softmax", False)]


@pytest.mark.parametrize(
    "name, score, again",
    [
        pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow)
        for case in itertools.product(SETTINGS, SCORES, (False, True))
    ],
)
def test_under_every_transform(name, score, again):
    def loss(x):
        weights, _, scores = routed(name, score, bias=BIAS)(x)
        return (weights * mx.arange(weights.shape[-1])).sum() + (scores**3).sum()

    assert_all_paths_agree(
        scaled_gradient(loss) if again else loss, normal(2, 3, EXPERTS)
    )


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
@settings
@scores
def test_jvp_has_the_bits_of_the_chain(name, score, dtype):
    x, t = normal(0, 40, EXPERTS).astype(dtype), normal(1, 40, EXPERTS).astype(dtype)
    f = routed(name, score, bias=BIAS)
    g = chained(name, score, f(x)[1], BIAS)
    for outputs in zip(*(mx.jvp(h, [x], [t])[1] for h in (f, g)), strict=True):
        if outputs[0].dtype != mx.uint32:
            same(*outputs)


@settings
@scores
def test_the_second_derivative_is_that_of_the_chain(name, score):
    x, c = normal(0, 20, EXPERTS), normal(1, 20, EXPERTS)
    f = routed(name, score, bias=BIAS)
    g = chained(name, score, f(x)[1], BIAS)

    def twice(h):
        first = mx.grad(lambda x: (h(x)[0] ** 2).sum() + (h(x)[2] ** 2).sum())
        return mx.grad(lambda x: (first(x) * c).sum())(x)

    close(twice(f), twice(g))
    assert mx.any(twice(f)).item()


def test_the_bias_has_no_gradient_and_no_tangent():
    x = normal(0, 5, EXPERTS)

    def weights(x, bias):
        return routing.route(x, 2, score="sigmoid", bias=bias)[0]

    loss = mx.grad(lambda x, b: weights(x, b).sum() + (b**2).sum(), (0, 1))
    same(loss(x, BIAS)[1], 2 * BIAS)
    _, (tangent,) = mx.jvp(lambda b: weights(x, b), [BIAS], [mx.ones(EXPERTS)])
    assert not mx.any(tangent).item()


def test_indices_obey_the_index_gradient_mode():
    x = normal(0, 5, EXPERTS)

    def gathered(x):
        return mx.take_along_axis(x**2, routing.route(x, 2)[1], axis=-1).sum()

    def numbers(x):
        return routing.route(x, 2)[1].astype(mx.float32).sum()

    indices = routing.route(x, 2)[1]
    wanted = mx.put_along_axis(mx.zeros_like(x), indices, mx.array(1.0), axis=-1)
    with mx.index_gradient("stop"):
        same(mx.grad(gathered)(x), 2 * x * wanted)
    with mx.index_gradient("zero"):
        same(mx.grad(numbers)(x), mx.zeros_like(x))
    with mx.index_gradient("error"), pytest.raises(ValueError, match="route"):
        mx.grad(numbers)(x)


# ---- vmap, compile, checkpoint, export ---------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("mapped", ["logits", "bias", "both"])
def test_vmap_over_logits_and_bias(mapped, axis):
    x, bias = normal(0, 4, 3, EXPERTS), 0.3 * normal(1, 4, EXPERTS)

    def f(x, bias):
        return routing.route(
            x, 2, bias=bias, groups=4, topk_groups=2, return_scores=True
        )

    xs = x if mapped != "bias" else x[0]
    biases = bias if mapped != "logits" else bias[0]
    in_axes = (axis if mapped != "bias" else None, 0 if mapped != "logits" else None)
    moved = mx.moveaxis(xs, 0, axis) if mapped != "bias" else xs
    got = mx.vmap(f, in_axes=in_axes)(moved, biases)
    for i in range(4):
        wanted = f(
            xs[i] if mapped != "bias" else xs,
            biases[i] if mapped != "logits" else biases,
        )
        for a, b in zip(got, wanted, strict=True):
            same(a[i], b)


def test_the_gradient_under_vmap_over_the_bias():
    x, bias = normal(0, 4, 3, EXPERTS), normal(1, 4, EXPERTS)
    f = mx.grad(lambda x, b: (routing.route(x, 2, bias=b)[0] ** 2).sum())
    got = mx.vmap(f)(x, bias)
    for i in range(4):
        same(got[i], f(x[i], bias[i]))


@settings
@scores
def test_compile_shapeless_compile_and_checkpoint(name, score):
    f = routed(name, score, bias=BIAS)
    compiled = mx.compile(f, shapeless=True)
    for x in (normal(0, 5, EXPERTS), normal(1, 2, EXPERTS)):
        for g in (mx.compile(f), compiled, mx.checkpoint(f)):
            for a, b in zip(g(x), f(x), strict=True):
                same(a, b)
        gradients = [
            mx.grad(lambda x, g=g: (g(x)[0] ** 2).sum())(x)
            for g in (f, mx.compile(f), mx.checkpoint(f))
        ]
        same(gradients[0], gradients[1])
        same(gradients[0], gradients[2])


@pytest.mark.parametrize("shapeless", [False, True])
@pytest.mark.parametrize("name, score", list(zip(SETTINGS, SCORES, strict=True)))
def test_exports_run_in_a_stock_mlx(name, score, shapeless, tmp_path):
    path = tmp_path / "f.mlxfn"
    f = routed(name, score, bias=BIAS)
    x = normal(0, 6, EXPERTS)
    mx.export_function(str(path), f, x, shapeless=shapeless)
    taller = normal(1, 9, EXPERTS) if shapeless else x
    for got, wanted in zip(on_stock(path, taller, tmp_path), f(taller), strict=True):
        np.testing.assert_array_equal(got, np.array(wanted))


# ---- masked experts ----------------------------------------------------------


def masked_case():
    mask = np.random.default_rng(3).random((40, EXPERTS)) < 0.5
    mask[0] = False
    mask[1] = True
    mask[2] = np.arange(EXPERTS) == 6
    return normal(4, 40, EXPERTS), mx.array(mask)


@settings
@scores
def test_masked_experts_have_no_weight_and_no_gradient(name, score):
    x, mask = masked_case()
    f = routed(name, score, bias=BIAS, mask=mask)

    def loss(x):
        weights, _, scores = f(x)
        return (weights * normal(6, *weights.shape)).sum() + (scores**2).sum()

    weights, indices, scores = f(x)
    counts = mx.take_along_axis(mask, indices, axis=-1)
    assert not mx.any(mx.where(counts, 0, weights)).item()
    assert not mx.any(mx.where(mask, 0, scores)).item()
    for order in (loss, scaled_gradient(loss)):
        gradient = mx.grad(order)(x)
        assert mx.all(mx.isfinite(gradient)).item()
        assert not mx.any(mx.where(mask, 0, gradient)).item()
    assert not mx.any(mx.jvp(f, [x], [mx.where(mask, 0, x)])[1][0]).item()
    assert indices[0].tolist() == list(range(weights.shape[-1]))
    same(weights[0], mx.zeros_like(weights[0]))
    single = [float(w) for w in weights[2].tolist()]
    assert indices[2, 0].item() == 6 and single[1:] == [0.0] * (len(single) - 1)


@scores
def test_a_masked_row_is_the_row_of_the_allowed_experts(score):
    x, mask = masked_case()
    weights, indices = routing.route(x, 2, score=score, bias=BIAS, mask=mask)
    for row in range(40):
        allowed = np.flatnonzero(np.array(mask[row]))
        if len(allowed) < 2:
            continue
        where = mx.array(allowed)
        alone = routing.route(x[row][where], 2, score=score, bias=BIAS[where])
        same(weights[row], alone[0])
        assert indices[row].tolist() == allowed[np.array(alone[1])].tolist()


@settings
@scores
def test_the_composed_route_masks_as_the_kernel_does(name, score):
    x, mask = masked_case()
    options = {**SETTINGS[name], "score": score, "return_scores": True}
    k = options.pop("k")

    def loss(x, bias):
        weights, _, scores = routing.route(x, k, bias=bias, mask=mask, **options)
        return (weights * mx.arange(k)).sum() + (scores**2).sum()

    # A mapped bias is composed.
    composed = mx.vmap(
        lambda bias: routing.route(x, k, bias=bias, mask=mask, **options)
    )(BIAS[None])
    kernel = routing.route(x, k, bias=BIAS, mask=mask, **options)
    for a, b in zip(composed, kernel, strict=True):
        same(a[0], b)
    gradient = mx.vmap(mx.grad(loss), in_axes=(None, 0))(x, BIAS[None])
    close(gradient[0], mx.grad(loss)(x, BIAS))


@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("other", [np.nan, np.inf])
@pytest.mark.parametrize("score", [*SCORES, "logits"])
def test_masked_experts_beside_nan_have_no_weight_and_no_gradient(
    score, other, composed
):
    x = mx.array([[other, 1.0, 0.5, 2.0]])
    mask = mx.array([[True, True, False, False]])

    def f(x):
        return routing.route(x, 4, score=score, mask=mask, return_scores=True)

    def mapped(x):  # A mapped bias is composed.
        def one(bias):
            return routing.route(
                x, 4, score=score, bias=bias, mask=mask, return_scores=True
            )

        return [a[0] for a in mx.vmap(one)(mx.zeros((1, 4)))]

    f = mapped if composed else f
    weights, indices, scores = f(x)
    if score == "logits" or np.isnan(other):
        assert mx.any(mx.isnan(weights)).item()
    masked = indices >= 2
    assert masked.sum().item() == 2
    assert not mx.any(mx.where(masked, weights, 0)).item()
    assert not mx.any(mx.where(mask, 0, scores)).item()
    if composed:
        return  # MLX's derivatives of the ops multiply NaN by 0.
    _, (tangent, _, of_scores) = mx.jvp(f, [x], [mx.ones_like(x)])
    gradient = mx.grad(lambda x: f(x)[0][..., 0].sum())(x)
    assert not mx.any(mx.where(masked, tangent, 0)).item()
    for a in (of_scores, gradient):
        assert not mx.any(mx.where(mask, 0, a)).item()


def test_without_a_mask_infinity_is_a_number():
    x = mx.array([[-mx.inf, 0.0, 1.0], [-mx.inf] * 3])
    weights, indices = routing.route(x, 3, bias=mx.array([9.0, 0.0, 0.0]))
    assert indices[0].tolist() == [0, 2, 1] and weights[0, 0].item() == 0
    assert mx.all(mx.isnan(weights[1])).item()


# ---- layouts, threads, errors ------------------------------------------------


LAYOUTS = {
    "transposed": lambda x: mx.swapaxes(mx.swapaxes(x, 1, 2) + 0, 1, 2),
    "every second": lambda x: mx.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: (x[..., ::-1] + 0)[..., ::-1],
    "broadcast": lambda x: mx.broadcast_to(x[:1, :1], x.shape),
    "one row": lambda x: x[0, 0],
    "no rows": lambda x: x[:, :0],
    "offset": lambda x: mx.concatenate([x[:1], x], axis=0)[1:],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@scores
def test_layouts(layout, score):
    x = LAYOUTS[layout](normal(0, 3, 17, 40))
    bias = mx.repeat(normal(1, 40), 2)[::2]
    got = routing.route(x, 4, score=score, bias=bias, return_scores=True)
    plain = mx.array(np.array(x)), mx.array(np.array(bias))
    wanted = routing.route(plain[0], 4, score=score, bias=plain[1], return_scores=True)
    assert got[0].shape == (*x.shape[:-1], 4)
    for a, b in zip(got, wanted, strict=True):
        same(a, b)


def test_threads_do_not_change_results():
    x = normal(0, 3000, 130)
    before = mx.selection_threads()
    results = []
    for threads in (1, 3):
        mx.set_selection_threads(threads)
        results.append(routing.route(x, 8, return_scores=True))
        mx.eval(results)
    mx.set_selection_threads(before)
    for a, b in zip(*results, strict=True):
        same(a, b)


X = mx.zeros((4, 6))
BAD = {
    "k must be between 1 and 6 for logits with shape (4,6), got 7.": {"k": 7},
    "k must be between 1 and 6 for logits with shape (4,6), got 0.": {"k": 0},
    "groups must divide the number of experts 6, got 4.": {"groups": 4},
    "groups must divide the number of experts 6, got 0.": {"groups": 0},
    "topk_groups must be between 1 and 3, got 4.": {"groups": 3, "topk_groups": 4},
    "1 groups of 2 experts are fewer than k = 3 experts.": {"k": 3, "groups": 3},
    "bias must have shape (6), got (4,6).": {"bias": X},
    "bias must be floating, got int32.": {"bias": mx.zeros(6, mx.int32)},
    "logits must be floating, got int32.": {"logits": mx.zeros((4, 6), mx.int32)},
    "logits must have at least one dimension, got a scalar.": {"logits": mx.array(1.0)},
    "eps must not be negative, got -1.": {"eps": -1.0},
    "score must be one of 'softmax', 'sigmoid', 'sqrtsoftplus', 'logits', got 'a'.": {
        "score": "a"
    },
    "group_score must be one of 'top2', 'max', got 'sum'.": {"group_score": "sum"},
    "mask must be bool, got mlx.core.float32.": {"mask": X},
    "mask must broadcast to shape (4,6), got (5,6).": {
        "mask": mx.zeros((5, 6), mx.bool_)
    },
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(message):
    options = {"logits": X, "k": 2, **BAD[message]}
    with pytest.raises(ValueError) as caught:
        routing.route(options.pop("logits"), options.pop("k"), **options)
    assert str(caught.value) == f"[route] {message}"


@pytest.mark.parametrize("name", ["k", "groups", "topk_groups"])
def test_numbers_that_are_not_integers(name):
    options = {"k": 2, name: 1.0}
    with pytest.raises(TypeError, match=rf"\[route\] {name} must be an integer"):
        routing.route(X, options.pop("k"), **options)
