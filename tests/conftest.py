"""Deterministic hypothesis profiles, and a word on which back ends ran."""

import hooks
import mlx.core as mx
import pytest
from hypothesis import HealthCheck, settings

from cases import ALGORITHMS, INSTRUCTIONS, METAL
from metal_kernels import emulated

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


def pytest_report_header():
    devices = "cpu, gpu" if mx.is_available(mx.gpu) else "cpu"
    instructions = ", ".join(hooks.kernels())
    return (
        f"mlx {mx.__version__}; devices: {devices}; instructions: {instructions}; "
        "the rest is not tested here"
    )


@pytest.fixture(autouse=True)
def forced_kernels(request):
    """Until the test ends: arrays are evaluated when it looks at them."""
    callspec = getattr(request.node, "callspec", None)
    engine = callspec.params.get("engine") if callspec else None
    if engine in ALGORITHMS:
        hooks.force_algorithm(ALGORITHMS[engine])
    if engine in INSTRUCTIONS:
        hooks.use_kernels(engine)
    if engine in METAL:
        missing = "topk" if engine == "metal_missing" else ""
        with emulated(METAL[engine], missing=missing):
            yield
    else:
        yield
    hooks.force_algorithm(None)
    hooks.use_kernels(hooks.kernels()[0])
