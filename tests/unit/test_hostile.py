# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages that are made to hurt: bounded memory and time, a finding or an error, no traceback."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from builders.debkit.audit import audit
from builders.debkit.corrections import Corrections
from builders.debkit.deb import Deb, DebError
from builders.debkit.finish import finish
from builders.errors import BuildError
from tests.fuzz import hostile, mutate, seeds
from tests.fuzz.catalogue import kinds
from tests.fuzz.kinds import AREAS
from tests.fuzz.targets import TARGETS, survive
from tests.unit import debs

pytestmark = pytest.mark.slow


def test_the_kinds() -> None:
    """As many as docs/security.md says, in every part of a package; none is there twice."""
    found = kinds()
    assert len(found) >= 150
    assert {area for area, _ in found} == set(AREAS)
    assert len({kind for _, kind in found}) == len(found)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("declared", "limit", "an archive of more than"),
        ("tail", "limit", "bytes after the end of an archive"),
        ("xz-tail", "limit", "bytes after the end of an archive"),
        ("control-size", "limit", "an archive of more than 25165824 bytes"),
        ("pax", "format", "tar type 'x'"),
        ("sparse", "format", "tar type 'S'"),
        ("negative", "damaged", "negative size"),
        ("wide-owner", "damaged", "mode or owner"),
        ("outside", "traversal", "leads out of the package"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, kind: str, words: str) -> None:
    path = hostile.write(tmp_path, name)[name]
    with pytest.raises(DebError) as caught:
        Deb.open(path).index  # noqa: B018  # it reads
    assert caught.value.kind == kind
    assert words in caught.value.message
    [finding] = [f for f in audit(path).findings if f.severity == "error" and words in f.message]
    assert finding.rule in {"unreadable", "path-traversal"}


def test_two_long_names_for_one_member(tmp_path: Path) -> None:
    path = tmp_path / "a.deb"
    first, second = (
        hostile.header("././@LongLink", 5, b"L") + name + bytes(507)
        for name in (b"./ab\0", b"./cd\0")
    )
    parts = [first, second, hostile.header("x"), bytes(1024)]
    path.write_bytes(hostile.deb(hostile.gzipped(parts)))
    assert [entry.path for entry in Deb.open(path).index.entries] == ["/cd"]
    assert "two long names" in str([f.message for f in audit(path).findings])


def test_limits_that_are_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes with the real limits."""
    from builders.debkit.deb import reading, tar

    def refused(name: str) -> str:
        with pytest.raises(DebError) as caught:
            Deb.open(hostile.write(tmp_path, name)[name]).index  # noqa: B018  # it reads
        assert caught.value.kind == "limit"
        return caught.value.message

    monkeypatch.setattr(tar, "_ENTRIES", 20)
    assert "more than 20 members" in refused("elves")
    monkeypatch.undo()
    monkeypatch.setattr(tar, "_NAMES_LIMIT", 1 << 10)
    assert "names that take more" in refused("elves")
    monkeypatch.undo()
    monkeypatch.setattr(reading, "_LIMITS", {False: (1 << 10, 2), True: (1 << 10, 2)})
    assert "decompressed" in refused("elves")
    monkeypatch.undo()
    monkeypatch.setattr(reading, "_MEMBERS", 5)
    monkeypatch.setattr(reading, "_MEMBER", 1 << 20)
    assert "more than 5 members in" in refused("elves")


def test_a_rule_does_not_tell_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from builders.debkit.audit import inspection

    monkeypatch.setattr(inspection, "_TOLD", 3)
    path = hostile.write(tmp_path, "elves")["elves"]
    told = [f for f in audit(path).findings if f.rule == "elf-unread"]
    assert len(told) == 4
    assert told[-1].message == "there are more than 3 of them: the rest is not told"


def test_a_little_fuzzing(tmp_path: Path) -> None:
    """The fuzzer itself: that it makes packages which are opened, and ones which are refused."""
    rng = random.Random(5)  # noqa: S311  # nothing is secret
    data = [path.read_bytes() for path in seeds.make(tmp_path)]
    path = tmp_path / "case.deb"
    said = set()
    for number in range(60):
        path.write_bytes(mutate.mutated(data[number % len(data)], rng))
        for name in ("open", "audit", "compare"):
            said.add((name, bool(survive(TARGETS[name], path))))
    assert {("open", True), ("open", False), ("compare", False), ("audit", False)} <= said
    assert ("audit", True) not in said


@pytest.mark.parametrize(
    ("field", "value"), [("Architecture", ""), ("Package", "../../x"), ("Architecture", "a/b")]
)
def test_no_file_is_written_elsewhere(tmp_path: Path, field: str, value: str) -> None:
    path = debs.make(tmp_path / "a.deb", control={field: value})
    out = tmp_path / "b" / "c"
    with pytest.raises(BuildError, match=rf"{field}|package name"):
        finish(path, Corrections(), elf_depends=[], destination_dir=out, epoch=1)
    assert sorted(p.name for p in tmp_path.rglob("*.deb")) == ["a.deb"]


def test_the_fuzzer_notices(tmp_path: Path) -> None:
    def bad(_: Path) -> None:
        raise BuildError("a message with \033[2J")

    with pytest.raises(AssertionError):
        survive(bad, tmp_path)


@pytest.mark.parametrize(
    ("name", "words"), [("not-utf8", "not in UTF-8"), ("line-breaks", "a line break")]
)
def test_what_dpkg_shrugs_off(tmp_path: Path, name: str, words: str) -> None:
    path = hostile.write(tmp_path, name)[name]
    findings = [f for f in audit(path).findings if f.rule == "control-form"]
    assert any(words in f.message for f in findings)
    assert {str(f.severity) for f in findings} == {"warning"}
