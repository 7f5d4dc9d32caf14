"""pip and uv install, exchange and remove the wheel, and leave nothing broken.

The packages come from folders: MLX's own wheels, downloaded once, and this project's
wheel, also under an older version. Only the tests with mlx-lm ask PyPI.
"""

import base64
import hashlib
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

from test_wheel import ROOT, STOCK_VERSION, WHEEL, run

OURS = f"{STOCK_VERSION}+topk.1"
OLDER = f"{STOCK_VERSION}+topk.0"
OLDER_STOCK = "0.32.3"
NEWER_STOCK = STOCK_VERSION + ".1"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # the first test downloads wheels
    pytest.mark.skipif(
        sys.platform != "linux", reason="installs mlx-cpu, which is for Linux"
    ),
]

# Prints the version, and fails if an op or a gradient is wrong. Stock MLX has no top_k.
USE = """
import mlx.core as mx
x = mx.array([3.0, 1.0, 2.0])
assert mx.argsort(x).tolist() == [1, 2, 0]
if hasattr(mx, "top_k"):
    gradient = mx.grad(lambda x: mx.take_along_axis(x, mx.argsort(x), -1)[0])(x)
    assert gradient.tolist() == [0, 1, 0]
print(mx.__version__)
"""


def renamed(wheel, version, folder):
    """Makes a copy of a wheel with another version."""
    old = wheel.name.split("-")[1]
    contents = folder / f"mlx-{version}"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(contents)
    (info,) = contents.glob("*.dist-info")
    info = info.rename(contents / f"mlx-{version}.dist-info")
    files = [info / "METADATA", contents / "mlx" / "_version.py"]
    changes = {f"Version: {old}\n": f"Version: {version}\n", "+topk.1": "+topk.0"}
    for file in filter(pathlib.Path.exists, files):
        text = file.read_text()
        for before, after in changes.items():
            text = text.replace(before, after)
        file.write_text(text)
    run(sys.executable, "-m", "wheel", "pack", contents, "--dest-dir", folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of wheels: MLX's, a later one of MLX's, ours, and an older one of ours.

    No wheel is in two folders, so that a test decides what an installer finds.
    """
    base = tmp_path_factory.mktemp("wheels")
    found = {name: base / name for name in ("stock", "newer", "ours", "older")}
    for folder in found.values():
        folder.mkdir()
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    for version in (STOCK_VERSION, OLDER_STOCK):
        packages = [f"mlx=={version}", f"mlx-cpu=={version}"]
        run(*download, "-d", found["stock"], *packages)
    (stock,) = found["stock"].glob(f"mlx-{STOCK_VERSION}-*.whl")
    renamed(stock, NEWER_STOCK, found["newer"])
    (found["ours"] / WHEEL.name).symlink_to(WHEEL)
    renamed(WHEEL, OLDER, found["older"])
    return found


@pytest.fixture(scope="module")
def uv(tmp_path_factory):
    """The program uv, installed for these tests only."""
    folder = tmp_path_factory.mktemp("uv")
    run(sys.executable, "-m", "pip", "install", "-q", "--target", folder, "uv")
    return folder / "bin" / "uv"


class Environment:
    """A virtual environment without any package, and an installer for it.

    ``reinstall`` is the installer's option that replaces what is installed already.
    """

    def __init__(self, folder, installer, uv, folders):
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        self.python = folder / "bin" / "python"
        self.folders = folders
        if installer == "uv":
            self.reinstall = "--reinstall"
            self.command = [uv, "pip", "{}", "--python", self.python]
            self.yes = []
        else:
            self.reinstall = "--force-reinstall"
            self.command = [sys.executable, "-m", "pip", "--python", self.python, "{}"]
            self.yes = ["-y"]
        where = "import sysconfig; print(sysconfig.get_paths()['platlib'])"
        self.site = pathlib.Path(run(self.python, "-c", where))
        self.cache = folder / "cache"

    def call(self, task, *arguments):
        command = [str(part).format(task) for part in self.command]
        done = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            cwd="/",
            env={**os.environ, "UV_CACHE_DIR": str(self.cache), "UV_NO_CONFIG": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(self, *arguments, find):
        """Installs from some of the folders, and from nowhere else."""
        links = [f"--find-links={self.folders[name]}" for name in find.split()]
        return self.call("install", "--no-index", *links, *arguments)

    def uninstall(self, *names):
        self.call("uninstall", *self.yes, *names)

    def versions(self):
        """Returns the versions of the installed packages of MLX's names."""
        found = importlib.metadata.distributions(path=[str(self.site)])
        return {d.name: d.version for d in found if d.name.startswith("mlx")}

    def check(self, version, back_end=STOCK_VERSION):
        """Checks versions, each file of the packages, and that MLX works."""
        assert self.versions() == {"mlx": version, "mlx-cpu": back_end}
        assert self.files() == self.recorded()
        assert run(self.python, "-I", "-c", USE) == version

    def files(self):
        """Returns the hash of each file in the folders of MLX's packages."""
        return {
            file.relative_to(self.site).as_posix(): hash_of(file)
            for folder in self.site.glob("mlx*")
            for file in folder.rglob("*")
            if file.is_file() and file.suffix != ".pyc" and file.parent != self.site
            if file.name not in WRITTEN_BY_INSTALLERS
        }

    def recorded(self):
        """Returns the hashes of the same files, as the installed packages list them."""
        return {
            file.as_posix(): file.hash.value
            for package in importlib.metadata.distributions(path=[str(self.site)])
            for file in package.files
            if file.parts[0].startswith("mlx") and file.hash
            if file.name not in WRITTEN_BY_INSTALLERS and file.suffix != ".pyc"
        }


WRITTEN_BY_INSTALLERS = {
    "RECORD",
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
    "uv_cache.json",
}


def hash_of(file):
    digest = hashlib.sha256(file.read_bytes()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.fixture(params=["pip", "uv"])
def environment(request, tmp_path, uv, folders):
    return Environment(tmp_path / "environment", request.param, uv, folders)


def test_into_an_empty_environment(environment):
    environment.install(f"mlx[cpu]=={OURS}", find="ours stock")
    environment.check(OURS)


@pytest.mark.parametrize("version", [STOCK_VERSION, OLDER_STOCK])
def test_over_stock_mlx(environment, version):
    environment.install(f"mlx[cpu]=={version}", find="stock")
    environment.check(version, back_end=version)
    environment.install(f"mlx[cpu]=={OURS}", find="ours stock")
    environment.check(OURS)


def test_over_an_older_stock_mlx_without_the_extra(environment):
    """The back end stays, and the error of the import has the command that helps."""
    environment.install(f"mlx[cpu]=={OLDER_STOCK}", find="stock")
    environment.install(f"mlx=={OURS}", find="ours stock")
    message = failing_import(environment.python)
    assert f"Installed: mlx-cpu {OLDER_STOCK}, another version." in message
    environment.install(*advice(message), find="ours stock")
    environment.check(OURS)


def failing_import(python):
    done = subprocess.run(
        [python, "-I", "-c", "import mlx.core"], capture_output=True, text=True
    )
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def advice(message):
    """Returns the options and the package of the command in a message."""
    (command,) = re.findall(r"for example: pip install (.*)$", message)
    return command.replace('"', "").split()


@pytest.mark.parametrize("environment", ["pip"], indirect=True)
def test_into_an_environment_that_sees_the_packages_of_another(environment, tmp_path):
    """Stock's back end lies in the other environment, so the wheel cannot use it."""
    other = Environment(tmp_path / "other", "pip", None, environment.folders)
    other.install(f"mlx-cpu=={STOCK_VERSION}", find="stock")
    (environment.site / "other.pth").write_text(f"{other.site}\n")
    # pip finds the requirement mlx-cpu satisfied, by the other environment.
    environment.install(f"mlx[cpu]=={OURS}", find="ours stock")
    assert environment.versions() == {"mlx": OURS}
    message = failing_import(environment.python)
    assert f"but in another folder: {other.site}." in message
    environment.install(*advice(message), find="ours stock")
    environment.check(OURS)


def test_upgrade(environment):
    environment.install(f"mlx[cpu]=={OLDER}", find="older stock")
    environment.check(OLDER)
    environment.install("--upgrade", "mlx[cpu]", find="ours older stock")
    environment.check(OURS)


def test_downgrade(environment):
    environment.install(f"mlx[cpu]=={OURS}", find="ours stock")
    environment.install(f"mlx=={OLDER}", find="ours older stock")
    environment.check(OLDER)


@pytest.mark.parametrize("version", [STOCK_VERSION, OLDER_STOCK])
def test_back_to_stock_mlx(environment, version):
    environment.install(f"mlx[cpu]=={OURS}", find="ours stock")
    reinstall = environment.reinstall
    environment.install(reinstall, f"mlx[cpu]=={version}", find="stock")
    environment.check(version, back_end=version)


def test_install_again(environment):
    environment.install(f"mlx[cpu]=={OURS}", find="ours stock")
    environment.install(environment.reinstall, f"mlx=={OURS}", find="ours stock")
    environment.check(OURS)


def test_uninstall_leaves_no_file_and_keeps_the_back_end(environment):
    environment.install(f"mlx[cpu]=={OURS}", find="ours stock")
    run(environment.python, "-c", USE)
    environment.uninstall("mlx")
    assert environment.versions() == {"mlx-cpu": STOCK_VERSION}
    assert environment.files() == environment.recorded()
    environment.uninstall("mlx-cpu")
    assert [f for f in environment.site.rglob("mlx*/**/*") if f.is_file()] == []


@pytest.mark.parametrize(
    "requirement",
    ["mlx", "mlx>=0.31", f"mlx=={STOCK_VERSION}", f"mlx~={STOCK_VERSION}", "mlx[cpu]"],
)
def test_what_asks_for_mlx_is_satisfied(environment, requirement):
    environment.install(f"mlx[cpu]=={OURS}", find="ours stock")
    environment.install(requirement, find="stock")
    environment.check(OURS)


def test_an_upgrade_takes_a_later_stock_mlx_unless_the_version_is_pinned(environment):
    environment.install(f"mlx[cpu]=={OURS}", find="ours stock")
    upgrade = ["--upgrade", "--dry-run"]
    pinned = environment.install(*upgrade, f"mlx=={OURS}", find="ours newer stock")
    assert NEWER_STOCK not in pinned
    free = environment.install(*upgrade, "mlx", find="ours newer stock")
    assert NEWER_STOCK in free
    environment.check(OURS)


def test_installing_mlx_lm_changes_no_package_of_mlx(environment):
    environment.install(f"mlx[cpu]=={OURS}", find="ours stock")
    pinned = (ROOT / "requirements-clients.txt").read_text().strip()
    wanted = pinned.replace("mlx-lm", "mlx-lm[cpu]")
    assert wanted != pinned
    printed = environment.call("install", "--dry-run", wanted)
    # pip prints "Would install mlx-lm-0.32.2 ...", and uv a line " + mlx-lm==0.32.2".
    changes = "\n".join(re.findall(r"^(?:Would install| [-+~]) .*", printed, re.M))
    names = re.findall(r"(?<![\w-])(mlx(?:-[a-z]+)*)(?:==|-)\d", changes)
    assert names == ["mlx-lm"]
    environment.check(OURS)
