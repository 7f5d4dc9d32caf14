// Copyright © 2026 the mlx-topk authors. MIT licence.

/**
 * The k best elements along an axis and where they were. Among equal elements
 * the lower index wins, and NaN counts as greatest.
 **/
MLX_API TopKResult topk(
    const array& a,
    int k,
    int axis,
    TopKMode mode,
    TopKOrder order,
    StreamOrDevice s = {});

/** As topk, by default the largest, best first; the name of the array API. */
MLX_API TopKResult top_k(
    const array& a,
    int k,
    int axis = -1,
    TopKMode mode = TopKMode::largest,
    TopKOrder order = TopKOrder::sorted,
    StreamOrDevice s = {});
