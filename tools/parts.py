"""The parts of the wheel that are other projects' work: their licences, and the SBOM.

setup.py puts into the wheel the licence of each part and a software bill of materials,
in the place that PEP 770 names and in the format CycloneDX.
"""

import dataclasses
import importlib.metadata
import json
import pathlib
import re

# The SBOM in the folder .dist-info. The name of the format is part of the file's name.
SBOM = "sboms/mlx-topk.cdx.json"


@dataclasses.dataclass(frozen=True)
class Part:
    """Another project's work that is copied or compiled into the wheel."""

    name: str
    version: str
    purl: str  # names the package: https://github.com/package-url/purl-spec
    licence: str  # an SPDX expression
    use: str
    text: str  # the licence's


def from_pypi(distribution, licence, use):
    """Returns the part that an installed package of PyPI is."""
    (licence_file,) = (f for f in distribution.files if "licenses" in f.parts)
    text = licence_file.locate().read_text()
    name, version = distribution.name.replace("_", "-"), distribution.version
    return Part(name, version, f"pkg:pypi/{name}@{version}", licence, use, text)


def robin_map(nanobind):
    """Returns the library in nanobind's folder ext/. Its licence is in its header."""
    (header,) = (f for f in nanobind.files if f.name == "robin_map.h")
    (growth,) = (f for f in nanobind.files if f.name == "robin_growth_policy.h")
    numbers = re.findall(
        r"define TSL_RH_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)",
        growth.locate().read_text(),
    )
    version = ".".join(numbers)
    return Part(
        name="robin-map",
        version=version,
        purl=f"pkg:github/tessil/robin-map@v{version}",
        licence="MIT",
        use="compiled into mlx._selection",
        text=leading_comment(header.locate().read_text()),
    )


def metal_cpp(back_end):
    """Returns the headers for Metal that are in MLX's back end for macOS."""
    (licence,) = (
        f for f in back_end.files if f.parts[-2:] == ("metal_cpp", "LICENSE.txt")
    )
    return Part(
        name="metal-cpp",
        version="",
        purl="pkg:generic/metal-cpp",
        licence="Apache-2.0",
        use="headers of the back end, compiled into libmlx_topk",
        text=licence.locate().read_text(),
    )


def parts(stock, nanobind):
    """Returns all parts. stock: the installed package mlx, beside its back end."""
    folder = str(stock.locate_file(""))
    (back_end,) = (
        found
        for found in importlib.metadata.distributions(path=[folder])
        if re.fullmatch(r"mlx.(cpu|cuda.\d+|metal)", found.name)
    )
    found = [
        from_pypi(stock, "MIT", "Python files and the extension module, copied"),
        from_pypi(back_end, "MIT", "headers, compiled into libmlx_topk"),
        from_pypi(nanobind, "BSD-3-Clause", "compiled into mlx._selection"),
        robin_map(nanobind),
    ]
    if back_end.name.endswith("metal"):
        found.append(metal_cpp(back_end))
    return found


def leading_comment(source):
    """Returns the text of the block comment that C++ source begins with."""
    comment = re.match(r"/\*\*?(.*?)\*/", source, re.DOTALL).group(1)
    lines = [line.strip().removeprefix("*").strip() for line in comment.splitlines()]
    return "\n".join(lines).strip() + "\n"


def licence_expression(parts):
    """Returns the SPDX expression for the wheel. This project's licence is MIT."""
    return " AND ".join(sorted({"MIT", *(part.licence for part in parts)}))


def write_licences(parts, root):
    """Writes licences below ``root``/build and returns their paths from ``root``.

    setuptools accepts only licence files below the folder of setup.py. A text that
    several parts have is written once.
    """
    owners = {}
    for part in parts:
        owners.setdefault(part.text, part.name)
    names = []
    for text, owner in owners.items():
        path = pathlib.Path("build", "licences", owner, "LICENSE")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        names.append(path.as_posix())
    return names


def sbom(version, parts):
    """Returns the SBOM of the wheel as text.

    It has no time and no serial number, so that two builds give the same text.
    """
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": "mlx-topk",
                "name": "mlx",
                "version": version,
                "licenses": [{"license": {"id": "MIT"}}],
            },
        },
        "components": [component(part) for part in parts],
        "dependencies": [
            {"ref": "mlx-topk", "dependsOn": [part.purl for part in parts]},
            *({"ref": part.purl} for part in parts),
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def component(part):
    """Returns the part as CycloneDX describes a component."""
    described = {
        "type": "library",
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "description": part.use,
        "licenses": [{"license": {"id": part.licence}}],
        "purl": part.purl,
    }
    return {key: value for key, value in described.items() if value}
