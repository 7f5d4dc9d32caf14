"""Other projects' work in the wheel: the SBOM and the licences name all of it."""

import json
import pathlib
import re
import subprocess
import sys
import sysconfig
import zipfile

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from trove_classifiers import classifiers

from test_wheel import LICENSE_OWNERS, ROOT, STOCK, STOCK_VERSION, WHEEL, metadata

sys.path.append(str(ROOT))

from tools import parts

NANOBIND = pathlib.Path(pytest.importorskip("nanobind").include_dir()).parent
BACK_END = "mlx-cpu" if sys.platform == "linux" else "mlx-metal"


def in_dist_info(ending):
    """Returns {path: text} of the files of .dist-info whose path ends so."""
    with zipfile.ZipFile(WHEEL) as wheel:
        names = [n for n in wheel.namelist() if ".dist-info/" in n]
        return {n: wheel.read(n).decode() for n in names if re.search(ending, n)}


def sbom():
    (text,) = in_dist_info(r"/sboms/.*\.cdx\.json$").values()
    return text


# ---- the SBOM ----------------------------------------------------------------


def test_the_sbom_is_valid_cyclonedx():
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(sbom()) is None
    broken = sbom().replace('"type": "library"', '"type": "book"')
    assert validator.validate_str(broken) is not None


def test_the_sbom_names_the_versions_that_were_built_from():
    document = json.loads(sbom())
    assert document["metadata"]["component"]["version"] == metadata()["Version"]
    found = {c["name"]: c.get("version") for c in document["components"]}
    growth = NANOBIND / "ext/robin_map/include/tsl/robin_growth_policy.h"
    numbers = re.findall(r"TSL_RH_VERSION_\w+ (\d+)", growth.read_text())
    expected = {
        "mlx": STOCK_VERSION,
        BACK_END: STOCK_VERSION,
        "nanobind": re.search(
            r"nanobind==([\d.]+)", (ROOT / "pyproject.toml").read_text()
        ).group(1),
        "robin-map": ".".join(numbers),
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found.keys() - expected.keys() == (
        {"metal-cpp"} if sys.platform == "darwin" else set()
    )


def test_every_part_depends_on_nothing_that_the_sbom_lacks():
    document = json.loads(sbom())
    references = {c["bom-ref"] for c in document["components"]}
    named = {d["ref"] for d in document["dependencies"]}
    (root,) = (d for d in document["dependencies"] if "dependsOn" in d)
    assert set(root["dependsOn"]) == references
    assert named == references | {document["metadata"]["component"]["bom-ref"]}


# The folders of headers, and the part of the SBOM that each belongs to. The headers of
# the compiler, of the C library and of Python leave nothing in the wheel that has
# conditions: the licences of libgcc and libstdc++ have exceptions for that.
OWNERS = {
    STOCK / "mlx/include/mlx": BACK_END,
    STOCK / "mlx/include/metal_cpp": "metal-cpp",
    NANOBIND / "ext/robin_map": "robin-map",
    NANOBIND: "nanobind",
    ROOT: "",
    pathlib.Path("/usr"): "",
    pathlib.Path("/Library"): "",
    pathlib.Path("/Applications"): "",
    pathlib.Path(sysconfig.get_paths()["include"]): "",
}
# All that is compiled of this project. Nothing in build/stock is.
OWN_FOLDERS = ("mlx", "overlay", "python", "metal", "tests", "build/tests")


def owner(header):
    """Returns the part that a header belongs to, "" if to none, or its path."""
    for folder, part in OWNERS.items():
        if header.is_relative_to(folder):
            own = [(ROOT / name).resolve() for name in OWN_FOLDERS]
            if folder == ROOT and not any(header.is_relative_to(f) for f in own):
                break
            return part
    return str(header)


def test_every_header_that_was_compiled_belongs_to_a_part_of_the_sbom():
    folder = (ROOT / "build" / "tests").resolve()
    listed = subprocess.run(
        [pathlib.Path(sys.executable).with_name("ninja"), "-C", folder, "-t", "deps"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    paths = {line.strip() for line in listed.splitlines() if line.startswith("    ")}
    assert len(paths) > 100
    headers = {(folder / path).resolve() for path in paths}
    named = {c["name"] for c in json.loads(sbom())["components"]}
    owners = {owner(header) for header in headers}
    assert owners - {""} <= named
    assert {BACK_END, "nanobind", "robin-map"} <= owners


# ---- the licences ------------------------------------------------------------


def test_the_licence_texts_are_those_of_all_parts():
    texts = list(in_dist_info("/licenses/").values())
    assert len(texts) == len(LICENSE_OWNERS)
    for name in LICENSE_OWNERS:
        assert sum(name in text for text in texts) == 1, name


def test_the_licence_expression_covers_every_part():
    document = json.loads(sbom())
    licences = {
        licence["license"]["id"]
        for component in document["components"]
        for licence in component["licenses"]
    }
    expression = metadata()["License-Expression"]
    assert set(expression.split(" AND ")) == licences | {"MIT"}


def test_the_metal_headers_of_macos_are_a_part_with_their_own_licence(tmp_path):
    licence = tmp_path / "mlx/include/metal_cpp/LICENSE.txt"
    licence.parent.mkdir(parents=True)
    licence.write_text("The text.\n")
    info = tmp_path / "mlx_metal-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: mlx-metal\nVersion: 1\n")
    (info / "RECORD").write_text("mlx/include/metal_cpp/LICENSE.txt,,\n")
    (found,) = parts.importlib.metadata.distributions(path=[str(tmp_path)])
    part = parts.metal_cpp(found)
    assert (part.licence, part.text) == ("Apache-2.0", "The text.\n")
    assert parts.licence_expression([part]) == "Apache-2.0 AND MIT"


# ---- the metadata ------------------------------------------------------------


def test_the_classifiers_exist():
    found = metadata().get_all("Classifier")
    assert len(found) > 5
    assert set(found) <= classifiers


def test_the_citation_has_the_version_and_the_licence_of_the_wheel():
    text = (ROOT / "CITATION.cff").read_text()
    (version,) = re.findall(r"^version: (\S+)$", text, re.MULTILINE)
    assert version == metadata()["Version"]
    assert re.findall(r"^license: (\S+)$", text, re.MULTILINE) == ["MIT"]
