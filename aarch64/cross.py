"""The configuration with which setup.py builds the aarch64 wheel on x86-64.

The compiler is Debian's, which toolchain.py unpacks. Headers and libmlx come from
MLX's own wheels for Linux on aarch64.
"""

import pathlib

from aarch64 import toolchain
from tools.target import CrossTarget

HERE = pathlib.Path(__file__).parent


class Target(CrossTarget):
    def cmake_options(self, build):
        toolchain.unpack_compiler()
        return super().cmake_options(build) | {
            "CMAKE_TOOLCHAIN_FILE": HERE / "toolchain.cmake",
            "AARCH64_PROGRAMS": toolchain.write_programs(),
        }
