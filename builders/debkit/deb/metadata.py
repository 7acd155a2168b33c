# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of control.tar beside control, read as strictly as dpkg and debconf read them.

Each reader takes the bytes of a file and returns what it says, and its faults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from builders.debkit.deb.fault import MOST, Fault
from builders.debkit.deb.relations import name_fault
from builders.debkit.deb.suites import BOOKWORM, Number

# dpkg reads lines into buffers of these sizes: a longer one has no end for it.
_CONFFILE = 997  # bytes, with the newline
_TRIGGER = 254
_SPACE = b" \t\n\v\f\r"
_WHITE = b" \t\n"
_DIGEST = 32
_ABSOLUTE = (1, 20, 5)  # versions of dpkg
_AWAIT = (1, 17, 21)
_REMOVED = b"remove-on-upgrade"
_REMOVES = (1, 20, 6)
NAME_LIMIT = 100  # bytes of the name of a file of control.tar, but for those with a dot


@dataclass(frozen=True)
class Conffile:
    """A line of conffiles. path: absolute, normal. written: as it stands there.

    removed: it is marked remove-on-upgrade (deb-conffiles(5)).
    """

    path: str
    written: str
    removed: bool = False


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def normal(path: str) -> str:
    """A path as dpkg keeps it: no slash or dot before its first name, and one slash."""
    while path.startswith(("/", "./")):
        path = path[1:]
    return f"/{path}"


