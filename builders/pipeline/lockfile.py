# SPDX-License-Identifier: GPL-2.0-or-later
"""NAME.lock: the exact sources and packages that a recipe is built from, beside its file.

`./inv lock` writes it, `--locked` takes what it names and nothing else. It is JSON, one package a
line, so that version control shows what changed. Its own digest stands in it: one that was
edited by hand is refused before anything of it is used, as are a lock of another recipe and one
whose recipe asks for something else by now.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

from builders import documents, files, forms
from builders.errors import BuildError, Exit
from builders.ground.sources import cache
from builders.ground.suite import image
from builders.ground.suite.pinned import MAIN, SECURITY, TIME, Pinned, PinnedFile, PinnedPackage
from builders.pipeline.recipe import RECIPES, GitSource, Recipe, Source, debian
from builders.text import printable

SUFFIX = ".lock"
SHA256 = "[0-9a-f]{64}"
_PACKAGES = 5000  # in a builder image; Debian's own for Xen and a kernel have about 300
_SOURCES = forms.ITEMS
_FILES = 100  # of one source
_RELEASES = 100
_LARGEST = 1 << 33  # bytes of one file
_ALL = 1 << 36  # and of all files together
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MADE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
# Inputs of the image that do not say which packages are to be in it.
_HOW = ("mirror", "script")


@dataclass(frozen=True)
class LockedRelease:
    suite: Annotated[str, "the suite or pocket, as sources.list(5) names it"]
    archive: Annotated[str, "main or security"]
    sha256: Annotated[str, "of its Release file", {"pattern": f"^{SHA256}$"}]
    date: Annotated[str, "when it was made (UTC); empty where it states no date"]


@dataclass(frozen=True)
class LockedFile:
    name: str
    archive: Annotated[str, "main or security; empty: where the recipe says"]
    path: Annotated[str, "in that archive; empty: where the recipe says"]
    size: Annotated[int, "bytes", {"minimum": 0}]
    sha256: Annotated[str, "of the file", {"pattern": f"^{SHA256}$"}]


@dataclass(frozen=True)
class LockedSource:
    name: Annotated[str, "in the recipe"]
    asked: Annotated[Mapping[str, str], "what the recipe says of it"]
    version: Annotated[str, "of the package; the commit of a git tree; the sha256 of a file"]
    files: Sequence[LockedFile]


@dataclass(frozen=True)
class LockedPackage:
    package: str
    version: str
    architecture: str
    archive: Annotated[str, "main or security"]
    path: Annotated[str, "in that archive"]
    size: Annotated[int, "bytes", {"minimum": 0}]
    sha256: Annotated[str, "of the .deb", {"pattern": f"^{SHA256}$"}]


@dataclass(frozen=True)
class Lock:
    """The sources and the packages of the builder image that a recipe is built from."""

    kind: ClassVar[str] = "lock"
    schema: ClassVar[int] = 1
    digest: Annotated[str, "of all that follows, in canonical form", {"pattern": f"^{SHA256}$"}]
    recipe: str
    suite: str
    made: Annotated[str, "when this was written (UTC)"]
    snapshot: Annotated[str, "the time of the mirror, where that is a snapshot; or empty"]
    releases: Sequence[LockedRelease]
    asked: Annotated[Mapping[str, str], "what the recipe says of the builder image"]
    sources: Sequence[LockedSource]
    packages: Annotated[Sequence[LockedPackage], "that are installed in the builder image"]

    def source(self, name: str) -> LockedSource | None:
        """The source of that name."""
        return next((each for each in self.sources if each.name == name), None)

    def times(self) -> dict[str, str]:
        """Archive -> the time at which an archive of all days has its files.

        That is the snapshot's, or half a day after the newest Release file was made: a snapshot
        is taken about four times a day, and what a mirror drops stays in the pool for longer.
        """
        times: dict[str, str] = {}
        for release in self.releases:
            if self.snapshot:
                times[release.archive] = self.snapshot
            elif release.date:
                later = _compact(release.date, _LATER)
                times[release.archive] = max(later, times.get(release.archive, ""))
        return times

    def pinned(self) -> Pinned:
        """What a run takes of the suite."""
        packages = tuple(
            PinnedPackage(
                p.package,
                p.version,
                p.architecture,
                PinnedFile(p.path.rpartition("/")[2], p.archive, p.path, p.size, p.sha256),
            )
            for p in self.packages
        )
        sources = {
            source.name: (
                source.version,
                tuple(
                    PinnedFile(f.name, f.archive, f.path, f.size, f.sha256) for f in source.files
                ),
            )
            for source in self.sources
            if all(f.archive for f in source.files)
        }
        return Pinned(packages, self.times(), sources)


_LATER = 12 * 3600  # seconds


def path(recipe: str) -> Path:
    """Where the lock of a recipe lies: beside the file of that name or path."""
    file = Path(recipe) if recipe.endswith(".toml") else RECIPES / f"{recipe}.toml"
    return file.with_suffix(SUFFIX)


def asked(recipe: Recipe) -> dict[str, str]:
    """What a recipe says of which packages are to be in its builder image."""
    inputs = image.inputs(recipe)
    return {name: value for name, value in sorted(inputs.items()) if value and name not in _HOW}


def asked_of(source: Source) -> dict[str, str]:
    """What a recipe says of a source, save where it is served."""
    identity = cache.identity_of(source)
    return {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in sorted(identity.items())
        if name not in ("name", "scope", "filename") and value not in ("", None)
    }


# -- written ------------------------------------------------------------------------------


def seal(lock: Lock) -> Lock:
    """`lock` with the digest of what it says."""
    return dataclasses.replace(lock, digest=_digest(_plain(lock)))


def _plain(lock: Lock) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(json.dumps(asdict(lock)))
    return table


def _digest(table: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in table.items() if name != "digest"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def text(lock: Lock) -> str:
    """The lock as its file has it: JSON, one entry of a list a line."""
    lines = [f'  "schema": {Lock.schema}', f'  "kind": "{Lock.kind}"']
    for name, value in _plain(lock).items():
        if isinstance(value, list) and value:
            entries = ",\n".join(f"    {json.dumps(entry)}" for entry in value)
            lines.append(f'  "{name}": [\n{entries}\n  ]')
        else:
            lines.append(f'  "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write(lock: Lock, to: Path) -> None:
    """Put the lock into its file, whole; BuildError (ENGINE) where it can't be written."""
    try:
        files.write(to, text(lock))
    except OSError as error:
        raise BuildError(
            f"{to} cannot be written: {error.strerror or error}",
            hint="make its folder yours, or copy the recipe into a folder of your own",
            exit=Exit.ENGINE,
        ) from None


