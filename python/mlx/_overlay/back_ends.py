"""Finds the installed back ends, and says why one of them cannot be used.

A back end is a package of MLX's that installs ``libmlx`` into the folder ``mlx`` of
the package ``mlx``. MLX's extension module looks for ``libmlx`` only there.
"""

import os
import sys

from mlx._version import STOCK_VERSION, VERSION

NAMES = ("mlx-cpu", "mlx-cuda-12", "mlx-cuda-13", "mlx-metal")
# What an error tells the user to install.
RECOMMENDED = "mlx-metal" if sys.platform == "darwin" else "mlx-cpu"
# The folder into which this package is installed, usually site-packages. Only the
# folder is resolved, because uv can install each file as a link into its cache.
FOLDER = os.path.realpath(__file__.rsplit(os.sep, 3)[0])


def installed():
    """Returns name, version and folder of each back end, in the order of sys.path."""
    # Imported here, because importing it takes longer than all other imports.
    import importlib.metadata

    found = []
    for name in NAMES:
        for package in importlib.metadata.distributions(name=name):
            folder = os.path.realpath(package.locate_file(""))
            fact = (name, package.version, folder)
            if fact not in found:
                found.append(fact)
    return found


def error(reason):
    """Returns the ImportError that says which back end is needed and what is wrong.

    ``reason`` is the error of the system's loader.
    """
    found = installed()
    here = [(name, version) for name, version, folder in found if folder == FOLDER]
    wrong = [" ".join(fact) for fact in here if fact[1] != STOCK_VERSION]
    pip = "pip install"
    if not found:
        state, advice = "none", "Install one"
    elif not here:
        name, version, folder = found[0]
        state = f"{name} {version}, but in another folder: {folder}"
        advice = "Install a back end into the first folder"
        # Without this option pip does nothing if it sees a back end elsewhere.
        pip += " --ignore-installed --no-deps"
    elif wrong:
        state, advice = f"{', '.join(wrong)}, another version", "Replace it"
    else:
        state = f"{', '.join(map(' '.join, here))}, but it cannot be loaded"
        advice = "If its files are damaged, install it again"
        pip += " --force-reinstall --no-deps"
    package = here[0][0] if here else RECOMMENDED
    return ImportError(
        f"[mlx] mlx {VERSION} needs a back end of exactly version {STOCK_VERSION} in "
        f"its own folder, {FOLDER}. Installed: {state}. The error was: {reason}. "
        f'{advice}, for example: {pip} "{package}=={STOCK_VERSION}"'
    )
