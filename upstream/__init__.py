"""The same work as edits to a checkout of MLX, which is not in this repository."""
