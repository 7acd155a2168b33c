# SPDX-License-Identifier: GPL-2.0-or-later
"""The entry points that read a package. A BuildError is a fine answer, a traceback is not."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from builders.debkit import deb
from builders.debkit.audit import audit
from builders.debkit.audit.document import to_json
from builders.debkit.compare import compare
from builders.debkit.corrections import Corrections
from builders.debkit.deb import Deb, Edit
from builders.debkit.finish import finish
from builders.errors import BuildError
from builders.show import changes
from builders.show.changes import table as diff_table
from builders.show.findings import table
from builders.show.github import to_commands
from builders.show.outcome import to_json as said
from builders.show.sarif import to_sarif


def opened(path: Path) -> None:
    package = Deb.open(path)
    package.conffiles, package.md5sums  # noqa: B018  # they parse


def indexed(path: Path) -> None:
    Deb.open(path).index  # noqa: B018  # it reads


def audited(path: Path) -> None:
    """An audit has no errors, only findings; what it says has no control character."""
    report = audit(path)
    for width in (40, 80):
        _shown(table([report], width, colour=False))
    _shown(to_commands([report]))
    _parsed(to_json([report]))
    _parsed(to_sarif([report], "1"))


def compared(path: Path) -> None:
    """With itself there is no difference, whatever it is."""
    found = compare(path, path)
    assert not found.changes, found.changes[:3]


def compared_with(seed: Path) -> Callable[[Path], None]:
    def target(path: Path) -> None:
        for old, new in ((seed, path), (path, seed)):
            found = compare(old, new)
            _shown(diff_table([found], [], [], 60, colour=False))
            _parsed(said(changes.document([found], [], [])))

    return target


def rewritten(path: Path) -> None:
    """What is written can be read, and holds the same, and the folders that were missing."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out.deb"
        package = Deb.open(path)
        deb.rewrite(package, out, Edit(epoch=1, tidy=True, recount=True, compression="gzip"))
        again = Deb.open(out)
        there = {entry.path for entry in package.index.entries}
        old = [(entry.path, entry.md5) for entry in package.index.entries]
        kept = [(e.path, e.md5) for e in again.index.entries if e.path in there]
        assert sorted(old) == sorted(kept)  # a folder is put before what it has
        assert all(e.info.isdir() for e in again.index.entries if e.path not in there)


def finished(path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        finish(path, Corrections(), elf_depends=[], destination_dir=Path(name), epoch=1)


def control(path: Path) -> None:
    """The bytes as a control file."""
    with path.open("rb") as file:
        fields = deb.parse_control(file.read(64 << 10))
    assert list(fields)


TARGETS: Mapping[str, Callable[[Path], None]] = {
    "open": opened,
    "index": indexed,
    "audit": audited,
    "compare": compared,
    "rewrite": rewritten,
    "finish": finished,
    "control": control,
}


def survive(target: Callable[[Path], None], path: Path) -> str:
    """Run a target: "" where all went well, the message where it was refused."""
    refused = ""
    try:
        target(path)
    except BuildError as error:
        refused = error.message
        assert refused
    assert refused.replace("\n", "").isprintable(), refused
    return refused


def _shown(text: str) -> None:
    assert text.replace("\n", "").isprintable(), text


def _parsed(text: str) -> None:
    json.loads(text)
    assert text.isascii()
