# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs among the files of two packages, and what that does to an upgrade."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from builders.debkit.audit import Severity
from builders.debkit.compare.snapshot import File, Snapshot
from builders.debkit.compare.terms import Change, change

_COMMAND = re.compile(r"(/usr)?/s?bin/[^/]+|/usr/games/[^/]+")
_LIBRARY = re.compile(r"(/usr)?/lib(/[^/]+-linux-gnu[^/]*)?/lib[^/]*\.so(\.[^/]*)?")
_SERVICE = re.compile(
    r"/etc/init\.d/[^/]+|(/usr)?/lib/systemd/system/[^/]+\.(service|socket|timer)"
)
_EXECUTABLE = re.compile(r"(/usr)?/s?bin/|/usr/games/|/etc/init\.d/")


def conffiles(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """What happens to the administrator's files in an upgrade (deb-conffiles(5))."""
    helped = new.helped["rm_conffile"] | new.helped["mv_conffile"]
    severity: Severity | None
    for path in sorted(old.conffiles - new.conffiles):
        severity, judgement = Severity.WARNING, "it stays on the disk as an obsolete conffile"
        if path in new.files:
            severity = Severity.ERROR
            judgement = "is no conffile any more: an upgrade overwrites what was changed in it"
        elif path in helped:
            severity, judgement = Severity.INFO, "a maintainer script takes care of it"
        yield change("conffile", path, "conffile", "", severity, judgement)
    for path in sorted(new.conffiles - old.conffiles):
        severity, judgement = None, ""
        if path in old.files and new.files.get(path) != old.files[path]:
            severity = Severity.INFO
            judgement = "was an ordinary file: dpkg asks about it in the first upgrade"
        yield change("conffile", path, "", "conffile", severity, judgement)


def files(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """Members that came, went, moved or are others than before."""
    gone = {path: file for path, file in old.files.items() if path not in new.files}
    come = {path: file for path, file in new.files.items() if path not in old.files}
    for side in (gone, come):
        for path in _expected(side):
            del side[path]
    moves = _moves(gone, come)
    moved = set(moves.values())
    for path, file in old.files.items():
        other = new.files.get(path)
        if other is not None and other != file:
            yield from _changed(path, file, other, new)
    for path, file in gone.items():
        if path in moves:
            severity, judgement = _lost(path, old, new)
            text = "the same file in another place" + (f"; {judgement}" if judgement else "")
            yield change("file", path, path, moves[path], severity, text)
        else:
            yield change("file", path, _about(file), "", *_lost(path, old, new))
    for path, file in come.items():
        if path not in moved:
            severity, judgement = _grants(path, None, file)
            yield change("file", path, "", _about(file), severity, judgement)


def _expected(side: Mapping[str, File]) -> set[str]:
    """The ordinary directories that only hold what comes or goes with them."""
    return {
        parent
        for path in side
        if (parent := path.rpartition("/")[0]) in side
        and side[parent].kind == "directory"
        and (side[parent].mode, side[parent].owner) == (0o755, "root:root")
    }


def _moves(gone: Mapping[str, File], come: Mapping[str, File]) -> dict[str, str]:
    """Old to new path of files that only moved: their digest is there once on each side."""
    places: dict[bytes, list[str]] = {}
    for path, file in come.items():
        if file.kind == "file" and file.size:
            places.setdefault(file.digest, []).append(path)
    origins: dict[bytes, list[str]] = {}
    for path, file in gone.items():
        if file.digest in places:
            origins.setdefault(file.digest, []).append(path)
    return {
        origins[digest][0]: places[digest][0]
        for digest in origins
        if len(origins[digest]) == len(places[digest]) == 1
        and gone[origins[digest][0]].mode == come[places[digest][0]].mode
        and gone[origins[digest][0]].owner == come[places[digest][0]].owner
    }


def _changed(path: str, file: File, other: File, new: Snapshot) -> Iterator[Change]:
    """One change for each thing about a member that is another one."""
    if file.kind != other.kind:
        severity, judgement = _kind(path, file, other, new)
        yield change("file", path, _about(file), _about(other), severity, judgement)
        return
    if file.mode != other.mode:
        severity, judgement = _grants(path, file, other)
        yield change(
            "file", path, f"mode {file.mode:04o}", f"mode {other.mode:04o}", severity, judgement
        )
    if file.owner != other.owner:
        yield change(
            "file",
            path,
            f"owner {file.owner}",
            f"owner {other.owner}",
            Severity.WARNING,
            "belongs to someone else than before",
        )
    if file.link != other.link:
        yield change("file", path, f"-> {file.link}", f"-> {other.link}")
    if file.digest != other.digest:
        severity, judgement = None, ""
        if other.size == 0:
            severity, judgement = Severity.WARNING, "is empty now"
        elif path in new.conffiles:
            judgement = "a conffile: dpkg asks where the administrator changed it"
        yield change("file", path, f"{file.size} bytes", f"{other.size} bytes", severity, judgement)


def _kind(path: str, file: File, other: File, new: Snapshot) -> tuple[Severity | None, str]:
    """dpkg never makes a link of a directory, or the other way (Policy 6.6)."""
    kinds = (file.kind, other.kind)
    if kinds in (("directory", "symlink"), ("symlink", "directory")):
        verb = "dir_to_symlink" if kinds[0] == "directory" else "symlink_to_dir"
        if path in new.helped[verb]:
            return Severity.INFO, f"a maintainer script does it ({verb})"
        # What is unpacked goes through a link that stays; below a directory that stays, what the
        # link was to show is missing.
        return (
            Severity.ERROR if kinds[0] == "directory" else Severity.WARNING,
            f"dpkg keeps the {kinds[0]} in an upgrade: use dpkg-maintscript-helper {verb}",
        )
    if "device" in other.kind:
        return Severity.ERROR, "a package has to make devices in a script (Policy 10.6)"
    return Severity.WARNING, "is something else than before"


def _grants(path: str, file: File | None, other: File) -> tuple[Severity | None, str]:
    """What a mode grants that it did not before."""
    before = file.mode if file else 0
    won, lost = other.mode & ~before, before & ~other.mode
    if other.kind == "symlink":
        return None, ""
    if won & 0o002 and not (other.kind == "directory" and other.mode & 0o1000):
        return Severity.ERROR, "everybody may write to it"
    if other.kind == "file" and won & 0o4000 and other.mode & 0o111:
        owner = other.owner.partition(":")[0]
        return Severity.WARNING, f"setuid bit new: whoever runs it is {owner}"
    if other.kind == "file" and won & 0o2000 and other.mode & 0o111:
        return Severity.WARNING, f"setgid bit new: it runs as group {other.owner.partition(':')[2]}"
    if "device" in other.kind and file is None:
        return Severity.ERROR, "a package has to make devices in a script (Policy 10.6)"
    if lost & 0o111 and not other.mode & 0o111 and _EXECUTABLE.match(path):
        return Severity.ERROR, "cannot be run any more"
    if lost & 0o004 and other.kind == "file" and not path.startswith("/etc/"):
        return Severity.INFO, "can no longer be read by everybody"
    return None, ""


def _public(soname: str, old: Snapshot) -> bool:
    """Whether other packages were told of a library: by shlibs or symbols, or by the name."""
    if old.get("Package").startswith("lib") and not old.scripts.keys() & {"shlibs", "symbols"}:
        return True
    return soname in old.stated


def _lost(path: str, old: Snapshot, new: Snapshot) -> tuple[Severity | None, str]:
    """What it means that a member is no longer there under its name."""
    file = old.files[path]
    if file.kind == "directory":
        return None, ""
    if _LIBRARY.fullmatch(path):
        name = path.rpartition("/")[2]
        if name in old.sonames and name not in new.sonames:
            if name in new.names:
                return None, ""
            if not _public(name, old):
                return Severity.WARNING, "a library that only its own package was to use is gone"
            return Severity.ERROR, "what was linked against this library stops working"
    merged = _other_side(path)
    if merged in new.files:
        return None, f"it is in {merged.rpartition('/')[0]} now"
    if _COMMAND.fullmatch(path):
        return Severity.WARNING, "the command is gone"
    if _SERVICE.fullmatch(path):
        return Severity.WARNING, "the service is gone"
    return None, ""


def _other_side(path: str) -> str:
    """The same place under the other name that merged /usr gives it."""
    if re.match(r"/(bin|sbin|lib)/", path):
        return "/usr" + path
    if re.match(r"/usr/(bin|sbin|lib)/", path):
        return path.removeprefix("/usr")
    return path


def _about(file: File) -> str:
    if file.kind == "symlink":
        return f"symlink to {file.link}"
    if file.kind == "file":
        return f"{file.size} bytes, mode {file.mode:04o}"
    return f"{file.kind} {file.link}".rstrip() + f", mode {file.mode:04o}"
