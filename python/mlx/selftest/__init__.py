# Copyright © 2026 the mlx-topk authors. MIT licence.

"""``python -m mlx.selftest test|perf|support``: checks and measures this machine."""
