"""The version of MLX that this is a fork of, and the fork's own versions."""

STOCK_VERSION = "0.32.4"
VERSION = f"{STOCK_VERSION}+topk.1"
# The version of the contract, docs/topk.md. It grows when a promise there is changed or
# taken back. A new promise does not change it.
CONTRACT = 1