# -- read ---------------------------------------------------------------------------------


class _WrongError(Exception):
    """What is wrong with a lock."""


def read(recipe: Recipe, at: Path) -> Lock:
    """The lock at that path, seen to be one of this recipe as it is now.

    Raises BuildError (USAGE): there is none, it is no lock, it was edited, it is of another recipe
    or suite, or the recipe asks for something else by now.
    """
    lock = load(at, recipe.name)
    again = _again(recipe.name)
    for what, mine, its in (
        ("recipe", recipe.name, lock.recipe),
        ("suite", recipe.suite.name, lock.suite),
    ):
        if mine != its:
            raise BuildError(
                f"{at} is the lock of another {what}: {its}, not {mine}",
                hint=f"make one of this recipe: {again}",
            )
    if changed := _changed(recipe, lock):
        raise BuildError(
            f"{at}: the recipe asks for something else than when it was locked: "
            f"{'; '.join(changed)}",
            hint=f"lock what it asks for now: {again}; or take back what was changed",
        )
    return lock


def load(at: Path, recipe: str = "") -> Lock:
    """The lock in a file, whosever it is; BuildError (USAGE) where it is none, or was edited.

    recipe: named in hints.
    """
    again = _again(recipe or at.stem)
    try:
        if at.exists() and not at.is_file():  # a FIFO or a device has no end
            raise OSError(None, "is no file")
        with at.open("rb") as stream:
            data = stream.read(documents.LARGEST + 1)
    except FileNotFoundError:
        raise BuildError(f"there is no lock {at}", hint=f"make one: {again}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "is no path"
        raise BuildError(f"{printable(str(at))}: {why}", hint=f"make one: {again}") from None
    try:
        return parse(data)
    except _WrongError as error:
        raise BuildError(f"{at}: {printable(str(error))}", hint=f"make it anew: {again}") from None


def _again(recipe: str) -> str:
    return f"./inv lock --recipe {recipe}"


def parse(data: bytes) -> Lock:
    """The lock in `data`; _WrongError where it is none, was edited, or has a value of no form."""
    try:
        table = documents.parse(data)
        if not isinstance(table, dict) or table.pop("kind", None) != Lock.kind:
            raise ValueError("it is another document")
        schema, digest = table.pop("schema", None), _digest(table)
    except (ValueError, RecursionError) as error:
        raise _WrongError(f"is no lock: {error}") from None
    if schema != Lock.schema:
        raise _WrongError("was written by another version of this tool")
    if table.get("digest") != digest:
        raise _WrongError("was edited, or broke on its way: its digest is not that of its content")
    lock: Lock = _record(Lock, table, "", _TOP)
    total = sum(f.size for s in lock.sources for f in s.files)
    total += sum(p.size for p in lock.packages)
    if total > _ALL:
        raise _WrongError(f"has files of {total} bytes in all")
    for what, names in (
        ("sources", [s.name for s in lock.sources]),
        ("packages", [p.package for p in lock.packages]),
        ("packages", [p.path.rpartition("/")[2] for p in lock.packages]),
    ):
        if len(set(names)) != len(names):
            raise _WrongError(f"{what}: one is there twice")
    return lock


Form = Callable[[Any, str], Any]


def _words(form: str) -> Form:
    compiled = re.compile(form)

    def read(value: Any, key: str) -> str:
        if not isinstance(value, str) or len(value) > forms.LINE or not compiled.fullmatch(value):
            raise _WrongError(f"{key}: {str(value)[:60]!r} has not its form")
        return value

    return read


def _checked(problem: Callable[[str], str]) -> Form:
    def read(value: Any, key: str) -> str:
        if not isinstance(value, str) or problem(value):
            raise _WrongError(f"{key}: {str(value)[:60]!r} has not its form")
        return value

    return read


def _size(value: Any, key: str) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise _WrongError(f"{key}: {str(value)[:30]} is no size")
    return value


def _path(value: str) -> str:
    if value == "":
        return ""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9./+~_:%=,-]*", value)
    return "" if plain and not forms.inside(value) else "is no path"


