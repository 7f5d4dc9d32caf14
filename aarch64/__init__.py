"""Compiles for Linux on aarch64 and runs the programs in an emulator, on x86-64.

toolchain.py gets a cross compiler and an emulator. count.c and stock_work.cpp belong to
benchmarks/neon_counts.py.
"""
