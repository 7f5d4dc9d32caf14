"""The version of MLX that this is a fork of, and the fork's own versions."""

STOCK_VERSION = "0.32.4"
VERSION = f"{STOCK_VERSION}+topk.1"
# The version of docs/topk.md, the contract. It grows when a promise there is changed.
# A new promise that contradicts none of the old ones does not change it.
CONTRACT = 1
