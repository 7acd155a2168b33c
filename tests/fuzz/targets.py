# SPDX-License-Identifier: GPL-2.0-or-later
"""What reads a package: the verbs' own functions, and those of the library below them.

A BuildError is a fine answer, a traceback is not.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from builders.debkit import deb
from builders.debkit.deb import Deb, Edit
from builders.errors import BuildError
from builders.show.outcome import Outcome
from builders.verbs import custom, inspect
from tests.fuzz.runs import RULES


def opened(path: Path) -> None:
    package = Deb.open(path)
    package.conffiles, package.md5sums  # noqa: B018  # they parse


def indexed(path: Path) -> None:
    Deb.open(path).index  # noqa: B018  # it reads


def audited(path: Path) -> None:
    """An audit has no errors, only findings; what it says has no control character."""
    for form in inspect.FORMS:
        _said(inspect.run(inspect.Options(path=(str(path),), format=form)), form)


def compared(path: Path) -> None:
    """With itself there is no difference, whatever it is."""
    outcome = inspect.run(inspect.Options(path=(str(path), str(path)), diff=True))
    assert outcome.code == 0, outcome.said("json")


def compared_with(seed: Path) -> Callable[[Path], None]:
    def target(path: Path) -> None:
        for old, new in ((seed, path), (path, seed)):
            for form in ("table", "json"):
                options = inspect.Options(path=(str(old), str(new)), diff=True, format=form)
                _said(inspect.run(options), form)

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
        rules = Path(name) / "rules.toml"
        rules.write_text(RULES)
        custom.correct([path], rules, Path(name) / "out", None)


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


def _said(outcome: Outcome, form: str) -> None:
    text = outcome.said(form)
    if form in ("json", "sarif"):
        json.loads(text)
        assert text.isascii()
    else:
        assert text.replace("\n", "").isprintable(), text
