"""The Metal kernels, built for the emulator once and put to work for a test."""

import contextlib
import functools
import pathlib
import sys

import hooks

ROOT = pathlib.Path(__file__).parent.parent
sys.path.append(str(ROOT))

# All kernels of the wheel, and the files that they are made of.
SOURCE = "overlay/backend/metal/kernels/selection.metal"
FILES = [
    file.relative_to(ROOT).as_posix()
    for folder in ("mlx", "overlay")
    for file in sorted((ROOT / folder / "backend/metal/kernels").rglob("*"))
    if file.suffix in (".h", ".metal")
]

from metal import emulator  # noqa: E402
from metal.emulator import cuda  # noqa: E402, F401
from metal.emulator.check import check as check_source  # noqa: E402, F401


@functools.cache
def library(tracked=False):
    return emulator.build(ROOT / SOURCE, tracked=tracked, include_dirs=[ROOT])


def write_kernels(folder, old="", new="", dtypes=()):
    """Writes the kernels to a folder with ``old`` replaced, for some types only.

    Returns the path of the source to build; ``folder`` is its include directory.
    """
    found = False
    for name in FILES:
        text = (ROOT / name).read_text()
        found |= old in text
        text = text.replace(old, new) if old else text
        for kind in ("topk", "rest") if dtypes else ():
            head, first, _ = text.partition(f"instantiate_{kind}(uint8)")
            lines = [f"instantiate_{kind}({dtype})\n" for dtype in dtypes]
            text = head + "".join(lines) if first else text
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    assert found, f"no kernel contains {old!r}"
    return folder / SOURCE


@contextlib.contextmanager
def emulated(kernel=None, tracked=False, seed=0, missing="", path=None):
    """Until its end, what the CPU selects is selected by the Metal kernels.

    Arrays have to be evaluated inside. Raises if the emulator found anything wrong.
    path: of another library than that of SOURCE.
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
    assert not errors, errors
    _, broken = hooks.metal_kernel_report()
    assert missing or not broken, broken
