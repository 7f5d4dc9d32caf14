# Copyright © 2026 the mlx-topk authors. MIT licence.

"""Prints what of selection is active, in one screen."""

import mlx.core as mx


def lines():
    info = mx.selection_info()
    installed = ", ".join(f"{n} {v}" for n, v in info["back_ends"].items())
    yield f"mlx            {info['mlx']}"
    yield f"contract       {info['contract']}"
    yield f"libmlx         {info['libmlx']} ({installed or 'no back end is listed'})"
    yield f"folder         {info['folder']}"
    yield f"platform       {info['platform']}"
    used, *others = info["instruction_sets"]
    also = f" (also possible: {', '.join(others)})" if others else ""
    yield f"instructions   {used}{also}"
    yield f"threads        {info['threads']}"
    for name, gpu in info["gpu"].items():
        state = "kernels on" if gpu["kernels"] else f"no kernels: {gpu['why_not']}"
        device = f", {gpu['device']}" if gpu["device"] else ""
        yield f"{name:14} {state}{device}"
    cache = info["cache"]
    if cache["folder"]:
        yield f"kernel cache   {cache['folder']}, {cache['bytes']} bytes"
    else:
        yield "kernel cache   off"
    for name, value in info["variables"].items():
        yield f"variable       {name}={value}"
    if not info["variables"]:
        yield "variables      none that begins with MLX_"


def run():
    for line in lines():
        print(line)
