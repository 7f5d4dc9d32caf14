"""Keeps MLX's own functions, and puts others in their places."""

import types

# MLX's own functions by name. ``load`` fills it before anything is replaced.
stock = types.SimpleNamespace()


def place(module, replacement, note=None):
    """Adds a function or class to one of MLX's modules, under its own name.

    A function gets the docstring of the function that it replaces, and then ``note``.
    """
    name = replacement.__name__
    original = getattr(stock, name, None)
    if original is not None and not isinstance(original, type):
        docstring = docstring_of(original)
        replacement.__doc__ = f"{docstring}\n{note}" if note else docstring
    replacement.__module__ = module.__name__
    replacement.__qualname__ = name
    setattr(module, name, replacement)


def docstring_of(function):
    """Returns the docstring of a function of MLX without its signature."""
    _, docstring, _ = function.__nb_signature__[0]
    return docstring


def name_like(function, wrapper):
    """Returns ``wrapper`` with the name and the docstring of ``function``.

    Transforms are made at every training step. ``functools.update_wrapper`` would
    take several times as long as MLX takes to make one.
    """
    try:
        wrapper.__name__ = function.__name__
    except AttributeError:
        wrapper.__name__ = type(function).__name__
    wrapper.__doc__ = function.__doc__
    return wrapper
