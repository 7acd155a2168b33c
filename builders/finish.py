# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn the raw package that a build leaves into one that Debian's tools can rely on."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from debian.debian_support import Version

from builders import deb
from builders.corrections import Corrections
from builders.deb import Deb, Edit, Entry
from builders.errors import BuildError
from builders.progress import printable


@dataclass(frozen=True)
class Finished:
    """A finished package; notes are sentences on what a person may want to correct."""

    path: Path
    package: str
    version: str
    architecture: str
    notes: tuple[str, ...]


def finish(
    raw: Path,
    corrections: Corrections,
    *,
    elf_depends: Sequence[str],
    destination_dir: Path,
    epoch: int,
) -> Finished:
    """Write the package `raw`, corrected, into `destination_dir`, under its dpkg-name(1).

    elf_depends: relations that dpkg-shlibdeps computed for its ELF files inside the suite.
    epoch: SOURCE_DATE_EPOCH; no time in the result lies after it.
    A directory that the removals leave empty goes too, one that was empty before stays.
    Raises BuildError where the package or a correction cannot be used.
    """
    package = Deb.open(raw)
    notes: list[str] = []
    removed = _removed(package.index.entries, corrections.remove, notes)
    kept = [entry for entry in package.index.entries if entry.path not in removed]
    _dangling(kept, removed, notes)
    fields = _fields(package, corrections, elf_depends, notes)
    files: dict[str, bytes | None] = {}
    if corrections.conffiles:
        files["conffiles"] = _conffiles(package, kept, notes) or None
    name, version, architecture = (fields[f] for f in ("Package", "Version", "Architecture"))
    destination = destination_dir / file_name(name, version, architecture)
    try:
        destination_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(
            f"{destination_dir}: {error.strerror}", hint="name a folder that can be written"
        ) from error
    deb.rewrite(
        package,
        destination,
        Edit(
            control=fields,
            control_files=files,
            remove=frozenset(removed),
            epoch=epoch,
            tidy=True,
            recount=True,
            compression=corrections.compression,
            level=None if corrections.level == -1 else corrections.level,
        ),
    )
    return Finished(destination, name, version, architecture, tuple(notes))


def file_name(package: str, version: str, architecture: str) -> str:
    """package_version_architecture.deb, without the epoch of the version (dpkg-name(1))."""
    return f"{package}_{version.partition(':')[2] or version}_{architecture}.deb"


# Members


def _removed(entries: Sequence[Entry], globs: Sequence[str], notes: list[str]) -> set[str]:
    """The paths that the globs take away, emptied directories included."""
    removed: set[str] = set()
    for glob in globs:
        if not glob.startswith("/"):
            raise BuildError(f"remove: {glob!r} is no absolute path", hint=f"write /{glob}")
        found = {e.path for e in entries if e.path != "/" and fnmatch.fnmatchcase(e.path, glob)}
        if not found:
            notes.append(f"remove: {glob} matches nothing in the package")
        removed |= found
    if not removed:
        return removed
    left: dict[str, int] = {}  # how many members a directory still has in it
    had: set[str] = set()
    for entry in entries:
        parent = posixpath.dirname(entry.path)
        if entry.path != "/":
            had.add(parent)
        if any(above in removed for above in _above(entry.path)):
            removed.add(entry.path)
        elif entry.path != "/":
            left[parent] = left.get(parent, 0) + 1
    # From the deepest on, as a directory that goes may be the last one in its parent.
    for entry in sorted(entries, key=lambda e: e.path.count("/"), reverse=True):
        path = entry.path
        if path == "/" or path in removed or not entry.info.isdir():
            continue
        if path in had and not left.get(path):
            removed.add(path)
            left[posixpath.dirname(path)] -= 1
    return removed


def _above(path: str) -> Iterable[str]:
    while path != "/":
        yield path
        path = posixpath.dirname(path)


def _dangling(kept: Iterable[Entry], removed: set[str], notes: list[str]) -> None:
    for entry in kept:
        if entry.info.issym():
            target = posixpath.normpath(
                posixpath.join(posixpath.dirname(entry.path), entry.info.linkname)
            )
            if target in removed:
                notes.append(
                    f"{printable(entry.path)} links to {printable(target)}, which was removed"
                )


def _conffiles(package: Deb, kept: Sequence[Entry], notes: list[str]) -> bytes:
    """What the raw package lists, then every other regular file under /etc (Policy 10.7.2)."""
    files = {entry.path for entry in kept if deb.is_file(entry)}
    there = {entry.path for entry in package.index.entries}
    text = package.control_files.get("conffiles", b"").decode("utf-8", "surrogateescape")
    lines: list[str] = []
    for line in (line.strip() for line in text.split("\n")):
        # "remove-on-upgrade /etc/x" names a file that is not there (deb-conffiles(5)).
        if line in files or (line and not line.startswith("/")):
            lines.append(line)
        elif line and line not in there:
            notes.append(f"conffiles: {printable(line)} is listed, but not in the package")
    listed = set(lines)
    lines += sorted(path for path in files if path.startswith("/etc/") and path not in listed)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


