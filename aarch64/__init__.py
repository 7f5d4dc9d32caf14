"""Builds the wheel for Linux on aarch64, and runs it in an emulator, on x86-64.

toolchain.py gets a cross compiler and an emulator, and guest.py a Python for aarch64.
setup.py builds the wheel with cross.py, run_tests.py tests it. count.c and
stock_work.cpp belong to benchmarks/neon_counts.py.
"""
