"""Builds the macOS wheel on Linux (cross.py) and checks it (check.py)."""