# Fields

_NAME = r"[a-z0-9][a-z0-9+.-]+"  # Policy 5.6.1
_PRIORITIES = ("required", "important", "standard", "optional", "extra")
_ADDED = ("recommends", "suggests", "provides", "conflicts", "replaces", "breaks")
_ALTERNATIVES = ("depends", "recommends", "suggests")  # Policy 7.1: no "|" in the others


def _fields(
    package: Deb, corrections: Corrections, elf_depends: Sequence[str], notes: list[str]
) -> dict[str, str]:
    """The control fields of the finished package, in dpkg-gencontrol's order."""
    control: dict[str, tuple[str, str]] = {
        name.lower(): (name, value) for name, value in package.control.items()
    }

    def raw(name: str) -> str:
        return control.get(name.lower(), ("", ""))[1].strip()

    def put(name: str, value: str) -> None:
        control.pop(name.lower(), None)
        if value:
            control[name.lower()] = (name, value)

    name = corrections.package or raw("Package")
    if not re.fullmatch(_NAME, name):
        raise BuildError(
            f"{printable(name)!r} is no package name (Policy 5.6.1)",
            hint="state package, in lower case letters, digits and +-.",
        )
    put("Package", name)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", raw("Architecture")):
        raise BuildError(
            f"{package.path}: its Architecture is {printable(raw('Architecture'))!r}",
            hint="build the package again",
        )
    put("Version", _version(raw("Version"), corrections, notes))
    put("Maintainer", _maintainer(raw("Maintainer"), corrections.maintainer, notes))
    for field, stated in (("Section", corrections.section), ("Homepage", corrections.homepage)):
        if re.search(r"\s", stated):
            raise BuildError(f"{field.lower()}: {stated!r} has a space", hint="write one word")
        put(field, stated or raw(field))
    if corrections.priority and corrections.priority not in _PRIORITIES:
        raise BuildError(
            f"{corrections.priority!r} is no priority (Policy 2.5)",
            hint=f"one of: {', '.join(_PRIORITIES)}",
        )
    put("Priority", corrections.priority or raw("Priority"))
    put("Description", _description(corrections.description) or raw("Description"))
    if not raw("Description"):
        notes.append("the package has no description: state one")
    own = {name, package.control.get("Package", "")}
    put("Depends", _depends(raw("Depends"), corrections.depends, elf_depends, own, notes))
    for key in _ADDED:
        stated_relations = [
            *_relations(key, [raw(key)]),
            *_relations(key, getattr(corrections, key)),
        ]
        put(key.capitalize(), ", ".join(sorted({str(group) for group in stated_relations})))
    return deb.ordered(dict(control.values()))


def _version(raw: str, corrections: Corrections, notes: list[str]) -> str:
    """The version of the finished package (deb-version(7)), above the raw one."""
    if corrections.version:
        stated = _parsed(corrections.version)
        if stated is None:
            raise BuildError(
                f"{corrections.version!r} is no version (deb-version(7))",
                hint="begin with a digit, go on with letters, digits and .+-~",
            )
        before = _parsed(raw)
        if before is not None and stated < before:
            notes.append(f"version {corrections.version} sorts below the raw package's {raw}")
        return corrections.version
    base = raw
    if _parsed(base) is None:
        base = re.sub(r"[^A-Za-z0-9.+~-]+", ".", re.sub(r"^[^0-9]+", "", raw)).strip(".")
        if _parsed(base) is None:
            raise BuildError(
                f"the raw package's version {printable(raw)!r} is none (deb-version(7))",
                hint="state version in full",
            )
        notes.append(f"the raw package's version {printable(raw)} is not valid; {base} is used")
    if not corrections.revision:
        return base
    version = base + corrections.revision
    after, before = _parsed(version), _parsed(base)
    if after is None:
        raise BuildError(
            f"{version!r} is no version (deb-version(7))",
            hint="state a revision of letters, digits and .+-~, such as +dom0.1",
        )
    if before is None or not after > before:
        raise BuildError(
            f"version {version} does not sort above the raw package's {base}",
            hint='state a revision that does, such as "+dom0.1"; "~" sorts below',
        )
    return version


def _parsed(text: str) -> Version | None:
    # Stricter than python-debian: dpkg wants the upstream version to begin with a digit.
    if not re.fullmatch(r"([0-9]+:)?[0-9][A-Za-z0-9.+~-]*", text) or text.endswith("-"):
        return None
    try:
        return Version(text)
    except ValueError:
        return None


