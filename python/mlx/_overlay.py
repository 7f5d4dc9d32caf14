"""Loads MLX's own ``mlx.core`` and puts our functions into it.

What is written in C++ comes from ``mlx._selection``. Here is what wraps Python
callables: functions with state in Python (the random key), and transforms that
hide the indices of a function from ours.
"""

import contextlib
import functools
import importlib.machinery
import importlib.util
import pathlib
import sys
import threading
import types
from typing import NamedTuple

from mlx._version import UPSTREAM, VERSION

# MLX's extension module, once it is executed, and what it was called then.
_loaded = {}

# MLX's own functions, by name, as they were before ours took their places.
stock = types.SimpleNamespace()

# How many functions this thread is tracing for vmap, one inside another.
_mapping = threading.local()

_INDEX_NOTE = (
    "The indices have no gradient: see :class:`index_gradient` for what a\n"
    "transform makes of them.\n"
)


def load_core(name):
    """Returns the module ``mlx.core``, patched, and leaves it in ``sys.modules``.

    Called again, by a reload or after an import that failed, it returns the same
    module: a second execution of MLX's extension would end the process.
    """
    if not _loaded:
        core = _load_extension(name)
        _loaded.update(core=core, identity=_special(core))
    core, identity = _loaded["core"], _loaded["identity"]
    sys.modules[name] = core
    for attribute in _special(core).keys() - identity.keys():
        delattr(core, attribute)
    vars(core).update(identity)
    if core.__version__ != UPSTREAM:
        raise _back_end_error(f"libmlx is {core.__version__}")
    if not hasattr(core, "TopKResult"):
        _patch(core)
    core.__version__ = VERSION
    return core


def under_vmap():
    """Whether a function is being traced for ``vmap``: some of MLX's ops cannot be."""
    return getattr(_mapping, "depth", 0) > 0


def _special(core):
    """The attributes that importlib may set anew when it reloads a module."""
    return {name: value for name, value in vars(core).items() if name[:2] == "__"}


def _patch(core):
    vars(stock).update(vars(core))
    stock.categorical = core.random.categorical

    from mlx import _selection

    _install(core, _selection)


def _load_extension(name):
    folder = pathlib.Path(__file__).parent
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = folder / f"core{suffix}"
        if path.exists():
            break
    else:
        raise ImportError(f"[mlx] {folder} lacks MLX's extension module mlx.core.")
    spec = importlib.util.spec_from_file_location(name, path)
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except ImportError as error:
        raise _back_end_error(error) from error
    return module


