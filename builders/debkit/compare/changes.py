# SPDX-License-Identifier: GPL-2.0-or-later
"""The differences between two packages, each with one line of judgement where it matters."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from builders.debkit.audit import Severity
from builders.debkit.audit.rules.depends import Bringers
from builders.debkit.compare import contents
from builders.debkit.compare.snapshot import Snapshot, take
from builders.debkit.compare.terms import Change, change
from builders.debkit.deb.relations import RELATIONS, read_relations
from builders.errors import Exit
from builders.text import printable
from builders.versions import parsed_version

_RELATIONS = (*RELATIONS, "Built-Using")
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")
_DERIVED = ("md5sums", "conffiles")  # told by the files
_DIFF_LIMIT = 256 << 10  # bytes of a file of control.tar that is compared line by line
_DIFF_LINES = 4_000  # of it
_ALL_LINES = 20_000  # of all such files of a package
_SHOWN_LINES = 200  # of a unified diff that are kept


@dataclass(frozen=True)
class Comparison:
    """Two packages and what differs; changes is empty where nothing does."""

    old: Snapshot
    new: Snapshot
    changes: tuple[Change, ...]

    def count(self, severity: Severity) -> int:
        return sum(change.severity is severity for change in self.changes)


def exit_code(found: Iterable[Comparison]) -> Exit:
    """Exit.AUDIT where a change is judged an error, Exit.DONE otherwise."""
    return Exit.AUDIT if any(c.count(Severity.ERROR) for c in found) else Exit.DONE


def compare(old: Path, new: Path) -> Comparison:
    """Compare the package `new` with `old`, as an upgrade from the one to the other.

    Both are read as streams. Raises BuildError where one cannot be read.
    """
    before, after = take(old), take(new)
    parts: tuple[Callable[[Snapshot, Snapshot], Iterable[Change]], ...] = (
        _fields,
        _sizes,
        _relations,
        _needs,
        _scripts,
        contents.conffiles,
        contents.files,
        _kernels,
    )
    return Comparison(before, after, tuple(c for part in parts for c in part(before, after)))


# Fields


def _fields(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    names = {name.lower(): name for name in (*old.fields, *new.fields)}
    skipped = {name.lower() for name in (*_RELATIONS, "Installed-Size")}
    for key, name in names.items():
        before, after = old.get(name), new.get(name)
        if key not in skipped and before != after:
            judge = _JUDGED_FIELDS.get(key)
            severity, judgement = judge(before, after) if judge else (None, "")
            yield change("field", name, before, after, severity, judgement)
    if old.get("Version") == new.get("Version") and _content(old) != _content(new):
        yield change(
            "field",
            "Version",
            new.get("Version"),
            new.get("Version"),
            Severity.WARNING,
            "other content under the same version: apt does not see a new package",
        )


def _content(it: Snapshot) -> object:
    return (it.fields, it.scripts, it.files)


def _version(before: str, after: str) -> tuple[Severity | None, str]:
    old, new = parsed_version(before), parsed_version(after)
    if old is None or new is None:
        return Severity.ERROR, "is no version that dpkg can compare (deb-version(7))"
    if new < old:
        return Severity.WARNING, "a downgrade: apt does it only when told to"
    return None, ""


def _package(before: str, after: str) -> tuple[Severity | None, str]:  # noqa: ARG001
    return Severity.INFO, "another package: it replaces the old one only by its relations"


def _architecture(before: str, after: str) -> tuple[Severity | None, str]:
    if "all" in (before, after):
        return None, ""
    return Severity.WARNING, "for other machines than before"


def _essential(before: str, after: str) -> tuple[Severity | None, str]:  # noqa: ARG001
    if after == "yes":
        return Severity.WARNING, "dpkg will no longer remove it without force"
    return None, ""


_JUDGED_FIELDS = {
    "version": _version,
    "package": _package,
    "architecture": _architecture,
    "essential": _essential,
    "protected": _essential,
}


# Sizes


def _sizes(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    yield from _size("size of the .deb", old.size, new.size)
    yield from _size("size installed", old.installed << 10, new.installed << 10)


def _size(name: str, before: int, after: int) -> Iterator[Change]:
    if before == after:
        return
    judgement, severity = "", None
    if abs(after - before) * 100 >= before:  # from one per cent on
        verb = "grows" if after > before else "shrinks"
        judgement = f"{verb} by {abs(after - before) / max(before, 1):.0%}"
        if after - before > max(before // 4, 1 << 20):
            severity = Severity.WARNING
    yield change("size", name, str(before), str(after), severity, judgement)


# Relations


def parse_relations(text: str) -> dict[str, str]:
    """The alternatives' names, joined with " | ", to the relation as it is written.

    Where one name has several relations they are joined with ", " (Policy 7.1). What is no
    relation of a binary package stands for itself.
    """
    found: dict[str, list[str]] = {}
    for part in text.split(","):
        written = " ".join(part.split())
        if not written:
            continue
        groups, _ = read_relations("Depends", written)
        names = [f"{one.name}{one.arch}" for group in groups for one in group.choices]
        found.setdefault(" | ".join(names) or written, []).append(written)
    return {key: ", ".join(relations) for key, relations in found.items()}


def _relations(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    every = {name: _all_names(new, name) for name in _RELATIONS}
    guesses = _Guesses(every["Depends"] | every["Pre-Depends"])
    for name in _RELATIONS:
        before, after = parse_relations(old.get(name)), parse_relations(new.get(name))
        for key in (*before, *(k for k in after if k not in before)):
            was, now = before.get(key, ""), after.get(key, "")
            if sorted(was.split(", ")) != sorted(now.split(", ")):
                severity, judgement = _relation(name, key, was, now, old, new, every, guesses)
                yield change("relation", f"{name}: {key}", was, now, severity, judgement)


def _all_names(it: Snapshot, field: str) -> set[str]:
    return {n for key in parse_relations(it.get(field)) for n in key.split(" | ")}


def _relation(
    field: str,
    key: str,
    was: str,
    now: str,
    old: Snapshot,
    new: Snapshot,
    every: Mapping[str, set[str]],
    guesses: _Guesses,
) -> tuple[Severity | None, str]:
    hard = field in ("Depends", "Pre-Depends")
    if hard and not now:
        return _lost(field, key, old, new, every, guesses)
    if hard and not was:
        brought = guesses.brought(new.needs, key.split(" | "))
        if brought:
            return None, f"brings {brought[0]}, for {_files(new.needs[brought[0]])}"
        return Severity.INFO, "has to be there now"
    if hard:
        return None, "the condition on its version is another one"
    if field in ("Conflicts", "Breaks") and not was:
        return Severity.WARNING, f"apt removes or upgrades {key} where it is installed"
    if field == "Provides" and not now:
        return Severity.WARNING, f"what depends on {key} is no longer satisfied by it"
    if field == "Replaces" and not now:
        return Severity.WARNING, f"dpkg stops where a file of {key} is in the way"
    return None, ""


class _Guesses:
    """Which libraries packages are likely to bring; whoever asks too often is told of none."""

    def __init__(self, needed: set[str]) -> None:
        """needed: the packages that the new one depends on."""
        self.needed = needed
        self._sorted = sorted(needed)
        self._bringers: dict[str, str] = {}  # library to the first of these that may have it
        self._left = _MOST_GUESSES

    def brought(self, sonames: Iterable[str], names: Iterable[str]) -> list[str]:
        """Those of the libraries that one of the packages of these names is likely to have."""
        packages = Bringers(names)
        brought = []
        for soname in sonames:
            self._left -= 1
            if self._left < 0:
                break
            if packages.may_bring(soname):
                brought.append(soname)
        return brought

    def bringer(self, soname: str) -> str:
        """A package among those needed now that is likely to have a library; "" for none."""
        if soname not in self._bringers:
            asked = takewhile(lambda _: self._left > 0, self._sorted)
            brought = (name for name in asked if self.brought([soname], [name]))
            self._bringers[soname] = next(brought, "")
        return self._bringers[soname]


_MOST_GUESSES = 200_000  # of one comparison: they take about a second


def _lost(
    field: str,
    key: str,
    old: Snapshot,
    new: Snapshot,
    every: Mapping[str, set[str]],
    guesses: _Guesses,
) -> tuple[Severity | None, str]:
    """What it means that a hard dependency went."""
    names = key.split(" | ")
    if any(name in guesses.needed for name in names):
        return None, f"still there in another form, no longer by itself in {field}"
    libraries = guesses.brought(old.needs, names)
    still = [soname for soname in libraries if soname in new.needs]
    missing = next((soname for soname in still if not guesses.bringer(soname)), "")
    if missing:
        path = new.needs[missing][0]
        return Severity.ERROR, f"{path} still needs {missing}: the dependency is missing"
    if still:
        return None, f"{guesses.bringer(still[0])} brings {still[0]} now"
    soft = next(
        (f for f in ("Recommends", "Suggests") if any(name in every[f] for name in names)), ""
    )
    if libraries:
        return None, f"fine: no file needs {libraries[0]} any more"
    if soft:
        return Severity.INFO, f"only in {soft} now"
    return Severity.INFO, "is no longer asked for: fine if what used it was dropped"


# What ELF files need


def _needs(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    relations = _all_names(new, "Depends") | _all_names(new, "Pre-Depends")
    known = _all_names(old, "Depends") | _all_names(old, "Pre-Depends")
    packages = Bringers(relations)
    more_relations = bool(relations - known)
    for soname in sorted({*old.needs, *new.needs}):
        before, after = old.needs.get(soname, ()), new.needs.get(soname, ())
        if bool(before) == bool(after):
            continue
        severity, judgement = None, ""
        if after:
            more = f" and {len(after) - 1} more" if len(after) > 1 else ""
            judgement = f"needed by {after[0]}{more}"
            brought = packages.may_bring(soname) or more_relations or soname in _LIBC
            if soname not in new.sonames and not brought:
                severity = Severity.WARNING
                judgement += "; no new dependency brings it"
        yield change("needs", soname, _files(before), _files(after), severity, judgement)


_LIBC = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"}


def _files(paths: tuple[str, ...]) -> str:
    return f"{len(paths)} file{'s' * (len(paths) != 1)}" if paths else ""


# Maintainer scripts and the other files of control.tar


def _scripts(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    left = _ALL_LINES
    # Maintainer scripts first: of very many files the others are not compared line by line.
    names = {*old.scripts, *new.scripts} - set(_DERIVED)
    for name in sorted(names, key=lambda name: (name not in _SCRIPTS, name)):
        before, after = old.scripts.get(name), new.scripts.get(name)
        if before == after:
            continue
        kind = "script" if name in _SCRIPTS else "control file"
        severity, judgement = None, ""
        if before is None and kind == "script":
            severity, judgement = Severity.INFO, "runs as root on the machine: read it"
        elif after is None and name in ("prerm", "postrm"):
            severity, judgement = Severity.WARNING, "what it undid on removal stays behind"
        elif after is None and name == "shlibs":
            severity = Severity.WARNING
            judgement = "packages built against its libraries get no dependency on it"
        left -= max((before or b"").count(b"\n"), (after or b"").count(b"\n"))
        yield change(
            kind,
            name,
            "" if before is None else f"{len(before)} bytes",
            "" if after is None else f"{len(after)} bytes",
            severity,
            judgement,
            _unified(before or b"", after or b"") if left >= 0 else _NOT_COMPARED,
        )


_NOT_COMPARED = ("too long, or no text, to be compared line by line",)


def _unified(before: bytes, after: bytes) -> tuple[str, ...]:
    """The difference line by line, short; one line that says so where it is too long."""
    sides: list[list[str]] = []
    for data in (before, after):
        if len(data) > _DIFF_LIMIT or data.count(b"\n") > _DIFF_LINES or b"\0" in data:
            return _NOT_COMPARED
        sides.append([_shown(line) for line in data.decode("utf-8", "replace").split("\n")])
    lines = list(difflib.unified_diff(sides[0], sides[1], "a", "b", lineterm="", n=2))
    if len(lines) > _SHOWN_LINES:
        lines[_SHOWN_LINES:] = [f"({len(lines) - _SHOWN_LINES} more lines)"]
    return tuple(lines)


def _shown(line: str) -> str:
    return printable(line[:400]).rstrip()


# Kernels


def _kernels(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    before, after = dict(old.configs), dict(new.configs)
    if len(before) == len(after) == 1:  # the version is in the name
        before = {next(iter(after)): next(iter(before.values()))}
    for path in sorted({*before, *after}):
        if path not in before or path not in after:
            continue  # told by the files
        was, now = before[path], after[path]
        for option in sorted({*was, *now}):
            one, other = was.get(option, ""), now.get(option, "")
            if one != other:
                severity, judgement = _option(option, one, other)
                yield change("kernel option", option, one, other, severity, judgement)


_DOM0 = {
    "CONFIG_XEN": "it runs on Xen no longer",
    "CONFIG_XEN_DOM0": "it is no dom0 kernel any more",
    "CONFIG_XEN_PV_DOM0": "it does not boot as a PV dom0 any more",
    "CONFIG_XEN_PCIDEV_BACKEND": "this dom0 cannot hand PCI devices to guests any more",
}


def _option(option: str, one: str, other: str) -> tuple[Severity | None, str]:
    if option in _DOM0 and one and not other:
        return Severity.ERROR, _DOM0[option]
    if option == "CONFIG_XEN_PCIDEV_BACKEND" and (one, other) == ("y", "m"):
        return Severity.WARNING, "as a module it has to claim a device before the device's driver"
    if option.startswith("CONFIG_XEN") and one and not other:
        return Severity.WARNING, "a part of Xen's support is gone"
    if (one, other) == ("y", "m"):
        return None, "needs its module loaded, in the initramfs where booting depends on it"
    return None, ""