def _maintainer(raw: str, stated: str, notes: list[str]) -> str:
    """Name and address (Policy 5.6.2)."""
    form = r"[^<>\n]*[^<>\s][^<>\n]* <[^<>@\s]+@[^<>@\s]+>"
    if stated and not re.fullmatch(form, stated):
        raise BuildError(
            f"maintainer {stated!r} is not of the form Name <address>",
            hint="write a name, then an e-mail address in angle brackets",
        )
    if not stated and not re.fullmatch(form, raw):
        notes.append(f"maintainer {printable(raw)!r} is not of the form Name <address>: state one")
    return stated or raw


def _description(text: str) -> str:
    """As deb-control(5) folds it: an empty line is a full stop, each line is indented."""
    first, _, rest = text.strip().partition("\n")
    lines = [f" {line.rstrip()}" if line.strip() else " ." for line in rest.split("\n")]
    return "\n".join([first.strip(), *lines]) if rest.strip() else first.strip()


# Relations (Policy 7.1)

_RELATION = re.compile(
    rf"(?P<name>{_NAME})(?P<arch>:[a-z0-9-]+)?"
    r"(?:\s*\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s()]+)\s*\))?"
)
# What the operators of before 1995 mean to dpkg.
_OPERATORS = {"<": "<=", ">": ">="}


@dataclass(frozen=True)
class _One:
    """A package, and the versions of it that will do."""

    name: str
    arch: str = ""
    operator: str = ""
    version: str = ""

    def __str__(self) -> str:
        versions = f" ({self.operator} {self.version})" if self.operator else ""
        return f"{self.name}{self.arch}{versions}"

    def implies(self, other: _One) -> bool:
        """Whether all that satisfies this satisfies `other`."""
        if (self.name, self.arch) != (other.name, other.arch):
            return False
        if not other.operator or self == other:
            return True
        if other.operator != ">=" or self.operator not in (">=", ">>", "="):
            return False
        mine, its = _parsed(self.version), _parsed(other.version)
        return mine is not None and its is not None and mine >= its


@dataclass(frozen=True)
class _Group:
    """Alternatives, of which one has to be there."""

    choices: tuple[_One, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.choices))

    def implies(self, other: _Group) -> bool:
        return len(self.choices) == 1 and any(self.choices[0].implies(o) for o in other.choices)


def _relations(field: str, texts: Iterable[str]) -> list[_Group]:
    """The relations of a field; BuildError where one is malformed."""
    groups = []
    for text in texts:
        for part in text.split(","):
            if not part.strip():
                continue
            choices = []
            for choice in part.split("|"):
                match = _RELATION.fullmatch(choice.strip())
                version = match["version"] if match else None
                if not match or (version and _parsed(version) is None):
                    raise BuildError(
                        f"{field.lower()}: {printable(part.strip())!r} is no relation (Policy 7.1)",
                        hint="write it like: libc6 (>= 2.36)",
                    )
                operator = match["operator"] or ""
                choices.append(
                    _One(
                        match["name"],
                        match["arch"] or "",
                        _OPERATORS.get(operator, operator),
                        version or "",
                    )
                )
            if len(choices) > 1 and field.lower() not in _ALTERNATIVES:
                raise BuildError(
                    f"{field.lower()}: {printable(part.strip())!r} has alternatives (Policy 7.1)",
                    hint="name one package",
                )
            groups.append(_Group(tuple(choices)))
    return groups


def _depends(
    raw: str,
    stated: Sequence[str],
    elf_depends: Sequence[str],
    own: set[str],
    notes: list[str],
) -> str:
    """The three joined: what another one implies is dropped, and what the package itself is."""
    computed = _relations("depends", elf_depends)
    named = {one.name for group in computed for one in group.choices}
    groups = [*_relations("depends", [raw]), *computed]
    for group in _relations("depends", stated):
        one = group.choices[0]
        if len(group.choices) == 1 and not one.operator and f"{one.name}t64" in named:
            # The 64-bit time_t transition renamed libraries; dpkg-shlibdeps knows the suite.
            notes.append(f"depends: {one.name} is {one.name}t64 in this suite")
            continue
        for choice in group.choices:
            if _is_library(choice.name) and choice.name not in named:
                notes.append(
                    f"depends: {choice.name} is stated, but no ELF file of the package needs it"
                )
        groups.append(group)
    unique = {str(g): g for g in groups if not any(one.name in own for one in g.choices)}
    for text, group in list(unique.items()):
        if any(other.implies(group) for other in unique.values() if other is not group):
            del unique[text]
    return ", ".join(sorted(unique))


def _is_library(package: str) -> bool:
    """Whether it is called as a shared library's package is (Policy 8.1), such as libaio1."""
    return bool(re.fullmatch(r"lib[a-z0-9+.-]*[0-9](t64|g|[a-z]?[0-9]*)", package))
