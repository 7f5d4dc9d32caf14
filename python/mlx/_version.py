"""The version of MLX that this is a fork of, and the fork's own version."""

UPSTREAM = "0.32.4"
VERSION = f"{UPSTREAM}+topk.1"
