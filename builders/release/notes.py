# SPDX-License-Identifier: GPL-2.0-or-later
"""What changed between two releases: inputs, builder image, packages, kernel options, audit.

Of each build the newest version on either side is compared: a release has older ones beside what it
was made of, and no newer ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.debkit.compare import Change, compare
from builders.errors import BuildError
from builders.release.layout import record
from builders.text import amount, printable

_SHOWN = 40  # rows of one part in Markdown; all are in the JSON
_UNREAL = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True)
class Row:
    """One thing that differs; old or new is "" where it was not there."""

    part: str
    name: str
    old: str
    new: str
    judgement: str = ""


@dataclass(frozen=True)
class Changed:
    """A build on both sides, or one; versions are "" where it is not there."""

    target: str
    old: str
    new: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class _Side:
    """A build in one release."""

    folder: Path
    build: Mapping[str, Any]

    @property
    def version(self) -> str:
        return str(self.build["version"])

    def read(self, prefix: str, suffix: str) -> Any:
        """The build's one JSON file whose path begins and ends like that."""
        paths = [p for p in self.build["files"] if p.startswith(prefix) and p.endswith(suffix)]
        return json.loads((self.folder / paths[0]).read_bytes())

    def packages(self) -> dict[str, Path]:
        """The .debs by the names of their packages, with # for the numbers that a kernel has."""
        debs = [self.folder / p for p in self.build["files"] if p.endswith(".deb")]
        return {re.sub(r"[0-9]+([.+~][0-9]+)*", "#", d.name.split("_")[0]): d for d in debs}


def difference(old: Path, new: Path) -> list[Changed]:
    """What changed from one release to the other, by build.

    Raises BuildError where either is no release, or a file of it is missing or damaged.
    """
    before, after = _newest(old), _newest(new)
    builds = []
    for target in sorted({*before, *after}):
        one, other = before.get(target), after.get(target)
        try:
            rows = tuple(_rows(one, other)) if one and other else ()
        except _UNREAL as error:
            raise BuildError(
                f"{target}: a file of a release can't be read: {error}",
                hint=f"./inv verify {old}, and {new}, say what is wrong with it",
            ) from None
        builds.append(
            Changed(target, one.version if one else "", other.version if other else "", rows)
        )
    return builds


def _newest(folder: Path) -> dict[str, _Side]:
    from debian.debian_support import Version

    newest: dict[str, _Side] = {}
    for build in record(folder)["builds"]:
        side = _Side(folder, build)
        other = newest.get(build["target"])
        if other is None or Version(other.version) < Version(side.version):
            newest[build["target"]] = side
    return newest


def _rows(old: _Side, new: _Side) -> Iterable[Row]:
    before, after = _inputs(old), _inputs(new)
    for part in ("input", "image"):
        yield from _pairs(part, before[part], after[part])
    for name, one, other in _both(old.packages(), new.packages()):
        if one and other:
            yield from _package(one, other)
        else:
            package = one or other
            label = package.name if package else name
            yield Row("package", label, "there" if one else "", "there" if other else "")
    yield from _pairs("audit", _findings(old), _findings(new))


