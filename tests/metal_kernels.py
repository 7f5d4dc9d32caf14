"""For tests: builds the Metal kernels for the emulator and has MLX's CPU ops use them.

Also re-exports the emulator's modules, so that tests need not change sys.path.
"""

import contextlib
import functools
import pathlib
import re
import sys

import hooks

ROOT = pathlib.Path(__file__).parent.parent
sys.path.append(str(ROOT))

# All kernels of the wheel, and the files that they are made of.
SOURCE = "overlay/backend/metal/kernels/selection.metal"
REST = "overlay/backend/metal/kernels/rest.h"
ROUTE = "overlay/backend/metal/kernels/route.h"
GRADIENT = "overlay/backend/metal/kernels/route_gradient.h"
FLOATS = ("float16", "bfloat16", "float32")
FILES = [
    file.relative_to(ROOT).as_posix()
    for folder in ("mlx", "overlay")
    for file in sorted((ROOT / folder / "backend/metal/kernels").rglob("*"))
    if file.suffix in (".h", ".metal")
]

from metal import emulator  # noqa: E402
from metal.emulator.check import check as check_source  # noqa: E402, F401


@functools.cache
def library(tracked=False):
    """Returns the emulator's Library of SOURCE."""
    return emulator.build(ROOT / SOURCE, tracked=tracked, include_dirs=[ROOT])


def write_kernels(folder, old="", new="", dtypes=(), names=()):
    """Writes the kernels to a folder, with ``old`` replaced by ``new``.

    dtypes: the types to instantiate the kernels for; all types if empty.
    names: the kernels to instantiate, if not all of those types.

    Returns the path of the source to build; ``folder`` is its include directory.
    """
    found = False
    for name in FILES:
        text = (ROOT / name).read_text()
        found |= old in text
        text = text.replace(old, new) if old else text
        if dtypes:
            text = with_dtypes(text, "topk", dtypes)
            text, end, route = text.partition("\n// The shapes of route_plan.cpp.")
            text = with_dtypes(text, "rest", dtypes) + end
            text += with_dtypes(route, "route", [d for d in FLOATS if d in dtypes])
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    assert found, f"no kernel contains {old!r}"
    if names:
        lines = [f'#include "{header}"' for header in (REST, ROUTE, GRADIENT)]
        lines += [f'instantiate_kernel("{n}", {instantiation(n)})' for n in names]
        (folder / SOURCE).write_text("\n".join(lines) + "\n")
    return folder / SOURCE


def with_dtypes(text, kind, dtypes):
    """Returns ``text`` with other types in the list of a kind of kernels at its end."""
    first = "float16" if kind == "route" else "uint8"
    head, found, _ = text.partition(f"instantiate_{kind}({first})")
    lines = [f"instantiate_{kind}({dtype})\n" for dtype in dtypes]
    return head + "".join(lines) if found else text


def instantiation(name):
    """Returns a kernel's template and its arguments: "topk_rest, order_int8"."""
    family, dtype, rest = re.fullmatch(r"(topk_[a-z_]+)_([a-z]+\d+)(.*)", name).groups()
    return ", ".join([family, f"order_{dtype}", *rest.split("_")[1:]])


@contextlib.contextmanager
def emulated(kernel=None, tracked=False, seed=0, missing="", path=None):
    """A context in which selections on the CPU device run the Metal kernels.

    An array uses the kernels if it is evaluated inside the context. On exit, fails if
    the emulator found a mistake or a kernel could not be used.

    kernel: a member of hooks.MetalKernel to use; None to use the planned one.
    seed: determines a random order of threads; 0 runs them one after the other.
    missing: a prefix. Kernels whose names begin with it fail to compile.
    path: the emulator's library, if not that of SOURCE.
    """
    path = str(path or library(tracked).path)
    hooks.force_metal_kernel(kernel)
    hooks.take_emulated_counts()
    hooks.emulate_metal(path, seed=seed, missing=missing)
    try:
        yield
    finally:
        hooks.emulate_metal("")
        hooks.force_metal_kernel(None)
        errors = hooks.take_emulated_errors()
    assert not errors, f"the emulator reports:\n{errors}"
    _, broken = hooks.metal_kernel_report()
    assert missing or not broken, f"kernels that could not be used: {broken}"
