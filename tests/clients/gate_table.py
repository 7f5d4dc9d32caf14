"""Writes the table of mlx-lm's gates to docs/mlx-lm.md.

``python tests/clients/gate_table.py --write`` replaces the table between the two marks
in the page. Without ``--write`` it prints the table.
"""

import argparse
import pathlib

from gate_cases import choice_of
from mlx.nn.routing import gates
from mlx.nn.routing._gate_forms import reader
from train_types import model_modules

from small_configs import build

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "mlx-lm.md"
MARKS = "<!-- gates -->\n", "<!-- end of gates -->\n"
# Model types that cannot be built on a CPU, and why.
NOT_BUILT = {"prism_hadamard_qwen35": "its weights are packed"}
HEAD = """\
| model types | scores | groups | choice | weights | half types |
|---|---|---|---|---|---|
"""


def types_by_class():
    """Maps the names of classes to the model types whose models have them."""
    found = {}
    for name, module in model_modules():
        if name in NOT_BUILT:
            continue
        for part in build(module, name).modules():
            kind = gates._name(type(part))
            if kind in gates.FORMS or kind in gates._UNSUPPORTED:
                found.setdefault(kind, set()).add(name)
    return found


def described(form):
    """Returns the cells of a form's row, without the model types."""
    choice = choice_of(form)
    scores = "as configured" if reader(choice.score) else choice.score
    scores += " + bias" if choice.bias is not None else ""
    groups = choice.group_score if choice.groups != 1 else ""
    if groups and choice.excluded_score != 0:
        groups += ", excluded at -inf"
    chosen = "higher ties, best last" if choice.ascending else ""
    if choice.renormalize is False:
        weights = "in another way" if has_finish(form) else "scores"
    elif choice.score == "logits":
        weights = "softmax of the chosen"
    else:
        weights = "divided by their sum"
        weights += "" if choice.renormalize is True else ", if configured"
        weights += f", eps {choice.eps:g}" if choice.eps else ""
    if choice.cast:
        half = "float32"
    elif choice.score == "logits" or choice.scores_of is not None:
        half = "rounded scores"
    else:
        half = "mlx-lm's own"
    return scores, groups, chosen, weights, half


def has_finish(form):
    return getattr(form, "gate", form).finish is not None


def table():
    """Returns the lines of the table: one for all types that choose alike."""
    rows = {}
    types = types_by_class()
    for name, form in gates.FORMS.items():
        rows.setdefault(described(form), set()).update(types[name])
    lines = [
        "| {} |".format(" | ".join([", ".join(sorted(names)), *cells]))
        for cells, names in sorted(rows.items(), key=lambda row: sorted(row[1]))
    ]
    left = {
        **{
            name: reason
            for kind, reason in gates._UNSUPPORTED.items()
            for name in types[kind]
        },
        **NOT_BUILT,
    }
    lines += [
        f"| {name} | not changed: {reason} | | | | |"
        for name, reason in sorted(left.items())
    ]
    return HEAD + "".join(f"{line}\n" for line in lines)


def parts(page):
    """Splits the page into what is before the table, the table, and the rest."""
    before, mark, rest = page.partition(MARKS[0])
    inside, end, after = rest.partition(MARKS[1])
    assert mark and end, f"{PAGE} has no {MARKS}"
    return before + mark, inside, end + after


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        before, _, after = parts(PAGE.read_text())
        PAGE.write_text(f"{before}\n{table()}\n{after}")
    else:
        print(table())


if __name__ == "__main__":
    main()
