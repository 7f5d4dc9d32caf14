"""What is built once: files in build/emulator/ of the repository, named by content."""

import hashlib
import os
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / "build" / "emulator"


def digest(*parts):
    """A name for what these parts determine."""
    result = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        result.update(len(data).to_bytes(8, "little") + data)
    return result.hexdigest()[:20]


def make(path, build):
    """Calls build(temporary path) and moves the result to path, unless it is there.

    Two processes may do it at once: each moves a whole file.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder, path.name)
            build(made)
            os.replace(made, path)
    return path
