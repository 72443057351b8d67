"""A package to install without an index."""

import io
import zipfile


def wheel() -> tuple[str, bytes]:
    """The file name and content of one with the module dogtools, in which BREEDS is 133."""
    buffer, package = io.BytesIO(), "dogtools-1.0.dist-info"
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("dogtools.py", "BREEDS = 133")
        archive.writestr(f"{package}/METADATA", "Metadata-Version: 2.1\nName: dogtools\nVersion: 1.0\n")
        archive.writestr(f"{package}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{package}/RECORD", "")
    return "dogtools-1.0-py3-none-any.whl", buffer.getvalue()
