"""Lets the gates of a model of mlx-lm choose by :func:`route`, and undoes it."""

import ast
import functools
import hashlib
import inspect
import sys
from typing import NamedTuple

import mlx.nn as nn
from mlx.nn.routing._gate_forms import Gate, NotExact
from mlx.nn.routing._mlx_lm_gates import GATES
from mlx.nn.routing._mlx_lm_mixtures import MIXTURES
from mlx.nn.routing._mlx_lm_sources import FINGERPRINTS

FORMS = {f"mlx_lm.models.{name}": form for name, form in (GATES | MIXTURES).items()}

# Classes that choose experts in a way that a form does not describe, and why.
_UNSUPPORTED = {
    "mlx_lm.models.dbrx.SparseMoeBlock": "it runs its experts one after another",
    "mlx_lm.models.muse_spark.MoE": "it chooses by a Metal kernel of its own",
    "mlx_lm.models.phimoe.PhiMoESparseMoeBlock": (
        "it computes the scores anew before it chooses the next expert"
    ),
}

# The classes of mlx-lm that hold experts.
_EXPERTS = ("SwitchGLU", "SwitchMLP")


class PatchedGates(NamedTuple):
    """What :func:`patch_gates` did. Paths are those of ``model.named_modules()``.

    Attributes:
        changed (list): The path and the class name of each gate that was changed.
        unchanged (list): The path, the class name and the reason for each gate or
            mixture of experts that was left as it is.
    """

    changed: list[tuple[str, str]]
    unchanged: list[tuple[str, str, str]]


def patch_gates(model: nn.Module) -> PatchedGates:
    """Makes the gates of a model of mlx-lm choose by :func:`route`.

    A gate computes scores, chooses experts and computes their weights with some ten ops
    of MLX. After this call :func:`route` does that in one op, with the settings of the
    gate's class. On the CPU, indices, weights, outputs and gradients keep their bits.
    :func:`unpatch_gates` undoes the change.

    A gate stays the same object, with the same parameters and layers. It gets a class
    that is derived from its own, so other models do not change, and a gate can be
    quantized, sharded or adapted by LoRA before or after the call.

    A gate is changed only if the source text of its class is one for which the settings
    were written, because another version of mlx-lm may compute something else. Other
    gates are listed in the result. Gates that were changed before are not listed.

    If the logits have a half type, gates that round scores to it call :func:`route`
    with the rounded scores, and ``kimi_linear`` and ``longcat_flash`` compute the
    choice as before. In ``deepseek_v2`` an expert of weight 0 may be another one than
    before, and a row with NaN may have other weights.

    Args:
        model (Module): A model of mlx-lm, or another module that contains its layers.

    Returns:
        PatchedGates: The gates that were changed, and those that were not.

    Example:
        >>> import mlx.nn as nn
        >>> from mlx.nn import routing
        >>> routing.patch_gates(nn.Linear(4, 4))
        PatchedGates(changed=[], unchanged=[])
    """
    changed, unchanged, scopes = [], [], []
    modules = list(model.named_modules())
    for path, module in modules:
        cls = getattr(type(module), "_unpatched_class", type(module))
        name = _name(cls)
        if name not in FORMS and name not in _UNSUPPORTED:
            continue
        # A gate that does not run the experts stands beside them.
        is_beside = isinstance(FORMS.get(name), Gate)
        scopes.append(path.rpartition(".")[0] if is_beside else path)
        if cls is not type(module):
            continue
        reason = _reason_to_leave(cls)
        if reason is None:
            # nn.Module has its own __setattr__, for parameters.
            object.__setattr__(module, "__class__", _routed(cls))
            changed.append((path, cls.__name__))
        else:
            unchanged.append((path, cls.__name__, reason))
    unchanged += _mixtures_without(scopes, modules)
    return PatchedGates(sorted(changed), sorted(unchanged))


def unpatch_gates(model: nn.Module) -> int:
    """Undoes :func:`patch_gates`.

    Args:
        model (Module): A module.

    Returns:
        int: The number of gates that were changed back.

    Example:
        >>> import mlx.nn as nn
        >>> from mlx.nn import routing
        >>> routing.unpatch_gates(nn.Linear(4, 4))
        0
    """
    count = 0
    for module in model.modules():
        original = getattr(type(module), "_unpatched_class", None)
        if original is not None:
            object.__setattr__(module, "__class__", original)
            count += 1
    return count


def _name(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


@functools.cache
def _routed(cls):
    """Returns a class derived from ``cls`` that computes its choice by ``route``."""
    form = FORMS[_name(cls)]

    def __call__(self, x):
        try:
            return form(self, x)
        except NotExact:
            return cls.__call__(self, x)

    # Marks the class for unpatch_gates. Its own name does not say that it is patched,
    # since mlx-lm and users may look for the name.
    members = {"__call__": __call__, "_unpatched_class": cls}
    return type(cls.__name__, (cls,), members)


@functools.cache
def fingerprint(cls: type) -> str | None:
    """Returns a hash of the source of a class and of the functions that it uses.

    White space and the rest of the class's file have no influence. ``None`` if there is
    no source.
    """
    try:
        source = inspect.getsource(sys.modules[cls.__module__])
    except (OSError, TypeError):
        return None
    defined = {
        node.name: node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    pending, used = [cls.__name__], {}
    while pending:
        name = pending.pop()
        if name in used or name not in defined:
            continue
        used[name] = "".join(ast.get_source_segment(source, defined[name]).split())
        pending += [
            node.id
            for node in ast.walk(defined[name])
            if isinstance(node, ast.Name)
            and isinstance(defined.get(node.id), ast.FunctionDef)
        ]
    text = "\n".join(used[name] for name in sorted(used))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _reason_to_leave(cls):
    """Returns why a gate of this class is not changed, or ``None`` if it is."""
    name = _name(cls)
    if name in _UNSUPPORTED:
        return _UNSUPPORTED[name]
    if fingerprint(cls) not in FINGERPRINTS[name]:
        return "its source text is unknown"
    return None


def _mixtures_without(scopes, modules):
    """Lists the mixtures whose experts are in none of the modules at these paths."""
    found = []
    by_path = dict(modules)
    for path, module in modules:
        if type(module).__name__ not in _EXPERTS:
            continue
        above = {"", *(path[:i] for i, c in enumerate(path) if c == ".")}
        if above.isdisjoint(scopes):
            owner = path.rpartition(".")[0]
            kind = type(by_path[owner]).__name__
            found.append((owner, kind, "its class is unknown"))
    return found
