"""Metal kernels, and what runs them without a Mac."""
