"""``selection_info``: what of selection is active in this process."""

import contextlib
import os
import pathlib
import platform

from mlx import _selection
from mlx._overlay.back_ends import FOLDER, installed
from mlx._overlay.originals import place, stock
from mlx._version import CONTRACT, VERSION


def install(core):
    def selection_info():
        """
        What of selection is active in this process, for reports of problems.

        ``python -m mlx.selftest support`` prints it.

        Returns:
            dict: The versions of ``mlx``, of the contract (docs/topk.md) and of the
            ``libmlx`` that is loaded, the folder of the package, the back ends
            installed there, the platform, the instruction sets of the CPU (the first
            is in use), the number of threads, the GPU and whether its kernels are
            on, the folder of compiled kernels with its size in bytes, and the
            environment variables that begin with ``MLX_``.
        """
        here = [fact[:2] for fact in installed() if fact[2] == FOLDER]
        return {
            "mlx": VERSION,
            "contract": CONTRACT,
            "libmlx": stock.__version__,
            "folder": FOLDER,
            "back_ends": dict(here),
            "platform": _platform(),
            "instruction_sets": _selection.kernels(),
            "threads": core.selection_threads(),
            "gpu": _gpu(core, dict(here)),
            "cache": _cache(),
            "variables": {
                name: value
                for name, value in sorted(os.environ.items())
                if name.startswith("MLX_")
            },
        }

    place(core, selection_info)


def _platform():
    mac = platform.mac_ver()[0]
    system = f"macOS {mac}" if mac else platform.platform()
    return f"{system}, {platform.machine()}, Python {platform.python_version()}"


def _gpu(core, back_ends):
    """Returns for Metal and CUDA whether kernels are on, and the reason if not."""
    launches, broken = _selection.metal_kernel_report()
    gpus = {}
    for name, module in (("metal", core.metal), ("cuda", getattr(core, "cuda", None))):
        facts = {"kernels": False, "why_not": None, "device": None}
        if module is None or not module.is_available():
            facts["why_not"] = "the back end for it is not installed"
            if any(f"mlx-{name}" in package for package in back_ends):
                facts["why_not"] = "its back end finds no such GPU"
        else:
            facts["device"] = core.device_info(core.gpu).get("device_name")
            facts["launches"] = launches
            facts["broken_kernels"] = dict(broken)
            facts["why_not"] = _why_not(broken)
            facts["kernels"] = facts["why_not"] is None
        gpus[name] = facts
    return gpus


def _why_not(broken):
    for name in ("MLX_TOPK_GPU", "MLX_TOPK_METAL"):
        value = os.environ.get(name)
        if value is not None:
            # The first of the two that is set is the one that is read.
            if value == "0":
                return f"{name}=0 turns them off"
            break
    if broken:
        name, reason = broken[0]
        return f"{len(broken)} kernels cannot be used, the first is {name}: {reason}"
    return None


def _cache():
    """Returns the folder of compiled CUDA kernels and the size of its files."""
    folder = os.environ.get("MLX_TOPK_CACHE")
    if folder == "0":
        return {"folder": None, "bytes": 0}
    if not folder:
        base = os.environ.get("XDG_CACHE_HOME", "")
        home = os.environ.get("HOME", "")
        if base.startswith("/"):
            folder = pathlib.Path(base, "mlx-topk")
        elif home.startswith("/"):
            folder = pathlib.Path(home, ".cache", "mlx-topk")
        else:
            return {"folder": None, "bytes": 0}
    size = 0
    with contextlib.suppress(OSError):
        for file in pathlib.Path(folder).iterdir():
            size += file.stat().st_size
    return {"folder": str(folder), "bytes": size}
