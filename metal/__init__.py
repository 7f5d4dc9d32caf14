"""Metal kernels, and the emulator that runs them on machines without Metal."""