def lines_of(data: bytes) -> Iterator[bytes]:
    """The lines of a file, one at a time: there may be millions."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        yield data[at:end]
        at = end + 1


def _unended(data: bytes) -> Iterator[Fault]:
    last = data[data.rfind(b"\n") + 1 :]
    if last:
        yield Fault(f"its last line, {_shown(last)}, has no newline")


def read_conffiles(data: bytes, dpkg: Number = BOOKWORM.dpkg) -> tuple[list[Conffile], list[Fault]]:
    """The conffiles that a package lists (deb-conffiles(5)). dpkg: its version.

    Before 1.20.5 it took what is no absolute path for one all the same, flags included.
    """
    listed: list[Conffile] = []
    faults: list[Fault] = []
    faults += _unended(data)
    for line in lines_of(data):
        if len(faults) > MOST:
            break
        if b"\0" in line or len(line) + 1 > _CONFFILE:
            why = "has a NUL" if b"\0" in line else "is too long"
            faults.append(Fault(f"the line {_shown(line)} {why}"))
            continue
        stripped = line.rstrip(_SPACE)
        if not stripped:
            faults.append(Fault("it has an empty line", refused=False))
        elif stripped.startswith(b"/"):
            listed.append(Conffile(normal(text(stripped)), text(stripped)))
            if stripped != line:
                faults.append(Fault("its line has space at the end", False, text(stripped)))
        else:
            flag, space, path = stripped.partition(b" ")
            if not space or not path.startswith(b"/"):
                refused = dpkg >= _ABSOLUTE
                faults.append(Fault("is no absolute path", refused, text(path or stripped)))
            elif flag != _REMOVED:
                word = (
                    "has space before it"
                    if not flag.strip(_SPACE)
                    else f"has the flag {_shown(flag)}, which is none"
                )
                faults.append(Fault(word, dpkg >= _ABSOLUTE, text(path)))
            else:
                listed.append(Conffile(normal(text(path)), text(path), removed=True))
                if dpkg < _REMOVES:
                    word = "is marked remove-on-upgrade, which dpkg heeds from 1.20.6 on"
                    faults.append(Fault(word, False, text(path)))
    for conffile in listed:
        if why := _path_fault(conffile.path):
            faults.append(Fault(why, True, conffile.path))
    return listed, faults


_NAME_MAX = 255  # bytes of one name of a path, and of the whole one
_PATH_MAX = 4095
_NEW = len(".dpkg-new")  # dpkg unpacks beside it


def _path_fault(path: str) -> str:
    """Why no file can be at the path of a conffile."""
    names = path.encode("utf-8", "surrogateescape").split(b"/")
    if re.search(r"\x1a[^ \t]", path):  # there a line of it ends
        return "has a Ctrl-Z, which dpkg cannot read in its database"
    if path in ("/", "/."):
        return "is listed as a conffile, and is the root"
    if len(names[-1]) + _NEW > _NAME_MAX or any(len(name) > _NAME_MAX for name in names):
        return "is listed as a conffile, and has too long a name"
    if sum(map(len, names)) + len(names) + _NEW > _PATH_MAX:
        return "is listed as a conffile, and is too long"
    return ""


_SUMS = 250_000  # files that are looked up; no package has more members


def read_md5sums(data: bytes) -> tuple[dict[str, str], list[Fault]]:
    """Absolute path to digest, as `dpkg --verify` takes them (deb-md5sums(5))."""
    sums: dict[str, str] = {}
    faults: list[Fault] = []
    faults += _unended(data)
    for line in lines_of(data):
        if len(faults) > MOST:
            break
        digest, between, name = line[:_DIGEST], line[_DIGEST : _DIGEST + 2], line[_DIGEST + 2 :]
        if not line:
            faults.append(Fault("it has an empty line"))
        elif not name:
            faults.append(Fault(f"the line {_shown(line)} has no path"))
        elif between != b"  ":
            faults.append(Fault(f"the line {_shown(line)} has no two spaces after 32 digits"))
        else:
            if len(sums) == _SUMS:
                faults.append(Fault(f"lists more than {_SUMS} files", refused=False))
                break
            path = normal(text(name.removesuffix(b"/").partition(b"\0")[0]))
            sums[path] = text(digest)
            if not re.fullmatch(rb"[0-9a-f]{32}", digest):
                faults.append(Fault("has no digest of 32 digits in lower case", False, path))
    return sums, faults


_SONAMES = 400_000  # that are remembered; no package has more members


def stated_sonames(files: Mapping[str, bytes]) -> set[str]:
    """The libraries of which shlibs or symbols says what to depend on (deb-shlibs(5)).

    files: the files of control.tar by name.
    """
    sonames: set[str] = set()
    for match in re.finditer(rb"(?m)^[^ \n]+", files.get("symbols", b"")):  # deb-symbols(5)
        sonames.add(text(match[0]))
        if len(sonames) >= _SONAMES:
            return sonames
    for match in _SHLIBS_LINE.finditer(files.get("shlibs", b"")):
        name, version = text(match[1]), text(match[2])
        sonames |= {f"{name}.so.{version}", f"{name}-{version}.so"}
        if len(sonames) >= _SONAMES:
            break
    return sonames


# Perhaps a type, such as udeb; library and version.
_SHLIBS_LINE = re.compile(rb"(?m)^(?:[^:\s]+:[ \t]+)?([^\s#]\S*)[ \t]+(\S+)")


@dataclass(frozen=True)
class Trigger:
    """A line of triggers (deb-triggers(5)): a directive, such as activate-noawait, and a name."""

    directive: str
    name: str


_DIRECTIVES = frozenset(
    f"{verb}{wait}".encode()
    for verb in ("interest", "activate")
    for wait in ("", "-await", "-noawait")
)
_TRIGGERS = 50_000  # that are looked at
# The files in which dpkg keeps what is triggered, in the folder where a trigger has one of its own.
_STATE = frozenset(["File", "Unincorp"])


def read_triggers(data: bytes, dpkg: Number = BOOKWORM.dpkg) -> tuple[list[Trigger], list[Fault]]:
    """The triggers of a package. dpkg: its version; before 1.17.21 it knew no -await."""
    triggers: dict[tuple[bytes, bytes], Trigger] = {}  # each once: there may be millions
    faults: list[Fault] = []
    faults += _unended(data)
    for line in lines_of(data):
        if len(faults) > MOST:
            break
        if b"\0" in line or len(line) + 1 > _TRIGGER + 1:
            why = "has a NUL" if b"\0" in line else "is too long"
            faults.append(Fault(f"the line {_shown(line)} {why}"))
            continue
        stripped = line.strip(_WHITE)
        if not stripped or stripped.startswith(b"#"):
            continue
        directive, _, name = re.split(rb"([ \t])", stripped, maxsplit=1) + [b""] * (
            0 if re.search(rb"[ \t]", stripped) else 2
        )
        name = name.strip(_WHITE)
        if (
            not name
            or directive not in _DIRECTIVES
            or (directive.endswith(b"-await") and dpkg < _AWAIT)
        ):
            faults.append(Fault(f"{_shown(stripped)} is no directive"))
        elif re.search(rb"[^!-~]", name):
            faults.append(Fault(f"{_shown(stripped)} names no trigger"))
        elif directive.startswith(b"interest") and (why := _trigger_fault(text(name))):
            faults.append(Fault(f"{_shown(stripped)}: its trigger {why}"))
        else:
            triggers[directive, name] = Trigger(text(directive), text(name))
        if len(triggers) > _TRIGGERS:
            faults.append(Fault(f"has more than {_TRIGGERS} triggers", refused=False))
            break
    return list(triggers.values()), faults


def _trigger_fault(name: str) -> str:
    """Why a package cannot be interested in this trigger."""
    if name in _STATE:
        return "is a file of dpkg's own, which it cannot read afterwards"
    if name.startswith("/"):
        return "has an empty part" if "//" in name or name.endswith("/") else ""
    return "is no path and no name" if name_fault(name) or "_" in name else ""


_TEMPLATE_FIELD = re.compile(r"([-_@.A-Za-z0-9]*):\s?(.*)", re.DOTALL | re.ASCII)
_TEMPLATE_SPACE = " \t\n\v\f\r"
_TEMPLATE_FIELDS = frozenset(["template", "description", "choices", "default", "type"])
_TEMPLATE_TYPES = frozenset(
    ["string", "password", "boolean", "select", "multiselect", "note", "text", "error", "title"]
)


_TEMPLATE_MOST = 10_000  # fields of a template; Debian's have some hundred, of all languages


def read_templates(data: bytes) -> tuple[list[str], list[Fault]]:
    """The names of the templates that debconf reads (debconf-devel(7))."""
    names: list[str] = []
    faults: list[Fault] = []
    # As Perl reads records: what follows a blank line is another one, even if it is empty.
    for number, record in enumerate(_records(data), 1):
        fields: dict[str, str] = {}
        broken = False
        for line in map(text, lines_of(record.strip(b"\n"))):
            if len(faults) > MOST:
                return names, faults
            match = _TEMPLATE_FIELD.match(line)
            if match:
                name = match[1].lower()
                if name and name in fields:
                    faults.append(Fault(f"template {number} has {match[1]} twice"))
                fields[name] = match[2].rstrip(_TEMPLATE_SPACE)
                if re.sub(r"-.+$", "", name) not in _TEMPLATE_FIELDS:
                    faults.append(Fault(f"template {number} has the field {match[1]!r}", False))
                if len(fields) > _TEMPLATE_MOST:
                    more = f"template {number} has more than {_TEMPLATE_MOST} fields"
                    faults.append(Fault(f"{more}: what follows is not looked at", False))
                    return names, faults
            elif line[:1] not in _TEMPLATE_SPACE or not line:
                broken = True
                faults.append(Fault(f"template {number} has the line {line[:60]!r}"))
        if fields.get("template") in (None, "", "0"):
            if not broken:
                faults.append(Fault(f"template {number} has no Template: line"))
        else:
            names.append(fields["template"])
            faults += _template_faults(fields)
        if len(faults) > MOST:
            break
    return names, faults


def _template_faults(fields: dict[str, str]) -> Iterator[Fault]:
    """What debconf takes, and cannot ask."""
    name, kind = fields["template"], fields.get("type", "")
    if kind not in _TEMPLATE_TYPES:
        yield Fault(f"{name} is of type {kind!r}, which is none", False)
    if kind in ("select", "multiselect") and not any(f.startswith("choices") for f in fields):
        yield Fault(f"{name} is a {kind} without Choices", False)
    if not any(f.startswith("description") for f in fields):
        yield Fault(f"{name} has no Description", False)


def _records(data: bytes) -> Iterator[bytes]:
    """The paragraphs of a file, each up to the blank line after it, as Perl reads them."""
    at = 0
    while at < len(data):
        end = data.find(b"\n\n", at)
        end = len(data) if end < 0 else end + 2
        yield data[at:end]
        at = end


def _shown(line: bytes) -> str:
    return repr(text(line[:60]).encode("utf-8", "replace").decode())
