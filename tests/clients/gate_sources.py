"""Writes the fingerprints of mlx-lm's gates to the module that keeps them.

``python tests/clients/gate_sources.py`` adds those of the installed mlx-lm. Read the
source of each class that changed before you do this: its form must still be right.
"""

import importlib
import pathlib

from mlx.nn.routing import _mlx_lm_sources
from mlx.nn.routing.gates import FORMS, fingerprint

PATH = pathlib.Path(__file__).parents[2] / "python/mlx/nn/routing/_mlx_lm_sources.py"


def installed():
    """Returns the fingerprints of the installed mlx-lm by the name of the class."""
    found = {}
    for name in FORMS:
        module, _, cls = name.rpartition(".")
        try:
            found[name] = fingerprint(getattr(importlib.import_module(module), cls))
        except (ImportError, AttributeError):
            continue
    return found


def main():
    known = {name: list(_mlx_lm_sources.FINGERPRINTS.get(name, ())) for name in FORMS}
    for name, value in installed().items():
        if value not in known[name]:
            known[name].append(value)
    lines = []
    for name in sorted(known):
        values = "".join(f'"{value}", ' for value in known[name]).strip()
        lines.append(f'    "{name}": ({values}),')
    text = PATH.read_text()
    head = text[: text.index("FINGERPRINTS = {")]
    PATH.write_text("\n".join([f"{head}FINGERPRINTS = {{", *lines, "}", ""]))


if __name__ == "__main__":
    main()
