"""Deterministic hypothesis profiles, and a word on which back ends ran."""

import mlx.core as mx
from hypothesis import HealthCheck, settings

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
    return f"mlx {mx.__version__}; devices: {devices}; the rest is not tested here"