def _back_end_error(reason):
    # Only here: it takes longer to import than the rest of this file.
    import importlib.metadata

    found = []
    for name in ("mlx-cpu", "mlx-cuda-12", "mlx-cuda-13", "mlx-metal"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ImportError(
        f"[mlx] mlx {VERSION} needs a back end of exactly version {UPSTREAM}, and "
        f"here is {', '.join(found) or 'none'}: {reason}. Install one, for example: "
        f'pip install "mlx-cpu=={UPSTREAM}" (on macOS mlx-metal).'
    )


def _install(core, selection):
    array = core.array

    class TopKResult(NamedTuple):
        """What :func:`top_k` returns: the chosen elements and where they were."""

        values: array
        indices: array

    selection.set_result_type(TopKResult)

    @_like(stock.categorical, _INDEX_NOTE)
    def categorical(
        logits, axis=-1, shape=None, num_samples=None, key=None, stream=None
    ):
        def draw(a):
            return stock.categorical(a, axis, shape, num_samples, key, stream)

        return selection.index_op("categorical", draw, logits)

    def index_outputs(outputs, inputs):
        """Which arrays of a traced function's outputs are indices of its own."""
        sources = [a for a in _arrays(inputs) if isinstance(a, array)]
        return [
            isinstance(a, array)
            and core.issubdtype(a.dtype, core.integer)
            and selection.is_tracer(a)
            and not selection.depends_on(a, sources)
            for a in _arrays(outputs)
        ]

    def keep_indices(name, transform, fun):
        """``transform(fun)``, whose index outputs stay what they are in ``fun``.

        The transform returns all outputs as those of one primitive, so that an
        index among them would carry a gradient again. Inside, indices are made
        constants; outside, they get the rule of the mode in force back.
        """

        def call(*args, **kwargs):
            mode = selection.index_gradient_in_force()
            is_index = None

            def body(*args, **kwargs):
                nonlocal is_index
                with core.index_gradient(mode):
                    outputs = fun(*args, **kwargs)
                found = index_outputs(outputs, (args, kwargs))
                is_index = is_index or found
                hide = iter(found)
                return _map_arrays(
                    lambda a: selection.constant(a) if next(hide) else a, outputs
                )

            outputs = transform(body)(*args, **kwargs)
            if not is_index or not any(is_index):
                return outputs
            reveal = iter(is_index)
            return _map_arrays(
                lambda a: selection.index_output(a, name) if next(reveal) else a,
                outputs,
            )

        return call

    @_like(stock.checkpoint)
    def checkpoint(fun):
        return functools.wraps(fun)(keep_indices("checkpoint", stock.checkpoint, fun))

    class custom_function:
        __doc__ = stock.custom_function.__doc__

        def __init__(self, f):
            self._rules = {}

            def transform(body):
                function = stock.custom_function(body)
                for rule, definition in self._rules.items():
                    getattr(function, rule)(definition)
                return function

            self._call = keep_indices("custom_function", transform, f)

        def __call__(self, *args, **kwargs):
            return self._call(*args, **kwargs)

    def add_rule(name):
        @_like(getattr(stock.custom_function, name))
        def rule(self, f):
            self._rules[name] = f
            return self

        rule.__name__ = name
        rule.__qualname__ = f"custom_function.{name}"
        setattr(custom_function, name, rule)

    for name in ("vjp", "jvp", "vmap"):
        add_rule(name)

    def portable(fun, shapeless):
        """``fun``, tracing to primitives that every MLX can load."""

        @functools.wraps(fun)
        def traced(*args, **kwargs):
            with selection.portable_graph(shapeless):
                return fun(*args, **kwargs)

        return traced

    @_like(stock.export_function)
    def export_function(
        file_or_callback, fun, *args, shapeless=False, metadata=None, **kwargs
    ):
        return stock.export_function(
            file_or_callback,
            portable(fun, shapeless),
            *args,
            shapeless=shapeless,
            metadata=metadata,
            **kwargs,
        )

    @_like(stock.exporter)
    def exporter(file, fun, *, shapeless=False, metadata=None):
        traced = portable(fun, shapeless)
        return stock.exporter(file, traced, shapeless=shapeless, metadata=metadata)

    tracing = threading.local()

    def name_the_op(transform):
        """``transform``, which says whose index it was that a gather refused.

        Only in the mode ``error``; else nothing has been noted down. What has
        been is forgotten when the outermost transform ends.
        """

        @functools.wraps(transform)
        def call(*args, **kwargs):
            outermost = not getattr(tracing, "active", False)
            tracing.active = True
            try:
                return transform(*args, **kwargs)
            except ValueError as error:
                ops = selection.take_error_ops()
                if ops and "with respect to indices" in str(error):
                    message = selection.index_gradient_error(", ".join(ops))
                    raise ValueError(message) from error
                raise
            finally:
                if outermost:
                    tracing.active = False
                    selection.take_error_ops()

        return call

    @_like(stock.grad)
    def grad(fun, argnums=None, argnames=()):
        return name_the_op(stock.grad(fun, argnums, argnames))

    @_like(stock.value_and_grad)
    def value_and_grad(fun, argnums=None, argnames=()):
        return name_the_op(stock.value_and_grad(fun, argnums, argnames))

    @_like(stock.vjp)
    def vjp(fun, primals, cotangents):
        return name_the_op(stock.vjp)(fun, primals, cotangents)

    @_like(stock.jvp)
    def jvp(fun, primals, tangents):
        return name_the_op(stock.jvp)(fun, primals, tangents)

    @_like(stock.vmap)
    def vmap(fun, in_axes=0, out_axes=0):
        @functools.wraps(fun)
        def mapped(*args, **kwargs):
            _mapping.depth = getattr(_mapping, "depth", 0) + 1
            try:
                return fun(*args, **kwargs)
            finally:
                _mapping.depth -= 1

        return stock.vmap(mapped, in_axes, out_axes)

    for added in (
        TopKResult,
        checkpoint,
        custom_function,
        export_function,
        exporter,
        grad,
        value_and_grad,
        vjp,
        jvp,
        vmap,
    ):
        _place(core, added)
    _place(core.random, categorical)


def _place(module, added):
    added.__module__ = module.__name__
    added.__qualname__ = added.__name__
    setattr(module, added.__name__, added)


def _like(original, note=None):
    """Gives a function the words that MLX has for the one it stands in for."""

    def decorate(function):
        _, doc, _ = original.__nb_signature__[0]
        function.__doc__ = f"{doc}\n{note}" if note else doc
        return function

    return decorate


def _arrays(tree):
    """The leaves of lists, tuples and dicts, in order."""
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        return [tree]
    return [leaf for branch in tree for leaf in _arrays(branch)]


def _map_arrays(function, tree):
    """The same tree with ``function`` of each leaf, called in order."""
    if isinstance(tree, dict):
        return {key: _map_arrays(function, value) for key, value in tree.items()}
    if not isinstance(tree, (list, tuple)):
        return function(tree)
    branches = [_map_arrays(function, branch) for branch in tree]
    if isinstance(tree, tuple):
        return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)
    return branches
