# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of a release: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.text import amount, day

_TEMPLATE = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Packed:
    """One package: its path in the release, bytes and digest, and what its control file says.

    installed: bytes of all its files. folders: directory -> bytes of the files below it, the
    largest first; not all need be there. optional: nobody needs it to use the others.
    """

    file: str
    package: str
    version: str
    architecture: str
    synopsis: str
    size: int
    sha256: str
    installed: int = 0
    folders: tuple[tuple[str, int], ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Input:
    """One thing that the packages were made from: a source, a patch, a file of the recipe."""

    kind: str
    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Span:
    """One stage on the time line: when it ended, and how long it took, in seconds."""

    stage: str
    ended: float
    seconds: float


@dataclass(frozen=True)
class Finding:
    """What a rule of the audit says of a package; severity is error, warning or info."""

    severity: str
    rule: str
    package: str
    message: str


@dataclass(frozen=True)
class Checked:
    """One thing that a boot was to show: whether it held, whether it had to, what was seen."""

    name: str
    good: bool
    must_fail: bool
    seen: str


@dataclass(frozen=True)
class Boot:
    """A boot of the packages: its console's path in the release, and how long it took."""

    name: str
    console: str
    seconds: float
    checks: Sequence[Checked]


@dataclass(frozen=True)
class Documents:
    """What there is to read of one build: its target and version, and links (name, path)."""

    build: str
    links: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Facts:
    """All that the page says.

    made: date of the newest input, in seconds since 1970 (SOURCE_DATE_EPOCH).
    tool: name and version of what built it. address: where the release is served, "" where
    nobody said. install: shell commands, in order. image: how many packages the builder image
    has. older: builds that the repository has too. missing: what the release lacks. fingerprint: of
    the key that signed it. trial: days that the key is good for, where it was made for this release
    alone and thrown away; 0 where it is somebody's. changed: trees and patches of somebody's own
    that packages are from.
    """

    recipe: str
    summary: str
    suite: str
    flavour: str
    tool: str
    made: int
    packages: Sequence[Packed]
    inputs: Sequence[Input] = ()
    overrides: Sequence[str] = ()
    changed: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    boots: Sequence[Boot] = ()
    spans: Sequence[Span] = ()
    options: Mapping[str, str] | None = None
    address: str = ""
    install: Sequence[str] = ()
    image: int = 0
    documents: Sequence[Documents] = ()
    older: Sequence[str] = ()
    missing: Sequence[str] = ()
    fingerprint: str = ""
    trial: int = 0


@dataclass(frozen=True)
class _Bar:
    """A stage in the picture, in units of it; `shown` is how long it took, for people."""

    stage: str
    x: float
    width: float
    shown: str


_SEVERITIES = ("error", "warning", "info")
_WIDTH = 640  # of the picture
_GAP = 600.0  # seconds between two stages that are not the same run


def render(facts: Facts) -> str:
    """The page as HTML. The same facts give the same text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(_TEMPLATE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["bytes"] = amount
    templates.filters["seconds"] = seconds_for_people
    templates.filters["count"] = count_for_people
    bars, whole = timeline(facts.spans)
    made = day(facts.made)
    counts = {
        severity: sum(finding.severity == severity for finding in facts.findings)
        for severity in _SEVERITIES
    }
    return templates.get_template("release.html").render(
        facts=facts,
        findings=sorted(facts.findings, key=lambda f: _SEVERITIES.index(f.severity)),
        made=made,
        counts=counts,
        total=sum(package.size for package in facts.packages),
        held=sum(c.good != c.must_fail for boot in facts.boots for c in boot.checks),
        bars=bars,
        whole=whole,
        width=_WIDTH,
    )


def timeline(spans: Sequence[Span]) -> tuple[list[_Bar], float]:
    """Where each stage's bar goes, and the seconds from the first begin to the last end.

    Stages that were made on different days stand side by side without the time between, so
    that one that was kept from last week does not make the others a hair's breadth.
    """
    timed = sorted((s for s in spans if s.ended), key=lambda s: (s.ended - s.seconds, s.stage))
    placed: list[tuple[Span, float]] = []
    now, end = 0.0, None  # on the line; of what came before, by the clock
    for span in timed:
        begin = span.ended - span.seconds
        if end is None or begin - end > _GAP:
            offset = begin - now
            end = begin
        placed.append((span, begin - offset))
        end = max(end, span.ended)
        now = max(now, end - offset)
    whole = now
    if not whole:
        return [], 0.0
    bars = [
        _Bar(
            span.stage,
            round(min(begin / whole * _WIDTH, _WIDTH - 2.0), 1),
            round(max(2.0, span.seconds / whole * _WIDTH), 1),
            seconds_for_people(span.seconds),
        )
        for span, begin in placed
    ]
    return bars, whole


def count_for_people(count: int, what: str) -> str:
    """So many of something, such as 1 package, 2 kinds of note."""
    first, space, rest = what.partition(" ")
    return f"{count} {first}{'s' * (count != 1)}{space}{rest}"


def seconds_for_people(seconds: float) -> str:
    """A duration, such as 4 min 07 s."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
