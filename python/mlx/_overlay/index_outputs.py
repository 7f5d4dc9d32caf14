"""``checkpoint`` and ``custom_function``, which treat indices among the outputs.

MLX makes one primitive of a checkpointed or custom function, and takes all outputs of
a primitive to depend on its input, indices too. Therefore the wrapped function returns
its indices as constants. The caller gets the same indices, with the gradient that the
index gradient mode gives them.
"""

import threading

import mlx.core as mx
from mlx import _selection
from mlx._overlay.originals import docstring_of, name_like, place, stock


class _Waiting(threading.local):
    # The list that belongs to the call that this thread has begun. The function that is
    # called takes the list, sets this to None, and puts a bool into the list for each
    # output leaf, if any of them is an index.
    found = None


_waiting = _Waiting()
_differentiating_under_vmap = _selection.differentiating_under_vmap
_has_traced_integer = _selection.has_traced_integer
_mode_in_force = _selection.index_gradient_in_force


def install(core):
    for name in ("vjp", "jvp", "vmap"):
        rule = getattr(custom_function, name)
        rule.__doc__ = docstring_of(getattr(stock.custom_function, name))
    custom_function.__doc__ = stock.custom_function.__doc__
    place(core, checkpoint)
    place(core, custom_function)


def checkpoint(fun):
    by_mode = {}

    def call(*args, **kwargs):
        # MLX cannot vectorise the gradient of a checkpoint, so the function is called
        # without one. The results are the same. The memory is not saved.
        if _differentiating_under_vmap():
            return fun(*args, **kwargs)
        mode = _mode_in_force()
        function = by_mode.get(mode)
        if function is None:
            function = by_mode[mode] = stock.checkpoint(_hiding_indices(fun, mode))
        return _call("checkpoint", function, args, kwargs)

    return name_like(fun, call)


class custom_function:
    def __init__(self, f):
        self._function = f
        self._rules = None

    def __call__(self, *args, **kwargs):
        # Until a rule is added, a call only calls the function, as in stock MLX.
        if self._rules is None:
            return self._function(*args, **kwargs)
        mode = _mode_in_force()
        function = self._by_mode.get(mode)
        if function is None:
            function = self._by_mode[mode] = self._with_rules(mode)
        return _call("custom_function", function, args, kwargs)

    def vjp(self, f):
        return self._add_rule("vjp", f)

    def jvp(self, f):
        return self._add_rule("jvp", f)

    def vmap(self, f):
        return self._add_rule("vmap", f)

    def _add_rule(self, name, definition):
        if self._rules is None:
            self._rules = {}
        self._rules[name] = definition
        # What was made before lacks the rule.
        self._by_mode = {}
        return self

    def _with_rules(self, mode):
        function = stock.custom_function(_hiding_indices(self._function, mode))
        for name, definition in self._rules.items():
            getattr(function, name)(definition)
        return function


def _call(name, function, args, kwargs):
    """Calls a transformed function. Index outputs get the gradient of an index."""
    found = _waiting.found = []
    try:
        outputs = function(*args, **kwargs)
    finally:
        _waiting.found = None
    if not found:
        return outputs
    return _map_chosen(lambda a: _selection.index_output(a, name), outputs, found)


def _hiding_indices(fun, mode):
    """Returns ``fun`` with its index outputs made constants.

    In a call that ``_call`` has begun, says which outputs are indices. Otherwise MLX is
    running the function again, to recompute its outputs. Then ``mode`` is put in force,
    which is the one that was in force in the call.
    """

    def body(*args, **kwargs):
        found = _waiting.found
        if found is not None:
            _waiting.found = None
            outputs = fun(*args, **kwargs)
        else:
            with mx.index_gradient(mode):
                outputs = fun(*args, **kwargs)
            _hide_stopped_indices(outputs)
        if not _has_traced_integer(outputs):
            return outputs
        is_index = _index_outputs(outputs, (args, kwargs))
        if True not in is_index:
            return outputs
        if found is not None:
            found.extend(is_index)
        return _map_chosen(_selection.constant, outputs, is_index)

    return body


def _hide_stopped_indices(outputs):
    # This graph was made for one vjp or jvp, so nothing has to be undone.
    if _selection.has_error_ops():
        arrays = [a for a in leaves(outputs) if isinstance(a, mx.array)]
        _selection.hide_stopped_indices(arrays)


def _index_outputs(outputs, inputs):
    """Returns for each leaf of ``outputs`` whether it is an index.

    An output is taken for an index if it is an integer array of a traced graph, and no
    gradient path links it to ``inputs``.
    """
    sources = None
    is_index = []
    for leaf in leaves(outputs):
        found = (
            isinstance(leaf, mx.array)
            and mx.issubdtype(leaf.dtype, mx.integer)
            and _selection.is_tracer(leaf)
        )
        if found:
            if sources is None:
                sources = [a for a in leaves(inputs) if isinstance(a, mx.array)]
            found = not _selection.depends_on(leaf, sources)
        is_index.append(found)
    return is_index


def leaves(tree):
    """Returns the leaves of lists, tuples and dicts, in order."""
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        return [tree]
    return [leaf for branch in tree for leaf in leaves(branch)]


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