def _table(value: Any, key: str) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > forms.ITEMS:
        raise _WrongError(f"{key}: is no table")
    for name, text_ in value.items():
        if not isinstance(text_, str) or len(text_) > forms.TEXT:
            raise _WrongError(f"{key}.{name[:60]}: is no text")
    return value


def _record(kind: type[Any], value: Any, key: str, readers: Mapping[str, Form]) -> Any:
    if not isinstance(value, dict) or value.keys() != readers.keys():
        raise _WrongError(f"{key or 'it'} has not the keys of a lock")
    return kind(**{name: read(value[name], f"{key}{name}") for name, read in readers.items()})


def _list(kind: type[Any], readers: Mapping[str, Form], most: int) -> Form:
    def read(value: Any, key: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise _WrongError(f"{key}: is no list of at most {most} entries")
        return tuple(_record(kind, e, f"{key}[{n}].", readers) for n, e in enumerate(value))

    return read


_DIGEST = _words(SHA256)
_VERSION = _checked(debian.version_problem)
_PLACE = _words(f"{MAIN}|{SECURITY}")
_RELEASE: dict[str, Form] = {
    "suite": _checked(forms.words),
    "archive": _PLACE,
    "sha256": _DIGEST,
    "date": _words(f"({_MADE.pattern})?"),
}
_FILE: dict[str, Form] = {
    "name": _checked(forms.file_name),
    "archive": _words(f"({MAIN}|{SECURITY})?"),
    "path": _checked(_path),
    "size": _size,
    "sha256": _DIGEST,
}
_SOURCE: dict[str, Form] = {
    "name": _words(forms.NAME.pattern),
    "asked": _table,
    "version": _words(r"[A-Za-z0-9.+:~-]{1,200}"),
    "files": _list(LockedFile, _FILE, _FILES),
}
_PACKAGE: dict[str, Form] = {
    "package": _checked(debian.name_problem),
    "version": _VERSION,
    "architecture": _words(r"[a-z0-9-]{1,40}"),
    "archive": _PLACE,
    "path": _checked(lambda value: _path(value) or ("" if value[-4:] == ".deb" else "is no .deb")),
    "size": _size,
    "sha256": _DIGEST,
}
_TOP: dict[str, Form] = {
    "digest": _DIGEST,
    "recipe": _words(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"),
    "suite": _words(forms.SUITE.pattern),
    "made": _words(_MADE.pattern),
    "snapshot": _words(f"({TIME.pattern})?"),
    "releases": _list(LockedRelease, _RELEASE, _RELEASES),
    "asked": _table,
    "sources": _list(LockedSource, _SOURCE, _SOURCES),
    "packages": _list(LockedPackage, _PACKAGE, _PACKAGES),
}


# -- held against the recipe --------------------------------------------------------------


def _changed(recipe: Recipe, lock: Lock) -> list[str]:
    """What the recipe asks for and the lock does not answer, in words."""
    changed = _differences("builder", lock.asked, asked(recipe))
    for name in reads(recipe):
        source = lock.source(name)
        if source is None:
            changed.append(f"sources.{name}: is not in the lock")
        else:
            changed += _differences(f"sources.{name}", source.asked, asked_of(recipe.sources[name]))
    return changed


def reads(recipe: Recipe) -> list[str]:
    """The sources that the recipe's targets are built from."""
    names = (name for target in recipe.targets for name in recipe.reads(target))
    return list(dict.fromkeys(names))


def _differences(prefix: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, now = old.get(name, ""), new.get(name, "")
        if before != now:
            gone = sorted(set(before.split()) - set(now.split()))
            more = sorted(set(now.split()) - set(before.split()))
            words = [*(f"-{word}" for word in gone), *(f"+{word}" for word in more)]
            lines.append(f"{prefix}: {name}: {' '.join(map(printable, words[:6]))}")
    return lines


def source_as_locked(source: Source, lock: LockedSource) -> Source:
    """A git source at the commit of a lock; what else a source leaves open, an index answers."""
    if isinstance(source, GitSource) and _COMMIT.fullmatch(lock.version):
        return dataclasses.replace(source, commit=lock.version)
    return source


def _compact(date: str, seconds: int) -> str:
    """A time of a lock as snapshot.debian.org writes it, so many seconds later."""
    try:
        moment = datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return (moment + timedelta(seconds=seconds)).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, OverflowError):
        return ""
