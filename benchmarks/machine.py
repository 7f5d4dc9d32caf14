"""Describes the machine and the commit that a measurement was made on."""

import datetime
import os
import pathlib
import platform
import subprocess

import mlx.core as mx
from mlx import _selection

ROOT = pathlib.Path(__file__).parents[1]


def processor():
    """Returns the processor's name, family and model.

    Processors of different generations may have the same name.
    """
    if platform.system() != "Linux":
        return platform.processor()
    known = {}
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            known.setdefault(name.strip(), value.strip())
    if "model name" not in known:
        return platform.processor()
    family, model = known.get("cpu family"), known.get("model")
    return f"{known['model name']} (family {family}, model {model})"


def git(*arguments):
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit():
    """Returns the commit that is measured, with "-dirty" if files differ from it.

    README.md and files in docs do not count, since a measurement writes there.
    """
    counted = [".", ":(exclude)docs", ":(exclude)README.md"]
    try:
        changed = git("status", "--porcelain", "-uno", "--", *counted)
        return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe():
    """Returns the facts about a measurement that are published with its figures.

    ``load`` is the load average of the last minute: above zero, other programs ran.
    """
    return {
        "machine": platform.machine(),
        "processor": processor(),
        "instructions": _selection.kernels()[0],
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "versions": {"mlx": mx.__version__},
    }
