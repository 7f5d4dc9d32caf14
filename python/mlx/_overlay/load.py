"""Loads MLX's extension module as ``mlx.core`` and replaces functions in it."""

import importlib.machinery
import importlib.util
import os
import sys

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
        raise _back_end_error(f"libmlx is {core.__version__}")
    if not hasattr(core, "TopKResult"):
        _patch(core)
    core.__version__ = VERSION
    return core


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
        raise _back_end_error(error) from error
    return module


def _back_end_error(reason):
    # Imported here, because importing it takes longer than all other imports.
    import importlib.metadata

    found = []
    for name in ("mlx-cpu", "mlx-cuda-12", "mlx-cuda-13", "mlx-metal"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ImportError(
        f"[mlx] mlx {VERSION} needs a back end of exactly version {STOCK_VERSION}. "
        f"Installed: {', '.join(found) or 'none'}. The error was: {reason}. Install "
        f'one, for example: pip install "mlx-cpu=={STOCK_VERSION}" '
        "(on macOS mlx-metal)."
    )