def _both(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[tuple[str, Any, Any]]:
    return [(name, old.get(name), new.get(name)) for name in sorted({*old, *new})]


def _pairs(part: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterable[Row]:
    return [Row(part, n, a or "", b or "") for n, a, b in _both(old, new) if a != b]


def _inputs(side: _Side) -> dict[str, dict[str, str]]:
    """Sources with version and digests, the recipe's files, the image's packages, overrides."""
    definition = side.read("attestations/", ".provenance.json")["predicate"]["buildDefinition"]
    inputs: dict[str, str] = {}
    installed: dict[str, str] = {}
    for item in definition["resolvedDependencies"]:
        about = item["annotations"]
        if about["kind"] == "source":
            # A file's name has its version in it, so a source is one row.
            name = f"source {about['source']}"
            inputs[name] = inputs.get(name, about["version"]) + f" {item['digest']['sha256'][:12]}"
        elif "digest" in item and about["kind"] != "builder image":
            inputs[f"{about['kind']} {item['name']}"] = item["digest"]["sha256"][:12]
        elif "digest" not in item:
            package, version, architecture = item["name"].split(" ")
            installed[f"{package}:{architecture}"] = version
    for override in definition["externalParameters"]["overrides"]:
        inputs[f"override {override.partition('=')[0]}"] = override.partition("=")[2]
    return {"input": inputs, "image": installed}


def _package(old: Path, new: Path) -> Iterable[Row]:
    if old.read_bytes() == new.read_bytes():
        return
    for change in compare(old, new).changes:
        part = "option" if change.kind == "kernel option" else "package"
        if _telling(change):
            name = change.subject if part == "option" else f"{_name(new)}: {change.subject}"
            yield Row(part, name, change.old, change.new, change.judgement)


def _name(deb: Path) -> str:
    return deb.name.split("_")[0]


def _telling(change: Change) -> bool:
    """What release notes are about; `inspect --diff` shows every file."""
    return change.kind in ("field", "size", "relation", "kernel option") or bool(change.severity)


def _findings(side: _Side) -> dict[str, str]:
    """The errors and warnings of the audit: who and where -> what."""
    findings: dict[str, str] = {}
    for package in side.read("audit/", ".json")["packages"]:
        for finding in package["findings"]:
            if finding["severity"] in ("error", "warning"):
                key = f"{finding['rule']} {finding['subject']}".strip()
                findings[key] = f"{finding['severity']}: {finding['message']}"
    return findings


# What is said


_PARTS = {
    "input": "Inputs",
    "image": "Builder image",
    "package": "Packages",
    "option": "Kernel options",
    "audit": "Audit",
}


def markdown(builds: Sequence[Changed]) -> str:
    """The release notes: a section for each build, the hypervisor first."""
    lines: list[str] = []
    for changed in sorted(builds, key=lambda c: c.target != "xen"):
        lines += [f"## {changed.target} {_versions(changed)}", ""]
        if any(_same_version(row) for row in changed.rows):
            lines += ["Other content under the same version: apt does not see a new package.", ""]
        for part, title in _PARTS.items():
            rows = [row for row in changed.rows if row.part == part and _worth(row, changed)]
            if not rows:
                continue
            lines += [f"### {title}", ""]
            lines += [_line(row) for row in rows[:_SHOWN]]
            if len(rows) > _SHOWN:
                lines.append(f"- and {len(rows) - _SHOWN} more")
            lines.append("")
        if not changed.rows and changed.old and changed.new:
            lines += ["Nothing changed.", ""]
    return "\n".join(lines)


def _versions(changed: Changed) -> str:
    return _code(changed.new) if changed.old == changed.new else _arrow(changed.old, changed.new)


_SIZE = "size of the .deb"


def _subject(row: Row) -> str:
    """Of a package's row, what of it changed."""
    return row.name.partition(": ")[2] if row.part == "package" else ""


def _same_version(row: Row) -> bool:
    return _subject(row) == "Version" and row.old == row.new


def _worth(row: Row, changed: Changed) -> bool:
    """Whether Markdown notes include the row: not where it only follows from the new version."""
    subject = _subject(row)
    if subject == "Version":
        return (row.old, row.new) != (changed.old, changed.new) and row.old != row.new
    if subject == _SIZE:
        return _size(row.old) != _size(row.new)
    if subject.partition(":")[0] in ("Depends", "Pre-Depends", "Recommends", "Suggests"):
        return row.old.replace(changed.old, changed.new) != row.new if changed.old else True
    return True


def _size(text: str) -> str:
    return amount(int(text)) if text.isdecimal() else text


def _line(row: Row) -> str:
    if row.part == "audit" and not (row.old and row.new):
        return f"- {'fixed' if row.old else 'new'}: {_code(row.name)}: {_code(row.old or row.new)}"
    subject, old, new = _subject(row), row.old, row.new
    if subject == _SIZE:
        old, new = _size(old), _size(new)
    # What can be seen need not be said of a relation.
    judged = "" if subject and old and new else row.judgement
    name = f"{_code(row.name.partition(': ')[0])} {_code(subject)}" if subject else _code(row.name)
    return f"- {name}: {_arrow(old, new)}{f' ({printable(judged)})' if judged else ''}"


def _arrow(old: str, new: str) -> str:
    if old and new:
        return f"{_code(old)} → {_code(new)}"
    return f"added, {_code(new)}" if new else f"removed, was {_code(old)}"


def _code(text: str) -> str:
    """Text as a code span, which no markup in it can end."""
    return f"`{printable(text.replace('`', chr(39)))}`"
