"""Finds a Python that the newest versions of the referees support.

    python -m tools.referees

prints the path of the interpreter. If there is none, it says so and prints no path.
"""

import sys

from tools import pythons

# As in the conditions of requirements-referees.txt.
OLDEST = (3, 12)


def find():
    """Returns the interpreter of the oldest version that will do, or None.

    The newest Python may be one that the libraries do not support yet.
    """
    found, _ = pythons.choose(pythons.candidates())
    return next((python for python in found if python.version >= OLDEST), None)


def main():
    python = find()
    if python:
        print(python.executable)
    else:
        version = "{}.{}".format(*OLDEST)
        print(
            f"The newest referees did not run: found no Python {version} or later "
            "with headers.",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
