"""The one place that says which MLX this is a fork of, and which fork it is."""

UPSTREAM = "0.32.4"
VERSION = f"{UPSTREAM}+topk.1"
