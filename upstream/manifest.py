"""Reads manifest/*.json: which files and which lines of ours go where in MLX's tree.

A capability has ``needs``, ``files`` and ``edits``. A text is lines, or ``from`` a file
of this repository: all of it, or the items named in ``take``, or what is left
``without`` some, with ``replace`` applied; or ``parts``, which are texts.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from upstream.edits import ROOT, Edit, EditError, replaced, taken, without

MANIFEST = Path(__file__).resolve().parent / "manifest"


@dataclass(frozen=True)
class Capability:
    name: str
    title: str
    needs: tuple
    files: dict
    edits: tuple


def text_of(source, root=ROOT):
    if isinstance(source, list):
        return "".join(f"{line}\n" for line in source)
    if "parts" in source:
        return "\n".join(text_of(part, root) for part in source["parts"])
    name = source["from"]
    text = (root / name).read_text()
    if "take" in source:
        text = taken(text, source["take"], name)
    text = without(text, source.get("without", []), name)
    text = replaced(text, source.get("replace", []), name)
    return "\n" * source.get("blank_before", 0) + text + "\n" * source.get("blank", 0)


def read_edit(data, root):
    (kind,) = {"before", "after", "function", "block"} & data.keys()
    text = text_of(data[kind], root)
    times, start = data.get("times", 1), data.get("start", "")
    return Edit(data["file"], data["anchor"], kind, text, times, start)


def read(directory=MANIFEST, root=ROOT):
    """The capabilities by name, each after those that it needs."""
    capabilities = {}
    places = set()
    for path in sorted(directory.glob("*.json")):
        data = json.loads(path.read_text())
        edits = tuple(read_edit(edit, root) for edit in data.get("edits", []))
        for edit in edits:
            place = (edit.file, edit.anchor, edit.kind)
            if place in places:
                raise EditError(f"{path.name}: {edit.place} is edited twice.")
            places.add(place)
        files = {to: text_of(source, root) for to, source in data["files"].items()}
        name = path.stem.partition("-")[2]
        needs = tuple(data.get("needs", []))
        if not set(needs) <= capabilities.keys():
            raise EditError(f"{path.name}: needs what does not come before it.")
        capabilities[name] = Capability(name, data["title"], needs, files, edits)
    return capabilities


def with_needs(names, capabilities):
    """``names`` and what they need, in order."""
    wanted = set(names)
    for name in reversed(capabilities):
        if name in wanted:
            wanted.update(capabilities[name].needs)
    return [name for name in capabilities if name in wanted]


def with_dependents(names, capabilities):
    """``names`` and what needs them, in order."""
    wanted = set(names)
    for name, capability in capabilities.items():
        if wanted.intersection(capability.needs):
            wanted.add(name)
    return [name for name in capabilities if name in wanted]
