"""``checkpoint`` and ``custom_function`` for functions that return indices.

MLX makes one primitive of a checkpointed or custom function, and takes all outputs of
a primitive to depend on its input, indices too. Therefore the wrapped function returns
its indices as constants. The caller gets the same indices, with the gradient that the
index gradient mode gives them.
"""

import functools
import threading

import mlx.core as mx
from mlx import _selection
from mlx._overlay.originals import docstring_of, place, stock

# ``call`` is the _Call that this thread has begun. When the wrapped function starts, it
# takes ``call`` and sets it to None.
_waiting = threading.local()


def install(core):
    for name in ("vjp", "jvp", "vmap"):
        rule = getattr(custom_function, name)
        rule.__doc__ = docstring_of(getattr(stock.custom_function, name))
    custom_function.__doc__ = stock.custom_function.__doc__
    place(core, checkpoint)
    place(core, custom_function)


def checkpoint(fun):
    if not callable(fun):
        return stock.checkpoint(fun)  # MLX's own error
    return functools.wraps(fun)(_keeping_indices("checkpoint", stock.checkpoint, fun))


class custom_function:
    def __init__(self, f):
        if not callable(f):
            stock.custom_function(f)  # MLX's own error
        # Until a rule is added, a call only calls the function, as in stock MLX.
        self._function = f
        self._rules = {}
        self._call = f

    def __call__(self, *args, **kwargs):
        return self._call(*args, **kwargs)

    def vjp(self, f):
        return self._add_rule("vjp", f)

    def jvp(self, f):
        return self._add_rule("jvp", f)

    def vmap(self, f):
        return self._add_rule("vmap", f)

    def _add_rule(self, name, definition):
        self._rules[name] = definition
        transform = functools.partial(_with_rules, dict(self._rules))
        self._call = _keeping_indices("custom_function", transform, self._function)
        return self


def _with_rules(rules, function):
    function = stock.custom_function(function)
    for name, definition in rules.items():
        getattr(function, name)(definition)
    return function


class _Call:
    """A call of a wrapped function. ``is_index`` has a bool for each output leaf."""

    __slots__ = ("is_index",)


def _keeping_indices(name, transform, fun):
    """Returns ``transform(fun)``, whose index outputs have the gradient of an index.

    The transformed function is made once for each index gradient mode. MLX may run
    ``fun`` again later, to recompute its outputs. The mode must then be the one that
    was in force in the call.
    """
    transformed = {}

    def call(*args, **kwargs):
        mode = _selection.index_gradient_in_force()
        if mode not in transformed:
            transformed[mode] = transform(_hiding_indices(fun, mode))
        this = _waiting.call = _Call()
        this.is_index = ()
        try:
            outputs = transformed[mode](*args, **kwargs)
        finally:
            _waiting.call = None
        if True not in this.is_index:
            return outputs
        return _map_chosen(
            lambda a: _selection.index_output(a, name), outputs, this.is_index
        )

    return call


def _hiding_indices(fun, mode):
    """Returns ``fun`` with its index outputs made constants.

    If there is a ``_waiting.call``, its ``is_index`` is set. If there is none, MLX is
    running the function again, and ``mode`` is put in force for that.
    """

    def body(*args, **kwargs):
        call, _waiting.call = getattr(_waiting, "call", None), None
        if call is None:
            with mx.index_gradient(mode):
                outputs = fun(*args, **kwargs)
        else:
            outputs = fun(*args, **kwargs)
        is_index = _index_outputs(outputs, (args, kwargs))
        if call is not None:
            call.is_index = is_index
        if True not in is_index:
            return outputs
        return _map_chosen(_selection.constant, outputs, is_index)

    return body


def _index_outputs(outputs, inputs):
    """Returns for each leaf of ``outputs`` whether it is an index.

    An output is taken for an index if it is an integer array of a traced graph, and no
    gradient path links it to ``inputs``.
    """
    sources = None
    is_index = []
    for leaf in _leaves(outputs):
        found = (
            isinstance(leaf, mx.array)
            and mx.issubdtype(leaf.dtype, mx.integer)
            and _selection.is_tracer(leaf)
        )
        if found:
            if sources is None:
                sources = [a for a in _leaves(inputs) if isinstance(a, mx.array)]
            found = not _selection.depends_on(leaf, sources)
        is_index.append(found)
    return is_index


def _leaves(tree):
    """Returns the leaves of lists, tuples and dicts, in order."""
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        return [tree]
    return [leaf for branch in tree for leaf in _leaves(branch)]


def _map_chosen(function, tree, chosen):
    """Returns the tree with ``function`` applied to the leaves that are ``chosen``."""
    flags = iter(chosen)

    def mapped(tree):
        if isinstance(tree, dict):
            return {key: mapped(value) for key, value in tree.items()}
        if not isinstance(tree, (list, tuple)):
            return function(tree) if next(flags) else tree
        branches = [mapped(branch) for branch in tree]
        if isinstance(tree, tuple):
            return (
                type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)
            )
        return branches

    return mapped(tree)
