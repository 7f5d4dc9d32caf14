"""The configuration with which setup.py builds the aarch64 wheel on x86-64.

The compiler is Debian's, which toolchain.py unpacks. Headers and libmlx come from
MLX's own wheels for Linux on aarch64.
"""

import pathlib

from aarch64 import toolchain
from tools import cross_target

HERE = pathlib.Path(__file__).parent


class Target(cross_target.Target):
    # Says nothing about the oldest glibc that the wheel runs with. auditwheel finds
    # the tag that does.
    platform = "linux_aarch64"
    soabi_suffix = "aarch64-linux-gnu"
    strip = True

    def cmake_options(self, mlx, build):
        toolchain.unpack_compiler()
        return super().cmake_options(mlx, build) | {
            "CMAKE_TOOLCHAIN_FILE": HERE / "toolchain.cmake",
            "AARCH64_PROGRAMS": toolchain.write_programs(),
        }
