# SPDX-License-Identifier: GPL-2.0-or-later
"""Debugging symbols: out of the package, into one of their own (Policy 10.1, dh_strip(1))."""

from __future__ import annotations

import posixpath
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from builders.debkit import deb, elf
from builders.debkit.codecs import Slice
from builders.debkit.deb import Added
from builders.debkit.finish.names import file_name
from builders.debkit.finish.work import Work, is_plain
from builders.errors import BuildError

_CHUNK = 1 << 20
_BUILD_ID = re.compile(r"/usr/lib/debug/\.build-id/([0-9a-f]{2})/([0-9a-f]+)\.debug")
_HYPERVISOR = re.compile(r"xen-(shim-)?syms")
_SYMBOLS = re.compile(r"/usr/lib/debug(/|$)|/boot/xen-syms")


@dataclass(frozen=True)
class Symbols:
    """What a build took out of a package.

    stripped: a file's path to its content without symbols. debug: members of the package of
    debugging symbols.
    """

    stripped: Mapping[str, Slice]
    debug: tuple[Added, ...]


def read(path: Path) -> Symbols:
    """The archive that the build hands over; BuildError where it is damaged."""
    stripped: dict[str, Slice] = {}
    debug: list[Added] = []
    try:
        with tarfile.open(path, "r:") as archive:
            for info in archive:
                part, _, rest = info.name.removeprefix("./").partition("/")
                content = Slice(path, info.offset_data, info.size)
                if part == "stripped" and info.isreg():
                    stripped["/" + rest] = content
                elif part == "debug" and info.issym():
                    debug.append(Added("/" + rest, link=info.linkname))
                elif part == "debug" and info.isreg():
                    debug.append(Added("/" + rest, content))
    except (tarfile.TarError, OSError) as error:
        raise BuildError(f"{path}: {error}", hint="build the package again") from None
    return Symbols(stripped, tuple(_named(debug)))


def _named(debug: list[Added]) -> list[Added]:
    """A hypervisor's xen-syms, or xen-shim-syms, that brings symbols only goes to debug/boot.

    A debugger expects debugging information at a build id. Symbols are for who reads a crash: the
    link keeps the name. A file right in /usr/lib/debug that has no build id, as that of xen.efi,
    goes there too.
    """
    files = {added.path: added.content for added in debug if not added.link}
    bare: dict[str, str] = {}  # old path to new one
    links: dict[str, str] = {}
    for added in debug:
        folder, name = posixpath.split(added.path)
        file = _target(added) if added.link else added.path
        content = files.get(file)
        if not isinstance(content, Slice):
            continue
        loose = not added.link and folder == "/usr/lib/debug"
        if loose or (added.link and _HYPERVISOR.match(name) and not _informed(content)):
            bare[file] = f"/usr/lib/debug/boot/{name}.debug"
            links[added.path] = posixpath.relpath(bare[file], folder)
    named = []
    for added in debug:
        if added.link:
            named.append(replace(added, link=links.get(added.path, added.link)))
            continue
        named.append(replace(added, path=bare.get(added.path, added.path)))
        if added.path in links:
            named.append(Added(added.path, link=links[added.path]))
    return named


def _target(added: Added) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(added.path), added.link))


def _informed(content: Slice) -> bool:
    """Whether an ELF file has debugging information; a damaged one may."""
    window = elf.Window()
    left = content.size
    with content.path.open("rb") as stream:
        stream.seek(content.start)
        while left and (part := stream.read(min(left, _CHUNK))):
            window.feed(part)
            left -= len(part)
    try:
        names = {section.name for section in elf.sections(window)}
    except elf.ElfError:
        return True
    return bool(names & {".debug_info", ".zdebug_info"})


def _handed(work: Work) -> Path | None:
    """The archive that the build hands over; None for a package of debugging symbols itself."""
    return None if work.name.endswith(("-dbg", "-dbgsym")) else work.beside.symbols


def moved(work: Work) -> set[str]:
    """The members that the package of debugging symbols has in place of this one."""
    if _handed(work) is None:
        return set()
    return {entry.path for entry in work.entries if _SYMBOLS.match(entry.path)}


def correct(work: Work) -> Symbols:
    """Put the stripped files in the place of those with symbols.

    The build stripped them with the suite's own strip(1): all that is not needed to run for an
    executable, to link for a shared library (--strip-unneeded), debugging information alone for a
    static one. Kernel modules keep theirs, as it would break their signature.
    """
    archive = _handed(work)
    if archive is None:
        return Symbols({}, ())
    found = read(archive)
    for entry in work.kept:
        content = found.stripped.get(entry.path)
        if content is not None and is_plain(entry):
            work.replaced[entry.path] = content
    return found


def package(work: Work, fields: Mapping[str, str], found: Symbols, folder: Path) -> Path | None:
    """Write NAME-dbgsym into `folder`; None where there is nothing to put into it.

    Debuggers find its files by the build ids of the package's, which Build-Ids lists. Unlike
    dh_strip's it does not depend on the package. It needs nothing of it (a core may be another
    host's), and what a package depends on is worth more to apt than what would take its place:
    there would be no way back to Debian's own. So it has documents of its own, as those that say
    Auto-Built-Package have not.
    """
    if not found.debug:
        return None
    name = f"{work.name}-dbgsym"
    ids = sorted({"".join(m.groups()) for a in found.debug if (m := _BUILD_ID.fullmatch(a.path))})
    control = {
        "Package": name,
        "Source": fields.get("Source", work.name),
        "Version": fields["Version"],
        "Architecture": fields["Architecture"],
        "Maintainer": fields["Maintainer"],
        "Enhances": f"{work.name} (= {fields['Version']})",
        "Section": "debug",
        "Priority": "optional",
        "Description": f"debugging symbols of {work.name}\n"
        " Debuggers find them by the build ids of programs and libraries. The package\n"
        " itself need not be there, as where the core of another host is looked at.",
    }
    if fields.get("Multi-Arch") == "same":  # those of two architectures go together too
        control["Multi-Arch"] = "same"
    if ids:
        control["Build-Ids"] = " ".join(ids)
    return deb.create(
        folder / file_name(name, fields["Version"], fields["Architecture"]),
        control,
        members=[*found.debug, *_documents(work, name)],
        epoch=work.epoch,
        compression=work.corrections.compression or "xz",
        level=None if work.corrections.level == -1 else work.corrections.level,
    )


def _documents(work: Work, name: str) -> list[Added]:
    """The copyright file and the changelog once more (Policy 12.5, 12.7)."""
    folder = f"/usr/share/doc/{work.name}/"
    wanted = {f"{folder}{file}" for file in ("copyright", "changelog.gz", "changelog.Debian.gz")}
    there = {e.path: work.path(e) for e in work.kept if work.path(e) in wanted and is_plain(e)}
    texts = {there[path]: content for path, content in work.read(there).items()}
    texts |= {
        a.path: a.content for a in work.add if a.path in wanted and isinstance(a.content, bytes)
    }
    return [
        Added(f"/usr/share/doc/{name}/{path.removeprefix(folder)}", content)
        for path, content in sorted(texts.items())
    ]
