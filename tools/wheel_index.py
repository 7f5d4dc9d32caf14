"""Makes a folder of wheels a package index, which pip and uv install from.

    python -m tools.wheel_index FOLDER

Writes the file SHA256SUMS, the folder simple/ (PEP 503), and beside each wheel its
metadata (PEP 658), so that an installer need not download a wheel to read them.
"""

import email
import hashlib
import html
import pathlib
import sys
import urllib.parse
import zipfile

_PAGE = """<!DOCTYPE html>
<html>
<head><meta name="pypi:repository-version" content="1.0"></head>
<body>
{}
</body>
</html>
"""


def metadata(wheel):
    """Returns the file METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return archive.read(name)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def link(wheel):
    """Returns the link to ``wheel`` on the page of its project."""
    described = metadata(wheel)
    python = html.escape(email.message_from_bytes(described)["Requires-Python"])
    url = f"../../{urllib.parse.quote(wheel.name)}#sha256={sha256(wheel.read_bytes())}"
    return (
        f'<a href="{url}" data-requires-python="{python}"'
        f' data-core-metadata="sha256={sha256(described)}">{wheel.name}</a><br>'
    )


def write(folder):
    """Writes the index of the wheels in ``folder``, all of the project mlx."""
    wheels = sorted(folder.glob("mlx-*.whl"))
    if not wheels:
        sys.exit(f"{folder} has no wheels.")
    for wheel in wheels:
        wheel.with_name(f"{wheel.name}.metadata").write_bytes(metadata(wheel))
    lines = [f"{sha256(wheel.read_bytes())}  {wheel.name}\n" for wheel in wheels]
    (folder / "SHA256SUMS").write_text("".join(lines))
    simple = folder / "simple"
    (simple / "mlx").mkdir(parents=True, exist_ok=True)
    page = _PAGE.format('<a href="mlx/">mlx</a>')
    (simple / "index.html").write_text(page)
    page = _PAGE.format("\n".join(map(link, wheels)))
    (simple / "mlx" / "index.html").write_text(page)


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
