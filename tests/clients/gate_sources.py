"""Writes the fingerprints of mlx-lm's gates to the module that keeps them.

``python tests/clients/gate_sources.py`` adds those of the mlx-lm that Python finds. It
adds a new one only if the form has the bits of the class, in the cases of
``gate_cases.py``. Read the class too: the cases have one process and no adapters.
"""

import importlib
import pathlib

from gate_cases import keeps_bits, one_of_each
from mlx.nn.routing import _mlx_lm_sources
from mlx.nn.routing.gates import FORMS, fingerprint

PATH = pathlib.Path(__file__).parents[2] / "python/mlx/nn/routing/_mlx_lm_sources.py"


def installed():
    """Returns the fingerprints of the classes of mlx-lm, by the name of the class."""
    found = {}
    for name in FORMS:
        module, _, cls = name.rpartition(".")
        try:
            found[name] = fingerprint(getattr(importlib.import_module(module), cls))
        except (ImportError, AttributeError):
            continue
    return found


def is_described(name, module):
    try:
        return keeps_bits(name, module)
    except AttributeError as error:
        # The class of this version lacks a setting.
        print(f"{name}: {error}")
        return False


def main():
    known = {name: list(_mlx_lm_sources.FINGERPRINTS.get(name, ())) for name in FORMS}
    modules = one_of_each()
    for name, value in installed().items():
        if value in known[name]:
            continue
        if is_described(name, modules[name]):
            known[name].append(value)
        else:
            print(f"{name}: this version computes something else")
    lines = []
    for name in sorted(known):
        values = "".join(f'"{value}", ' for value in known[name]).strip()
        lines.append(f'    "{name}": ({values}),')
    text = PATH.read_text()
    head = text[: text.index("FINGERPRINTS = {")]
    PATH.write_text("\n".join([f"{head}FINGERPRINTS = {{", *lines, "}", ""]))


if __name__ == "__main__":
    main()
