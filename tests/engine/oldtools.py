# SPDX-License-Identifier: GPL-2.0-or-later
"""The tools of 2012 in place of the suite's: packages such as dpkg 1.16 reads.

DOM0_DEBS_OLD_TOOLS names a folder of .debs that somebody built from public source: apt 0.9.7.9 and
its library, dpkg, dpkg-dev and libdpkg-perl 1.16.18. With it the rehearsal's archive has these, and
what dpkg 1.16 can't take of Debian 12's packages is written anew.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builders import ROOT
from tests.engine.suites import package

# Debian's keys of that time, from the box's package debian-archive-keyring.
REMOVED_KEYS = Path("/usr/share/keyrings/debian-archive-removed-keys.gpg")
VARIABLE = "DOM0_DEBS_OLD_TOOLS"
# What a root has of them; and what they themselves need beside Debian 12's minimal root.
TOOLS = ("apt", "libapt-pkg4.12", "dpkg", "dpkg-dev", "libdpkg-perl")
NEEDS = (
    "gpgv",
    "gnupg1",
    "debian-archive-keyring",
    "libtimedate-perl",
    "libstdc++6",
    "libselinux1",
)
_STAND_INS = ROOT / "tests" / "fixtures" / "rehearsal" / "dpkg"
# Debian 12's, which the old ones stand for.
_REPLACED = (*TOOLS, "libapt-pkg6.0", "debian-archive-keyring")
_NAMES = "dpkg|dpkg-dev|apt|libdpkg-perl"
_VERSIONED = re.compile(rf"\b({_NAMES})(:any)? \([<>=]+ [^)]*\)")
_FIELD = re.compile(r"^(Pre-Depends|Depends|Breaks|Conflicts|Provides): (.*)$", re.MULTILINE)
# What came after dpkg 1.16, in maintainer scripts and triggers.
_SCRIPTS = (
    (re.compile(rb" --no-rename\b"), b""),  # dpkg-divert, 1.19.1
    (
        re.compile(rb"^(\s*)dpkg-maintscript-helper (symlink_to_dir|dir_to_symlink)\b.*$", re.M),
        rb"\1:",
    ),
)
_TRIGGERS = ((re.compile(rb"\b(interest|activate)-await\b"), rb"\1"),)


def folder() -> Path | None:
    """The folder of the old tools; None where none is named."""
    named = os.environ.get(VARIABLE, "")
    return Path(named) if named else None


def take(pool: Path, tools: Path) -> None:
    """Put the old tools into a pool, in place of those that are there."""
    for name in _REPLACED:
        for path in pool.glob(f"{name}_*.deb"):
            path.unlink()
    for name in TOOLS:
        found = sorted(tools.glob(f"{name}_*.deb"))
        assert len(found) == 1, f"{VARIABLE}: {tools} has {len(found)} of {name}"
        shutil.copy(found[0], pool)
    # apt's own postinst has gpg of version 1 read the archive's keys: RSA keys, in those days.
    keys = {"/usr/share/keyrings/debian-archive-keyring.gpg": REMOVED_KEYS}
    package(pool, "debian-archive-keyring", "2012.4", keys)
    needs = "Depends: gpgv, gnupg1\n"
    package(pool, "gnupg", "2.2.99", {"/usr/bin/gpg": _STAND_INS / "gpg"}, fields=needs)
    # Essential's debianutils and dash call it: in the stand-in that they depend on.
    package(pool, "usr-is-merged", "99", {"/usr/bin/dpkg-realpath": _STAND_INS / "dpkg-realpath"})


@contextmanager
def unpacking(tools: Path | None) -> Iterator[dict[str, str]]:
    """The variables of the box with which mmdebstrap unpacks by the dpkg-deb of the old tools."""
    if tools is None:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="old-dpkg-deb-") as name:
        folder = Path(name)
        (archive,) = tools.glob("dpkg_*.deb")
        subprocess.run(["dpkg-deb", "-x", str(archive), f"{folder}/all"], check=True)
        shutil.copy(folder / "all/usr/bin/dpkg-deb", folder)
        folder.chmod(0o755)  # the root of a namespace runs it, who is nobody here
        said = subprocess.run(
            [str(folder / "dpkg-deb"), "--version"], check=True, capture_output=True, text=True
        ).stdout
        assert " 1.16." in said.splitlines()[0]
        yield {"PATH": f"{folder}:{os.environ['PATH']}"}


def adapt(pool: Path) -> None:
    """Write what is in a pool as dpkg 1.16 takes it: its control archive by gzip, no later word."""
    for path in sorted(pool.glob("*.deb")):
        members = dict(_members(path.read_bytes()))
        name = next(name for name in members if name.startswith("control.tar"))
        packed = members[name]
        plain = lzma.decompress(packed) if name.endswith(".xz") else gzip.decompress(packed)
        control = _control(plain)
        data = next(name for name in members if name.startswith("data.tar"))
        assert data in ("data.tar.gz", "data.tar.xz"), f"{path.name} has {data}"
        written = {"debian-binary": members["debian-binary"]}
        written["control.tar.gz"] = gzip.compress(control, 1, mtime=0)
        written[data] = members[data]
        path.write_bytes(_archive(written))


def _members(ar: bytes) -> Iterator[tuple[str, bytes]]:
    """The members of an ar archive (deb(5))."""
    at = 8
    while at < len(ar):
        name, size = ar[at : at + 16].decode().strip().rstrip("/"), int(ar[at + 48 : at + 58])
        yield name, ar[at + 60 : at + 60 + size]
        at += 60 + size + size % 2


def _archive(members: dict[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def _control(tar: bytes) -> bytes:
    """A control.tar without what dpkg 1.16 does not know."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tar)) as old,
        tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as new,
    ):
        for info in old:
            if not info.isfile():
                new.addfile(info)
                continue
            stream = old.extractfile(info)
            assert stream is not None
            content = _adapted(info.name.removeprefix("./"), stream.read())
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _adapted(name: str, content: bytes) -> bytes:
    if name == "control":
        return _FIELD.sub(_relations, content.decode()).encode()
    words = {"preinst": _SCRIPTS, "postinst": _SCRIPTS, "prerm": _SCRIPTS, "postrm": _SCRIPTS}
    for pattern, by in {**words, "triggers": _TRIGGERS}.get(name, ()):
        content = pattern.sub(by, content)
    return content


def _relations(field: re.Match[str]) -> str:
    """A field of relations that asks for no later tools than there are.

    apt 0.9.7.9 passes over what is provided in a version (1.17.11 of dpkg).
    """
    if field[1] == "Provides":
        return f"Provides: {re.sub(r' [(][^)]*[)]', '', field[2])}"
    if field[1] in ("Breaks", "Conflicts"):
        kept = [r for r in field[2].split(", ") if not _VERSIONED.fullmatch(r)]
        return f"{field[1]}: {', '.join(kept)}" if kept else f"X-{field[1]}: none"
    plain = _VERSIONED.sub(r"\1\2", field[2])
    return f"{field[1]}: {plain}"
