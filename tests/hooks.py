"""What only tests need of the library: forced algorithms, the emulator of Metal.

It is in a module that the wheel does not carry. `make test` builds it into
build/tests. The module uses the libraries that mlx.core has loaded, so tests run what
is installed.
"""

import importlib.util
import os
import pathlib
import sys

import mlx.core  # noqa: F401

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = pathlib.Path(os.environ.get("MLX_TOPK_TESTING", ROOT / "build" / "tests"))


def _load():
    name = "_selection_testing"
    tag = sys.implementation.cache_tag.split("-")[1]
    found = [p for p in FOLDER.glob(f"{name}.*.so") if tag in p.name]
    if not found:
        raise ImportError(f"{FOLDER} has no {name} for {tag}: run `make hooks` first.")
    spec = importlib.util.spec_from_file_location(name, found[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_module = _load()

Algorithm = _module.Algorithm
MetalKernel = _module.MetalKernel
compile_for_cuda = _module.compile_for_cuda
cuda_compiler_version = _module.cuda_compiler_version
cuda_source = _module.cuda_source
emulate_metal = _module.emulate_metal
emulate_route = _module.emulate_route
emulate_route_gradient = _module.emulate_route_gradient
force_algorithm = _module.force_algorithm
force_metal_kernel = _module.force_metal_kernel
has_route_gradient = _module.has_route_gradient
kernels = _module.kernels
metal_kernel_report = _module.metal_kernel_report
metal_sources = _module.metal_sources
partition_by_stock = _module.partition_by_stock
route_by_stock = _module.route_by_stock
route_gradient_by_stock = _module.route_gradient_by_stock
route_sources = _module.route_sources
take_emulated_counts = _module.take_emulated_counts
take_emulated_errors = _module.take_emulated_errors
topk_by_stock = _module.topk_by_stock
use_kernels = _module.use_kernels
