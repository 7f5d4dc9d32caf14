"""The version of MLX that this is a fork of, and the fork's own version."""

STOCK_VERSION = "0.32.4"
VERSION = f"{STOCK_VERSION}+topk.1"
