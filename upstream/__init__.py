"""Puts this project's work into a checkout of MLX. See docs/upstream.md."""
