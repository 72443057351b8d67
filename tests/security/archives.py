"""Archives that try to leave the directory they are unpacked in."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

Entry = tuple[str, bytes, str]  # name, type, and what a link points to


def tarred(entries: Iterable[Entry]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, kind, link in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            info.size = len(b"hostile") if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"hostile"))
    return stream.getvalue()


def file(name: str) -> Entry:
    return name, tarfile.REGTYPE, ""


def symlink(name: str, to: str) -> Entry:
    return name, tarfile.SYMTYPE, to


def hardlink(name: str, to: str) -> Entry:
    return name, tarfile.LNKTYPE, to


def beyond_a_path() -> list[Entry]:
    """Links of links, each followed a path longer than the system takes: Python up to 3.11.12 lost sight of the end."""
    folder, steps, path = "d" * 247, "abcdefghijklmnop", ""
    entries: list[Entry] = []
    for step in steps:
        entries += [(path + folder, tarfile.DIRTYPE, ""), symlink(path + step, folder)]
        path += f"{folder}/"
    deep = "/".join(steps) + "/" + "l" * 254
    return [*entries, symlink(deep, "../" * len(steps)), symlink("out", f"{deep}/.."), file("out/escaped")]


def tars(outside: Path) -> dict[str, bytes]:
    """Each would touch `outside`, the directory in which the one to unpack in is called `inside`."""
    secret = outside / "secret"
    return {
        name: tarred(entries)
        for name, entries in {
            "parent": [file("../escaped")],
            "parent of a folder": [file("code/../../escaped")],
            "absolute": [file(f"{outside}/escaped")],
            "through a link": [symlink("link", ".."), file("link/escaped")],
            "through an absolute link": [symlink("link", str(outside)), file("link/escaped")],
            "through a link to a link": [symlink("a", "."), symlink("a/b", ".."), file("b/escaped")],
            "through a folder that is a link": [
                ("code", tarfile.DIRTYPE, ""),
                symlink("code/up", "../.."),
                file("code/up/escaped"),
            ],
            "over a link": [symlink("file", "../secret"), file("file")],
            "link to a file outside": [symlink("file", "../secret")],
            "absolute link to a file outside": [symlink("file", str(secret))],
            "hard link to a file outside": [hardlink("file", "../secret")],
            "absolute hard link to a file outside": [hardlink("file", str(secret))],
            "hard link through a link": [symlink("link", ".."), hardlink("file", "link/secret")],
            "links beyond the longest path": beyond_a_path(),
            "a link that cannot be made, to a later one": [
                ("d", tarfile.DIRTYPE, ""),
                symlink("d", "x" + "/." * 3000),
                hardlink("h", "d"),
                symlink("x", str(secret)),
            ],
            "hard link to nothing": [hardlink("h", "nothing")],
            "device": [("device", tarfile.CHRTYPE, "")],
            "block device": [("device", tarfile.BLKTYPE, "")],
            "fifo": [("fifo", tarfile.FIFOTYPE, "")],
        }.items()
    }


def zips(outside: Path) -> dict[str, bytes]:
    """The same for zips, as far as they can."""
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return {
        "parent": zipped([("../escaped", b"hostile")]),
        "parent of a folder": zipped([("code/../../escaped", b"hostile")]),
        "absolute": zipped([(f"{outside}/escaped", b"hostile")]),
        "backslashes": zipped([("..\\escaped", b"hostile")]),
        "link": zipped([(link, b"../secret")]),
        "absolute link": zipped([(link, str(outside / "secret").encode())]),
    }


def zipped(entries: Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return stream.getvalue()
