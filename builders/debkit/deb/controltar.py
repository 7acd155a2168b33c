# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of control.tar, which dpkg-deb has tar(1) unpack: that takes more than dpkg does."""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Iterator

from builders.debkit.codecs import Reader
from builders.debkit.deb.error import DebError
from builders.debkit.deb.oddities import Oddity, Tell
from builders.debkit.deb.scripts import SCRIPTS
from builders.debkit.deb.tar import FILE_TYPES, Content, headers_of, read_trailer
from builders.text import printable

CONTROL_TAR_LIMIT = 24 << 20  # decompressed; the largest in Debian have a few MiB
CONTROL_LIMIT = 1 << 20  # of each of these files
_LIMITED = frozenset(["control", "conffiles", "triggers", *SCRIPTS])
_FILES = 200_000
_LINKS_LIMIT = 40  # the kernel follows as many, path_resolution(7)
_LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
# tar(1) makes no files of these; of a type that it does not know it does.
_NO_FILES = (
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
    b"D",
    b"M",
)
_LABEL = b"V"
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE)
_PAX_LIMIT = 64 << 10
# What of a pax header would change which file it is.
_PAX_KEYS = re.compile(rb"(path|linkpath|size|GNU\.sparse.*)=.*", re.DOTALL)


def read_control_files(source: Reader, tell: Tell) -> tuple[dict[str, bytes], dict[str, int]]:
    """Name to content, and name to mode, of the files in control.tar.

    Of two files of one name the later one counts. tell: is told what is odd. Raises DebError
    where dpkg-deb would not unpack it, apt not read it, or it goes past a limit.
    """
    contents: dict[str, bytes] = {}
    modes: dict[str, int] = {}
    others: dict[str, str] = {}  # name to the target of a symbolic link, "" where it is no file
    for info, _, content in headers_of(source, CONTROL_TAR_LIMIT, tell, by_tar=True):
        shown = printable(info.name)
        if info.type in _PAX:
            if info.size > _PAX_LIMIT:
                raise DebError("limit", f"a pax header of {info.size} bytes")
            for record in _records(_whole(content)):
                if _PAX_KEYS.fullmatch(record):
                    raise DebError("format", "control.tar has a pax header that names a file")
            tell(Oddity("odd", "control.tar has a pax header"))
            continue
        if info.type == _LABEL:
            tell(Oddity("odd", "control.tar has a label"))
            continue
        if ".." in info.name.split("/"):
            raise DebError("traversal", f"control.tar has {shown}, which leads out of it")
        name = posixpath.normpath(info.name.lstrip("/")) if info.name.strip("/") else "."
        if name == "." and info.isdir():
            continue
        if "/" in name or name == "." or info.name.endswith(("/.", "/")):
            raise _no_file(shown)
        if name == "control" and info.name not in ("control", "./control"):
            raise DebError("format", f"control.tar has its control as {shown}, which apt overlooks")
        if name in _LIMITED and info.size > CONTROL_LIMIT:
            raise DebError("limit", f"{name} has over {CONTROL_LIMIT} bytes")
        if name in contents or name in others:
            tell(Oddity("odd", f"control.tar has {shown} twice: the later one counts"))
            # tar(1) takes away what is there, and leaves a folder that is there before a folder.
            contents.pop(name, None)
            others.pop(name, None)
        elif len(contents) + len(others) >= _FILES:
            raise DebError("limit", f"more than {_FILES} files in control.tar")
        if info.type in _NO_FILES:
            others[name] = ""
            continue
        if info.type in _LINKS:
            tell(Oddity("odd", f"control.tar has {shown} as a link"))
            target = posixpath.normpath(info.linkname.lstrip("/")) if info.linkname else ""
            if info.issym():
                others[name] = target
            elif target in contents:
                contents[name], modes[name] = contents[target], modes[target]
            elif others.get(target):
                others[name] = others[target]
            else:
                raise DebError("format", f"control.tar has {shown}, a link to no file before it")
            continue
        if info.type not in FILE_TYPES:
            kind = printable(info.type.decode("latin-1"))
            tell(Oddity("odd", f"control.tar has {shown} of tar type {kind!r}"))
        contents[name] = _whole(content)
        modes[name] = info.mode & 0o7777
    read_trailer(source, tell)
    links: dict[str, str] = {}
    for name, target in others.items():
        if not target:
            raise _no_file(printable(name))
        for _ in range(_LINKS_LIMIT):
            target = others.get(target, target)
        if target not in contents:
            raise DebError("format", f"control.tar has {printable(name)}, a link to no file")
        links[name] = target
    for name, target in links.items():
        contents[name], modes[name] = contents[target], modes[target]
    if "control" not in contents:
        raise DebError("format", "control.tar has no file control")
    return contents, modes


def _no_file(shown: str) -> DebError:
    return DebError("format", f"control.tar has {shown}, which is no plain file")


def _whole(content: Content) -> bytes:
    return b"".join(iter(lambda: bytes(content.chunk()), b""))


def _records(data: bytes) -> Iterator[bytes]:
    """The records "keyword=value" of a pax header (pax(1)); DebError where it is malformed."""
    while data:
        match = re.match(rb"([0-9]{1,5}) ", data)
        length = int(match[1]) if match else 0
        record = data[len(match[0]) : length] if match else b""
        if len(data) < length or not record.endswith(b"\n") or b"=" not in record:
            raise DebError("damaged", "a pax header in control.tar is malformed")
        yield record[:-1]
        data = data[length:]
