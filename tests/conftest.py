"""What all tests share: the device, seeds, hypothesis profiles, forced engines.

HYPOTHESIS_PROFILE in the environment chooses how many examples are drawn:
``quick`` for ``make test``, ``ci`` (if it is not set) and ``nightly``, which draws
other examples at every run.
"""

import collections
import os

import hooks
import mlx.core as mx

# This comes before any test module makes an array, so that these tests run on the CPU
# on a Mac, too.
mx.set_default_device(mx.cpu)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

PROFILES = {
    "quick": {"derandomize": True, "max_examples": 40},
    "ci": {"derandomize": True, "max_examples": 100},
    "nightly": {"derandomize": False, "max_examples": 500},
}
for name, profile in PROFILES.items():
    settings.register_profile(
        name,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
        **profile,
    )
# This comes before the import of cases.py, which reads the profile's max_examples.
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

from cases import ALGORITHMS, GPU, HAS_EMULATOR, INSTRUCTIONS, METAL  # noqa: E402
from metal_kernels import emulated  # noqa: E402

# With ``pytest -n``, the tests of each of these files run in one process, because they
# share an environment, a distribution or a library that takes long to make.
ONE_PROCESS = {
    "test_emulator.py",
    "test_emulator_functions.py",
    "test_install.py",
    "test_macos_wheel.py",
    "test_sdist.py",
    "test_wheel.py",
}

# These files have the longest single tests. They come first, because a process that
# begins such a test last leaves the other processes without work.
LONGEST = {"test_aarch64.py", "test_selftest.py", "test_wheelhouse.py"}

NO_GPU = "there is no GPU here: mx.is_available(mx.gpu) is False"
NO_EMULATOR = "the emulator of Metal runs on Linux only"


def pytest_report_header():
    devices = "cpu, gpu" if mx.is_available(mx.gpu) else "cpu"
    instructions = ", ".join(hooks.kernels())
    profile = settings.get_current_profile_name()
    return (
        f"mlx {mx.__version__}; devices: {devices}; instruction sets of the CPU: "
        f"{instructions} (no others are tested here); hypothesis profile: {profile}"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hands tests out one by one, but those of a file in ``ONE_PROCESS`` together."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return file if file.split("/")[-1] in ONE_PROCESS else nodeid

    return Scheduling(config, log)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_itemcollected(item):
    if not HAS_EMULATOR and item.path.name.startswith(("test_metal", "test_emul")):
        item.add_marker(pytest.mark.skip(NO_EMULATOR))


@pytest.fixture(autouse=True)
def seeded():
    """Seeds the global generators, so that no draw depends on the tests before."""
    mx.random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def engine_in_force(request):
    """Forces the engine that a test is parametrised with, for the whole test.

    The test decides when its arrays are evaluated, and the engine has to be in force
    at that moment.
    """
    callspec = getattr(request.node, "callspec", None)
    engine = callspec.params.get("engine") if callspec else None
    if engine == GPU and not mx.is_available(mx.gpu):
        pytest.skip(NO_GPU)
    if engine in METAL and not HAS_EMULATOR:
        pytest.skip(NO_EMULATOR)
    if engine is not None:
        request.node.user_properties.append(("engine", engine))
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


def pytest_terminal_summary(terminalreporter):
    """Prints how many tests ran on each engine."""
    ran = collections.Counter(
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in report.user_properties
        if name == "engine"
    )
    if not mx.is_available(mx.gpu):
        terminalreporter.write_line(f"Engine gpu was not tested: {NO_GPU}.")
    engines = ", ".join(f"{engine} {tests}" for engine, tests in sorted(ran.items()))
    terminalreporter.write_line(f"Tests by engine: {engines or 'none'}")
