"""A matrix product in which each row selects its matrix. Every transform works on it.

``mx.gather_mm`` computes the product, but it has no ``jvp`` and no ``vmap``, and on
the CPU it takes float32 only. This module adds the rules and casts half types.
"""

import mlx.core as mx
from mlx._overlay.vmap import under_vmap


def chosen_matmul(x: mx.array, weight: mx.array, indices: mx.array) -> mx.array:
    """Computes ``x[i] @ weight[indices[i]]`` for each row ``i``.

    Under ``mx.vmap`` each row is multiplied by all ``E`` matrices, and the product
    with the selected one is picked.

    Args:
        x (array): Shape ``(N, D)``, floating.
        weight (array): Shape ``(E, D, H)``, of the type of ``x``.
        indices (array): Shape ``(N,)``, integers from 0 to ``E - 1``.

    Returns:
        array: Shape ``(N, H)``, of the type of ``x``.
    """
    if under_vmap():
        products = x @ weight
        return mx.take_along_axis(products, indices[None, :, None], axis=0).squeeze(0)
    return _product(x, weight, indices)


@mx.custom_function
def _product(x, weight, indices):
    # MLX's jvp differentiates this body too, and fails at gather_mm. If the inputs are
    # constants, there is nothing to differentiate here, and only the rules below count.
    x, weight = mx.stop_gradient(x), mx.stop_gradient(weight)
    rows, matrices = _native(x)[:, None], _native(weight)
    product = mx.gather_mm(rows, matrices, rhs_indices=indices)
    return product.squeeze(1).astype(x.dtype)


@_product.vjp
def _product_vjp(inputs, cotangent, _):
    x, weight, indices = inputs
    to_x = _product(cotangent, mx.swapaxes(weight, 1, 2), indices)
    to_weight = _outer_sums(weight.shape[0])(x, cotangent, indices)
    return to_x, to_weight, mx.zeros_like(indices)


@_product.jvp
def _product_jvp(inputs, tangents):
    return _bilinear(_product, inputs, tangents)


def _outer_sums(experts):
    """Returns a function that sums ``outer(x[i], y[i])`` over the rows of each expert.

    ``x`` has shape ``(N, D)`` and ``y`` ``(N, H)``; the sums have ``(E, D, H)``.
    """

    @mx.custom_function
    def outer_sums(x, y, indices):
        x, y = mx.stop_gradient(x), mx.stop_gradient(y)
        rows, columns = _native(x)[:, None], _native(y)[:, None]

        def product(weight):
            return mx.gather_mm(rows, weight, rhs_indices=indices)

        # The product is linear in the weight, so its vjp at any weight is the sum.
        zeros = mx.zeros((experts, x.shape[1], y.shape[1]), rows.dtype)
        _, (sums,) = mx.vjp(product, [zeros], [columns])
        return mx.stop_gradient(sums.astype(x.dtype))

    @outer_sums.vjp
    def vjp(inputs, cotangent, _):
        x, y, indices = inputs
        to_x = _product(y, mx.swapaxes(cotangent, 1, 2), indices)
        return to_x, _product(x, cotangent, indices), mx.zeros_like(indices)

    @outer_sums.jvp
    def jvp(inputs, tangents):
        return _bilinear(outer_sums, inputs, tangents)

    return outer_sums


def _bilinear(function, inputs, tangents):
    """Returns the tangent of a function that is linear in each of its two inputs."""
    (x, y, indices), (d_x, d_y, _) = inputs, tangents
    parts = []
    if d_x is not None:
        parts.append(function(d_x, y, indices))
    if d_y is not None:
        parts.append(function(x, d_y, indices))
    return sum(parts[1:], parts[0])


def _native(x):
    """Casts to a type that ``mx.gather_mm`` takes on the default device."""
    return x.astype(mx.float32) if mx.default_device() == mx.cpu else x
