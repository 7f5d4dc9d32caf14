"""Loads MLX's extension module as ``mlx.core`` and replaces functions in it."""

import importlib.machinery
import importlib.util
import os
import sys

from mlx._overlay import back_ends
from mlx._overlay.originals import stock
from mlx._version import STOCK_VERSION, VERSION

# Empty until MLX's extension has been executed. Then ``core`` is the module, and
# ``special`` has the special attributes (``__name__`` etc.) that it had at first.
_loaded = {}


def load_core(name):
    """Returns the module ``mlx.core``, patched, and leaves it in ``sys.modules``.

    A second call, by a reload or after an import that failed, returns the same
    module, because executing MLX's extension twice would end the process.
    """
    if not _loaded:
        core = _load_extension(name)
        _loaded.update(core=core, special=_special(core))
    core, special = _loaded["core"], _loaded["special"]
    sys.modules[name] = core
    for attribute in _special(core).keys() - special.keys():
        delattr(core, attribute)
    vars(core).update(special)
    if core.__version__ != STOCK_VERSION:
        raise back_ends.error(f"the libmlx that was loaded is {core.__version__}")
    if not hasattr(core, "TopKResult"):
        _patch(core)
    core.__version__ = VERSION
    return core


def require_own_core():
    """Raises an ImportError if ``import mlx.core`` finds that of another folder."""
    problem = _why_not_own_core()
    if problem:
        raise ImportError(problem)


def why_not_selection():
    """Returns why ``mlx._selection`` cannot be imported now, or None if it can.

    It replaces functions of ``mlx.core``, so ``load_core`` must have loaded that.
    """
    if _loaded and sys.modules.get("mlx.core") is _loaded["core"]:
        return None
    return _why_not_own_core() or (
        "[mlx] mlx._selection cannot be imported on its own. Import mlx.core."
    )


def _why_not_own_core():
    # The package mlx has no __init__.py, so Python looks for each of its modules in
    # every folder mlx on sys.path. It finds this module even if a folder that comes
    # before has another mlx.core.
    core = sys.modules.get("mlx.core")
    if core is not None and core is _loaded.get("core"):
        return None
    spec = core.__spec__ if core else importlib.util.find_spec("mlx.core")
    # This is mlx/core/__init__.py here, and mlx/core.SUFFIX.so in stock MLX.
    folder, name = os.path.split(spec.origin)
    folder = os.path.dirname(folder)
    if name == "__init__.py":
        folder = os.path.dirname(folder)
    folder = os.path.realpath(folder)
    if name == "__init__.py" and folder == back_ends.FOLDER:
        return None
    return (
        f"[mlx] mlx {VERSION} is installed in {back_ends.FOLDER}, but Python takes "
        f"mlx.core from {folder}, where stock MLX or another build is. Uninstall that "
        f"one, or let {back_ends.FOLDER} come first on Python's path (sys.path)."
    )


def _special(core):
    """Returns the special attributes, which importlib may change in a reload."""
    return {name: value for name, value in vars(core).items() if name[:2] == "__"}


def _patch(core):
    vars(stock).update(vars(core))
    stock.categorical = core.random.categorical

    # These import mlx._selection, which replaces functions as it is imported.
    from mlx._overlay import export, index_outputs, info, ops, transforms, vmap

    for module in (export, index_outputs, info, transforms, vmap, ops):
        module.install(core)


def _load_extension(name):
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = os.path.join(folder, f"core{suffix}")
        if os.path.exists(path):
            break
    else:
        raise ImportError(f"[mlx] {folder} lacks MLX's extension module mlx.core.")
    spec = importlib.util.spec_from_file_location(name, path)
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except ImportError as error:
        raise back_ends.error(error) from error
    return module
