"""Describes the machine and the commit that a measurement was made on."""

import datetime
import os
import pathlib
import platform
import subprocess

from mlx import _selection

ROOT = pathlib.Path(__file__).parents[1]


def processor():
    """Returns the processor's name, with what tells generations of it apart."""
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


def commit():
    """Returns the commit that is measured, marked where files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def describe():
    """Returns what belongs to every published figure.

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
    }
