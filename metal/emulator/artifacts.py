"""The cache of built files: build/emulator/ in the repository.

The name of each file holds a hash of all that its content depends on, so that nothing
is built twice and nothing outdated is used.
"""

import hashlib
import os
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / "build" / "emulator"


def digest(*parts):
    """Returns a hash of `parts` (bytes, or values hashed as text), for a file name."""
    result = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        result.update(len(data).to_bytes(8, "little") + data)
    return result.hexdigest()[:20]


def make(path, build):
    """Returns path. If no such file exists, first makes it with build(temporary path).

    Several processes may do so at once: each moves a complete file into place.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder, path.name)
            build(made)
            os.replace(made, path)
    return path
