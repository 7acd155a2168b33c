# SPDX-License-Identifier: GPL-2.0-or-later
"""A .deb that is written: an old one with changes, or a new one."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from builders.debkit import codecs
from builders.debkit.codecs import Codec, Packed
from builders.debkit.deb.ar import AR_HEADER, AR_MAGIC, Member, packed_member, suffix_of
from builders.debkit.deb.control import Control, dump_control, ordered
from builders.debkit.deb.edit import Added, Edit
from builders.debkit.deb.error import DebError
from builders.debkit.deb.layout import Layout, header_bytes
from builders.debkit.deb.reading import Deb, Index, telling
from builders.debkit.deb.tar import Entry, installed_size, is_file
from builders.errors import BuildError, Exit
from builders.files import appearing

_SIGNATURE = "_gpg"  # of debsigs and dpkg-sig: _gpgorigin, _gpgbuilder
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")


def rewrite(source: Path | Deb, destination: Path, edit: Edit) -> Path:
    """Write the package `source` with `edit` applied to `destination`; returns that path.

    Where the data stays as it is, its bytes are copied unchanged. The result appears by one
    rename, and nothing is left where it fails. A signature inside the package (debsigs(1p)) goes
    where what it signs is changed. The same input and edit give the same bytes.
    Raises BuildError: a damaged source, an edit that names what is not there, a full disk.
    """
    deb = source if isinstance(source, Deb) else Deb.open(source)
    with telling(deb.path), deb.path.open("rb") as file:
        packed = packed_member(file, deb.data_member)
        codec = codecs.by_name(edit.compression) if edit.compression else packed.codec
        codecs.check_level(codec, edit.level)
        same = codec is packed.codec and edit.level is None
        plan = None
        if edit.members or edit.tidy or edit.recount or not same:
            plan = Layout(deb.index, edit)
        control = _control_tar(deb, edit, plan)
        if plan is not None and same and plan.unchanged:
            plan = None
        _write(deb, file, destination, edit, plan, codec, control)
    return destination


def create(
    destination: Path,
    control: Mapping[str, str],
    *,
    control_files: Mapping[str, bytes] | None = None,
    members: Iterable[Added] = (),
    epoch: int,
    compression: str = "xz",
    level: int | None = None,
) -> Path:
    """Write a new package to `destination`, as a stream; returns that path.

    control: the fields; put in the order of dpkg-gencontrol, Installed-Size is counted.
    control_files: further files of control.tar, such as postinst (mode 0755) or triggers;
        md5sums is made here (deb-md5sums(5)), and members that conffiles lists are not in it.
    members: what it installs, in any order; directories above them are made.
    epoch: SOURCE_DATE_EPOCH, the time of everything in it.
    compression: the name of a codec for data.tar; level None is dpkg-deb's default.
    The same arguments give the same bytes. The result appears by one rename. Raises BuildError:
    a field that is missing or malformed, two members at one path, a full disk.
    """
    for name in ("Package", "Version", "Architecture", "Maintainer", "Description"):
        if not control.get(name, "").strip():
            raise BuildError(f"a new package has no {name}", hint="state it (Policy 5.3)")
    codec = codecs.by_name(compression)
    codecs.check_level(codec, level)
    edit = Edit(
        control=ordered(control),
        control_files=control_files or {},
        add=(Added("/"), *sorted(members, key=lambda added: added.path)),
        epoch=epoch,
        compression=compression,
    )
    # dpkg before 1.17.6 reads a control.tar.gz only; it is small, and every dpkg reads that.
    version = Member("debian-binary", 0, 4, epoch)
    head = Member("control.tar.gz", 0, 0, epoch)
    data = Member("data.tar" + codec.suffix, 0, 0, epoch)
    empty = Deb(destination, (version, head, data), {}, {}, Control())
    plan = Layout(Index((), 0, 0), edit)
    name, packed = _control_tar(empty, edit, plan)
    with _appearing(destination) as out:
        codecs.write_all(out, AR_MAGIC)
        codecs.write_all(out, _ar_header(version.name, epoch, version.size) + b"2.0\n")
        codecs.write_all(out, _ar_header(name, epoch, len(packed)) + packed)
        codecs.write_all(out, b"\n" * (len(packed) % 2))
        # No piece is a range of an old archive, so that nothing is read from it.
        nothing = Packed(-1, 0, 0, codecs.NONE)
        _write_data(out, data.name, epoch, nothing, plan, codec, level)
    return destination


def _write(
    deb: Deb,
    file: BinaryIO,
    destination: Path,
    edit: Edit,
    plan: Layout | None,
    codec: Codec,
    control: tuple[str, bytes],
) -> None:
    def stamp(member: Member) -> int:
        return member.mtime if edit.epoch is None else min(member.mtime, edit.epoch)

    head = next(m for m in deb.members if m.name.startswith("control.tar"))
    changed = plan is not None or control[1] != os.pread(file.fileno(), head.size, head.start)
    with _appearing(destination) as out:
        codecs.write_all(out, AR_MAGIC)
        for member in deb.members:
            if changed and member.name.startswith(_SIGNATURE):
                continue
            if member.name.startswith("control.tar"):
                name, data = control
                header = _ar_header(name, stamp(member), len(data))
                codecs.write_all(out, header + data + b"\n" * (len(data) % 2))
            elif plan is not None and member is deb.data_member:
                packed = packed_member(file, member)
                name = "data.tar" + codec.suffix
                _write_data(out, name, stamp(member), packed, plan, codec, edit.level, deb.kept)
                deb.kept.release()
            else:
                codecs.write_all(out, _ar_header(member.name, stamp(member), member.size))
                codecs.copy_range(file.fileno(), out, member.start, member.size)
                codecs.write_all(out, b"\n" * (member.size % 2))


def _write_data(
    out: io.FileIO,
    name: str,
    mtime: int,
    packed: Packed,
    plan: Layout,
    codec: Codec,
    level: int | None,
    kept: codecs.Kept | None = None,
) -> None:
    """Write the data member; its size is known at the end, and put into its header then."""
    start = out.tell()
    codecs.write_all(out, _ar_header(name, mtime, 0))
    codecs.splice(packed, plan.pieces, out, codec, level, size=plan.size, kept=kept)
    size = out.tell() - start - AR_HEADER
    codecs.write_all(out, b"\n" * (size % 2))
    os.pwrite(out.fileno(), _ar_header(name, mtime, size), start)


def _ar_header(name: str, mtime: int, size: int) -> bytes:
    if size > 9_999_999_999:
        raise DebError("limit", f"{name} has {size} bytes; deb(5) has room for 10 digits")
    return f"{name:<16}{mtime:<12}0     0     100644  {size:<10}`\n".encode("ascii")


@contextlib.contextmanager
def _appearing(destination: Path) -> Iterator[io.FileIO]:
    """A new file that becomes `destination` when all went well, and is gone otherwise.

    It is not synced to disk, as dpkg-deb does not either: a stage syncs what it keeps.
    """
    try:
        with appearing(destination) as fresh, io.FileIO(fresh, "wb") as out:
            yield out
            os.fchmod(out.fileno(), 0o644)
    except OSError as error:
        raise _unwritable(destination, error) from error


def _unwritable(destination: Path, error: OSError) -> BuildError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return BuildError(
        f"{destination} cannot be written: {error.strerror or error}",
        hint="free some space and run it again" if full else "name a folder that can be written",
        exit=Exit.ENGINE if full else Exit.USAGE,
    )


def _control_tar(deb: Deb, edit: Edit, plan: Layout | None) -> tuple[str, bytes]:
    """The new control member: its name and content."""
    member = next(m for m in deb.members if m.name.startswith("control.tar"))
    files = dict(deb.control_files)
    control = dict(deb.control if edit.control is None else edit.control)
    for name, content in edit.control_files.items():
        if content is None:
            files.pop(name, None)
        elif name == "control" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*", name):
            raise BuildError(
                f"{name!r} is no file of control.tar to set", hint="set fields instead"
            )
        else:
            files[name] = content
    if plan is not None and (edit.members or edit.recount):
        conffiles = _moved_conffiles(files.get("conffiles", b""), plan.moved)
        files.pop("conffiles", None)
        if conffiles:
            files["conffiles"] = conffiles
        files["md5sums"] = _md5sums(plan.entries, _conffile_paths(conffiles))
        control["Installed-Size"] = str(installed_size(plan.entries))
        if "Installed-Size" not in (deb.control if edit.control is None else edit.control):
            control = ordered(control)
    if control != dict(deb.control) or list(control) != list(deb.control):
        files["control"] = dump_control(control)
    return _control_name(member, edit), _control_bytes(deb, member, files, edit)


def _control_bytes(deb: Deb, member: Member, files: Mapping[str, bytes], edit: Edit) -> bytes:
    mtime = member.mtime if edit.epoch is None else min(member.mtime, edit.epoch)
    out = io.BytesIO()
    root = tarfile.TarInfo("./")
    root.type, root.mode, root.mtime, root.uname, root.gname = (
        tarfile.DIRTYPE,
        0o755,
        mtime,
        "root",
        "root",
    )
    out.write(header_bytes(root))
    for name in sorted(files):
        info = tarfile.TarInfo(f"./{name}")
        usual = 0o755 if name in _SCRIPTS else 0o644
        info.mode = edit.control_modes.get(name, deb.control_modes.get(name, usual))
        info.mtime, info.uname, info.gname = mtime, "root", "root"
        info.size = len(files[name])
        out.write(header_bytes(info) + files[name] + bytes(-info.size % tarfile.BLOCKSIZE))
    size = out.tell() + 2 * tarfile.BLOCKSIZE
    out.write(bytes(size + -size % tarfile.RECORDSIZE - out.tell()))
    codec = codecs.by_suffix(suffix_of(_control_name(member, edit)))
    assert codec is not None  # noqa: S101  # _members let no other one through
    return codecs.compress(out.getvalue(), codec)


def _control_name(member: Member, edit: Edit) -> str:
    """Its codec stays, as the dpkg of the suite that made it reads that.

    With another compression of the data, gzip is what every dpkg reads (deb(5)).
    """
    suffix = suffix_of(member.name)
    if edit.compression and suffix not in (".gz", codecs.by_name(edit.compression).suffix):
        suffix = ".gz"
    return "control.tar" + suffix


def _moved_conffiles(data: bytes, moved: Mapping[str, str | None]) -> bytes:
    """The conffiles file after members moved or went."""
    lines = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        if not line.strip():
            continue
        path = line.strip()
        if path.startswith("/"):
            new = moved.get(path, path)
            if new is None:
                continue
            line = new
        lines.append(line + "\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _conffile_paths(data: bytes) -> set[str]:
    return set(data.decode("utf-8", "surrogateescape").split("\n"))


def _md5sums(entries: Iterable[Entry], conffiles: set[str]) -> bytes:
    """deb-md5sums(5); without conffiles, whose digests dpkg keeps itself, as dh_md5sums(1)."""
    lines = sorted(
        (e.path[1:].encode("utf-8", "surrogateescape"), e.md5.encode())
        for e in entries
        if is_file(e) and e.md5 and e.path not in conffiles  # a hard link may be of a pipe
    )
    return b"".join(digest + b"  " + name + b"\n" for name, digest in lines)
