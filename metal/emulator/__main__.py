"""Builds a library from Metal source and prints the library's path:

python -m metal.emulator build FILE [--tracked] [-I DIRECTORY] [-D NAME=VALUE]
"""

import argparse
import sys

from . import BuildError, SourceError
from .builder import build_library


def main():
    parser = argparse.ArgumentParser(prog="python -m metal.emulator")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build a library from Metal source")
    build.add_argument("file")
    build.add_argument("--tracked", action="store_true", help="check memory accesses")
    build.add_argument("-I", action="append", default=[], help="include directory")
    build.add_argument("-D", action="append", default=[], help="macro definition")
    options = parser.parse_args()
    try:
        print(build_library(options.file, options.tracked, options.I, options.D))
    except (BuildError, SourceError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
