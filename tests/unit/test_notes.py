# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.release import facts, notes, publish
from builders.show import releases
from tests.unit.releases import RECIPE, Box

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("gpg"), reason="needs gpg")]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A release, and a later one with another Xen, kernel option and builder image."""
    box = Box(tmp_path_factory.mktemp("notes"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facts, "commit", lambda: "c0ffee")
        box.build()
        box.build("kernel-minimal", "6.1-1")
        old = publish.publish(box.run(), RECIPE, out=str(box.root / "old")).folder
        box.build(version="4.17.6", content=b"n" * 9000, extra={"Depends": "libc6, libnew1"})
        box.installed = "gcc 4:13.0 amd64\nlibc6-dev 2.36-9 amd64\n"
        box.options = b"CONFIG_XEN=y\nCONFIG_SOUND=y\n"
        box.build("kernel-minimal", "6.2-1")
        new = publish.publish(box.run(), RECIPE, out=str(box.root / "new")).folder
    return old, new


def test_what_changed_in_each_build(two: tuple[Path, Path]) -> None:
    found = {c.target: c for c in notes.difference(*two)}
    xen = found["xen"]
    assert (xen.old, xen.new) == ("4.17.5+dom0.1", "4.17.6")
    rows = {(r.part, r.name): (r.old, r.new) for r in xen.rows}
    assert rows["package", "xen-upstream: Depends: libnew1"] == ("", "libnew1")
    assert rows["package", "xen-upstream: Version"] == ("4.17.5+dom0.1", "4.17.6")
    kernel = {(r.part, r.name): (r.old, r.new) for r in found["kernel-minimal"].rows}
    assert kernel["option", "CONFIG_SOUND"] == ("", "y")
    assert kernel["image", "gcc:amd64"] == ("4:12.2.0-3", "4:13.0")
    assert kernel["image", "perl-modules:all"] == ("5.36.0-7", "")
    assert ("image", "libc6-dev:amd64") not in kernel


def test_the_same_release_has_no_changes(two: tuple[Path, Path]) -> None:
    assert all(c.rows == () for c in notes.difference(two[0], two[0]))
    assert "Nothing changed." in notes.markdown(notes.difference(two[0], two[0]))


def test_the_notes_and_the_json(two: tuple[Path, Path]) -> None:
    found = notes.difference(*two)
    text = notes.markdown(found)
    assert "## xen `4.17.5+dom0.1` → `4.17.6`" in text
    assert "- `CONFIG_SOUND`: added, `y`" in text
    assert "- `perl-modules:all`: removed, was `5.36.0-7`" in text
    assert text.index("## xen") < text.index("## kernel-minimal")
    assert "- `xen-upstream` `Depends: libnew1`: added, `libnew1`" in text
    # What follows from the version is in the heading.
    assert "`Version`" not in text
    said = json.loads(releases.changes(found).said("json"))
    assert (said["schema"], said["kind"]) == (1, "diff")
    assert [b["target"] for b in said["builds"]] == ["kernel-minimal", "xen"]


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("x: size of the .deb", "3732764", "3732760", ""),
        (
            *("x: size of the .deb", "3732764", "9732760"),
            "- `x` `size of the .deb`: `3.6 MiB` → `9.3 MiB`",
        ),
        ("x: Depends: y", "y (= 1.0-1)", "y (= 1.0-2)", ""),
        ("x: Depends: y", "y (= 1.0)", "y (= 9)", "- `x` `Depends: y`: `y (= 1.0)` → `y (= 9)`"),
        ("x: Version", "1.0-1", "1.0-2", ""),
        ("x: Version", "5", "6", "- `x` `Version`: `5` → `6`"),
    ],
)
def test_what_is_worth_a_line(name: str, old: str, new: str, line: str) -> None:
    row = notes.Row("package", name, old, new, "a judgement")
    text = notes.markdown([notes.Changed("xen", "1.0-1", "1.0-2", (row,))])
    assert [x for x in text.splitlines() if x.startswith("- ")] == ([line] if line else [])


def test_other_content_under_the_same_version_is_told_once() -> None:
    rows = tuple(notes.Row("package", f"{n}: Version", "1", "1", "other") for n in "ab")
    text = notes.markdown([notes.Changed("xen", "1", "1", rows)])
    assert text.splitlines() == [
        *("## xen `1`", ""),
        "Other content under the same version: apt does not see a new package.",
    ]


def test_audit_findings_come_and_go(two: tuple[Path, Path], tmp_path: Path) -> None:
    other = shutil.copytree(two[1], tmp_path / "other")
    path = next(other.glob("audit/xen*4.17.6*"))
    report = json.loads(path.read_text())
    finding = {"rule": "made-up", "severity": "error", "message": "bad `x`", "subject": "/y"}
    report["packages"][0]["findings"] = [finding]
    path.write_text(json.dumps(report))
    text = notes.markdown(notes.difference(two[1], other))
    assert "- new: `made-up /y`: `error: bad 'x'`" in text
    assert "- fixed: `made-up /y`" in notes.markdown(notes.difference(other, two[1]))


def test_a_source_and_an_override_that_changed(two: tuple[Path, Path], tmp_path: Path) -> None:
    other = shutil.copytree(two[1], tmp_path / "other")
    path = next(other.glob("attestations/xen*4.17.6*.provenance.json"))
    said = json.loads(path.read_text())
    definition = said["predicate"]["buildDefinition"]
    definition["externalParameters"]["overrides"] = ["sources.xen.version=4.17.9"]
    source = definition["resolvedDependencies"][0]
    source["annotations"]["version"], source["digest"]["sha256"] = "2.0", "f" * 64
    path.write_text(json.dumps(said))
    xen = next(c for c in notes.difference(two[1], other) if c.target == "xen")
    rows = {r.name: (r.old, r.new) for r in xen.rows}
    assert rows["override sources.xen.version"] == ("", "4.17.9")
    assert rows["source xen"][0].startswith("1.0 ")
    assert rows["source xen"][1] == "2.0 " + "f" * 12


def test_what_is_no_release(two: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"is no release: it has no release\.json"):
        notes.difference(two[0], tmp_path)
    with pytest.raises(BuildError, match="nothing: no such folder"):
        notes.difference(two[0], tmp_path / "nothing")
    with pytest.raises(BuildError, match=r"release\.json is no release: it is a file"):
        notes.difference(two[0], two[0] / "release.json")
    endless = tmp_path / "endless"
    endless.mkdir()
    os.mkfifo(endless / "release.json")
    with pytest.raises(BuildError, match=r"release\.json is damaged"):
        notes.difference(two[0], endless)
    broken = shutil.copytree(two[0], tmp_path / "broken")
    next(broken.glob("attestations/xen*.provenance.json")).write_text("{")
    with pytest.raises(BuildError, match="can't be read") as caught:
        notes.difference(two[1], broken)
    assert "verify" in caught.value.hint
