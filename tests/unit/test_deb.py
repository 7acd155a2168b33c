# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import errno
import hashlib
import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from debian.deb822 import Deb822
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.debkit import codecs, deb
from builders.debkit.deb import Added, Deb, DebError, Edit
from builders.errors import BuildError, Exit
from tests.unit import debs
from tests.unit.debs import Item, folder, hardlink, symlink

ITEMS = [
    Item("./usr/bin/tool", b"#!/bin/sh\necho hello\n" * 50, mode=0o755),
    Item("./usr/share/doc/sample/copyright", b"free\n"),
    symlink("./usr/bin/other", "tool"),
    Item("./etc/sample.conf", b"a=1\n"),
    Item("./usr/share/" + "long/" * 30 + "name", b"deep"),
    Item("./usr/share/empty", b""),
    hardlink("./usr/bin/second", "./usr/bin/tool"),
    folder("./var/lib/sample/"),
]
FILES = {
    "md5sums": debs.md5sums(ITEMS),
    "conffiles": b"/etc/sample.conf\n",
    "postinst": b"#!/bin/sh\n",
}
needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is missing")


def sample(path: Path, codec: str = "xz", control_codec: str = "gzip") -> Path:
    return debs.make(path, ITEMS, files=FILES, codec=codec, control_codec=control_codec)


def listing(path: Path) -> dict[str, bytes]:
    return {info.name: stream.read() for info, stream in Deb.open(path).data()}


def data_bytes(path: Path) -> bytes:
    member = Deb.open(path).data_member
    return path.read_bytes()[member.start : member.start + member.size]


# Reading


@pytest.mark.parametrize("codec", [c.name for c in codecs.CODECS])
@pytest.mark.parametrize("control_codec", ["none", "gzip", "xz", "zstd"])
def test_open(tmp_path: Path, codec: str, control_codec: str) -> None:
    package = Deb.open(sample(tmp_path / "a.deb", codec, control_codec))
    assert list(package.control.items()) == list(debs.CONTROL.items())
    assert package.control_files["postinst"] == b"#!/bin/sh\n"
    assert package.control_modes["control"] == 0o644
    assert package.conffiles == ("/etc/sample.conf",)
    assert package.md5sums["/usr/bin/tool"] == deb_md5(ITEMS[0].content)
    found = {entry.path: entry for entry in package.index.entries}
    assert found["/usr/bin/tool"].md5 == deb_md5(ITEMS[0].content)
    assert found["/usr/bin/second"].md5 == deb_md5(ITEMS[0].content)
    assert found["/usr/bin/second"].target == "/usr/bin/tool"
    assert listing(package.path)["./" + "usr/share/" + "long/" * 30 + "name"] == b"deep"


def deb_md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_members_can_be_left_unread(tmp_path: Path) -> None:
    path = debs.make(tmp_path / "a.deb", [Item(f"./f{n}", bytes([n]) * 1000) for n in range(9)])
    seen = []
    for info, stream in Deb.open(path).data():
        if info.name in ("./f3", "./f8"):
            seen.append(stream.read(10) + stream.read())
        elif info.name == "./f5":
            seen.append(stream.read(1))
    assert seen == [b"\x03" * 1000, b"\x05", b"\x08" * 1000]


def test_underscore_members_are_ignored(tmp_path: Path) -> None:
    path = debs.make(tmp_path / "a.deb", ITEMS, extra=[("_note", b"odd")])
    assert [m.name for m in Deb.open(path).members][1] == "_note"


def test_what_follows_the_data_is_ignored(tmp_path: Path) -> None:
    path = sample(tmp_path / "a.deb")
    path.write_bytes(path.read_bytes() + debs.ar([("_gpgorigin", b"sig"), ("more", b"x")])[8:])
    assert Deb.open(path).data_member.name == "data.tar.xz"
    assert len(listing(path)) > 10


GOOD_CONTROL = codecs.compress(debs.control_tar(debs.CONTROL), codecs.GZIP)
GOOD_DATA = debs.tar([folder("./")])
V2 = ("debian-binary", b"2.0\n")
CT = ("control.tar.gz", GOOD_CONTROL)
DT = ("data.tar", GOOD_DATA)

BAD = {
    "empty": (b"", "format", "empty"),
    "text": (b"<html>not found</html>", "format", "not a .deb"),
    "old": (b"0.939000\n1234\n", "format", "0.93x"),
    "only magic": (b"!<arch>\n", "truncated", "debian-binary"),
    "no control": (debs.ar([V2]), "truncated", "control.tar"),
    "no data": (debs.ar([V2, CT]), "truncated", "data.tar"),
    "wrong first": (debs.ar([CT, V2, DT]), "format", "first member"),
    "wrong order": (debs.ar([V2, DT, CT]), "format", "control.tar is due"),
    "unknown member": (debs.ar([V2, ("stuff", b""), CT, DT]), "format", "control.tar is due"),
    "control twice": (debs.ar([V2, CT, CT, DT]), "format", "data.tar is due"),
    "signed twice": (
        debs.ar([V2, CT, DT, ("_gpgorigin", b"x"), ("_gpgorigin", b"x")]),
        "duplicate",
        "twice",
    ),
    "version 3": (debs.ar([("debian-binary", b"3.0\n"), CT, DT]), "format", "3.0"),
    "version ?": (debs.ar([("debian-binary", b""), CT, DT]), "format", "format ''"),
    "half a header": (debs.ar([V2, CT, DT]) + b"data.tar.x", "truncated", "cut short"),
    "no header mark": (debs.ar([V2, CT, DT]).replace(b"`\n", b"''"), "damaged", "header"),
    "negative size": (debs.ar([V2, CT, DT]).replace(b"4         `", b"-4        `"), "damaged", ""),
    "4 GB declared": (
        debs.ar([V2, CT, DT]).replace(f"{len(GOOD_CONTROL):<10}`".encode(), b"4294967296`"),
        "truncated",
        "4294967296",
    ),
    "control.tar is text": (debs.ar([V2, ("control.tar", b"x" * 600), DT]), "damaged", "header"),
    "control.tar.gz is text": (
        debs.ar([V2, ("control.tar.gz", b"x" * 30), DT]),
        "truncated",
        "within a header",
    ),
    "control.tar empty": (debs.ar([V2, ("control.tar", b""), DT]), "truncated", "end mark"),
    "no control file": (
        debs.ar([V2, ("control.tar", debs.tar([Item("./md5sums")])), DT]),
        "format",
        "no file control",
    ),
    "control in a folder": (
        debs.ar([V2, ("control.tar", debs.tar([Item("./a/control", b"A: b\n")])), DT]),
        "format",
        "no plain file",
    ),
    "control is a link": (
        debs.ar([V2, ("control.tar", debs.tar([symlink("./control", "/etc/passwd")])), DT]),
        "format",
        "a link to no file",
    ),
    "control above": (
        debs.ar([V2, ("control.tar", debs.tar([Item("../control", b"A: b\n")])), DT]),
        "traversal",
        "leads out",
    ),
    "big control": (
        debs.ar([V2, ("control.tar", debs.tar([Item("./control", b"A" * (5 << 20))])), DT]),
        "limit",
        "control has over",
    ),
    "no field": (
        debs.ar([V2, ("control.tar", debs.control_tar("Package\n")), DT]),
        "format",
        "field",
    ),
    "field twice": (
        debs.ar([V2, ("control.tar", debs.control_tar("Package: a\nPACKAGE: b\n")), DT]),
        "format",
        "twice",
    ),
    "two paragraphs": (
        debs.ar([V2, ("control.tar", debs.control_tar("Package: a\n\nVersion: b\n")), DT]),
        "format",
        "second paragraph",
    ),
}


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_bad_packages(tmp_path: Path, case: str) -> None:
    content, kind, words = BAD[case]
    path = tmp_path / "bad.deb"
    path.write_bytes(content)
    with pytest.raises(DebError) as caught:
        Deb.open(path)
    error = caught.value
    assert error.kind == kind
    assert words in error.message
    assert error.message.startswith(str(path))
    assert error.message.count(str(path)) == 1
    assert error.exit is Exit.USAGE
    assert error.hint


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="No such file"):
        Deb.open(tmp_path / "none.deb")
    with pytest.raises(BuildError, match="is no file"):
        Deb.open(tmp_path)


def test_cut_at_any_place(tmp_path: Path) -> None:
    whole = sample(tmp_path / "a.deb").read_bytes()
    path = tmp_path / "b.deb"
    for size in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:size])
        with pytest.raises(BuildError):
            assert Deb.open(path).index


DATA_CASES: dict[str, tuple[bytes, str, str]] = {
    "above": (debs.tar([Item("../x")]), "traversal", "leads out"),
    "above inside": (debs.tar([Item("./usr/../../x")]), "traversal", "leads out"),
    "above by a dot": (debs.tar([Item("./../x")]), "traversal", "leads out"),
    "long and above": (
        debs.tar([Item("./" + "a/" * 80 + "../" * 90 + "x")]),
        "traversal",
        "leads out",
    ),
    "twice in disguise": (debs.tar([Item("./a/b"), Item(".//a/./b")]), "format", "/a/b"),
    "hard link out": (debs.tar([hardlink("./a", "../../etc/shadow")]), "traversal", "no file"),
    "hard link to nothing": (debs.tar([hardlink("./a", "./b")]), "traversal", "no file before"),
    "hard link to a directory": (
        debs.tar([folder("./d"), hardlink("./a", "./d")]),
        "format",
        "no file before",
    ),
    "line break": (debs.tar([Item("./a\nb")]), "name", "line break"),
    "pax": (debs.tar([Item("./\u00e9" * 120)], tarfile.PAX_FORMAT), "format", "dpkg does not"),
    "sparse": (debs.tar([Item("./a", kind=b"S")]), "format", "dpkg does not"),
    "no end": (debs.tar([Item("./a", b"x" * 600)])[:1100], "truncated", "within a file"),
    "bad sum": (b"x" + debs.tar([Item("./a", b"x")])[1:], "damaged", "header"),
    "much after it": (debs.tar([]) + bytes(3 << 20), "limit", "after the end"),
}


# What dpkg takes: corrections go on with it, others do not.
ODD_CASES = {
    "absolute": (debs.tar([Item("/etc/passwd")]), "absolute", "/etc/passwd"),
    "twice": (debs.tar([Item("./a"), Item("./a")]), "duplicate", "/a"),
    "no mark": (debs.tar([Item("./a", b"x")])[:1024], "format", "/a"),
    "junk behind": (debs.tar([Item("./a", b"x")]) + b"junk", "format", "/a"),
}


@pytest.mark.parametrize("name", [".//", "/", "///"])
def test_a_root_of_another_name_is_named_as_dpkg_deb_does(tmp_path: Path, name: str) -> None:
    info = tarfile.TarInfo("./")
    info.type = tarfile.DIRTYPE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[:100] = name.encode().ljust(100, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    raw = tmp_path / "odd.deb"
    raw.write_bytes(debs.ar([V2, CT, ("data.tar", bytes(block) + debs.tar([Item("./a", b"x")]))]))
    sound = deb.rewrite(raw, tmp_path / "new.deb", Edit(tidy=True, recount=True, epoch=0))
    assert [e.info.name for e, _ in Deb.open(sound).entries()] == [".", "./a"]


@pytest.mark.parametrize("case", ODD_CASES)
def test_odd_data_comes_out_sound(tmp_path: Path, case: str) -> None:
    data, kind, path = ODD_CASES[case]
    raw = tmp_path / "odd.deb"
    raw.write_bytes(debs.ar([V2, CT, ("data.tar", data)]))
    with pytest.raises(DebError) as caught:
        list(Deb.open(raw).entries())
    assert caught.value.kind == kind
    sound = deb.rewrite(raw, tmp_path / "new.deb", Edit(tidy=True, recount=True, epoch=0))
    paths = [entry.path for entry, _ in Deb.open(sound).entries()]
    assert paths == [*(["/etc"] if case == "absolute" else []), path]
    listed = subprocess.run(["dpkg-deb", "-c", str(sound)], capture_output=True, check=True)
    assert len(listed.stdout.splitlines()) == len(paths)


@pytest.mark.parametrize("case", DATA_CASES, ids=list(DATA_CASES))
def test_bad_data(tmp_path: Path, case: str) -> None:
    data, kind, words = DATA_CASES[case]
    path = tmp_path / "bad.deb"
    path.write_bytes(debs.ar([V2, CT, ("data.tar", data)]))
    package = Deb.open(path)
    with pytest.raises(DebError, match=words) as caught:
        assert package.index
    assert caught.value.kind == kind
    with pytest.raises(DebError):
        deb.rewrite(path, tmp_path / "out.deb", Edit(recount=True))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.deb"]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.AREGTYPE])
def test_a_file_whose_long_name_is_cut_at_a_slash(tmp_path: Path, kind: bytes) -> None:
    """GNU tar puts the first 100 bytes of a long name into the header of the member, too."""
    name = "./" + "d" * 97 + "/file"
    items = [folder("./"), folder("./" + "d" * 97), Item(name, b"content\n", kind)]
    assert b"d/0000644\0" in debs.tar(items)
    path = debs.make(tmp_path / "a.deb", [*items, Item("./gone", b"")])
    files = [entry.path for entry in Deb.open(path).index.entries if deb.is_file(entry)]
    assert files == [name[1:], "/gone"]
    out = deb.rewrite(path, tmp_path / "b.deb", Edit(remove=frozenset({"/gone"})))
    assert listing(out)[name] == b"content\n"


def test_a_long_name_that_claims_gigabytes(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 6 << 30
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(2048)
    path = tmp_path / "bad.deb"
    path.write_bytes(debs.ar([V2, CT, ("data.tar", data)]))
    with pytest.raises(DebError) as caught:
        assert Deb.open(path).index
    assert caught.value.kind == "limit"


def test_a_negative_size(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("./a").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12  # base 256, minus one
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "bad.deb"
    path.write_bytes(debs.ar([V2, CT, ("data.tar", bytes(header) + bytes(2048))]))
    with pytest.raises(DebError, match="negative"):
        assert Deb.open(path).index


BOMB = """
import re, sys
from pathlib import Path
from builders.debkit.deb import Deb
from builders.errors import BuildError
try:
    assert Deb.open(Path(sys.argv[1])).index
    print("read", end=" ")
except BuildError as error:
    print(error.kind, end=" ")
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
"""


def zeros(size: int, head: bytes = b"", tail: bytes = b"") -> bytes:
    """A small .xz of `head`, `size` zero bytes and `tail`."""
    out = io.BytesIO()
    with lzma.open(out, "wb", preset=0) as file:
        file.write(head)
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
        file.write(tail)
    return out.getvalue()


def header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


BOMBS = {  # what stands before the zeros, where, and what comes of it
    "control file": ("control.tar.xz", "./control", "limit"),
    "script": ("control.tar.xz", "./postinst", "limit"),
    "data": ("data.tar.xz", "./file", "read"),
    "after data": ("data.tar.xz", "", "limit"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BOMBS, ids=list(BOMBS))
def test_bombs_take_no_memory(tmp_path: Path, case: str) -> None:
    member, name, outcome = BOMBS[case]
    size = 64 << 20
    bomb = (member, zeros(size, header(name, size) if name else b"", bytes(1024)))
    members = [V2, bomb, DT] if member.startswith("control") else [V2, CT, bomb]
    path = tmp_path / "bomb.deb"
    path.write_bytes(debs.ar(members))
    assert path.stat().st_size < 1 << 20
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(path)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    word, peak = done.stdout.split()
    assert word == outcome
    assert int(peak) < 60 << 10  # KiB; the interpreter and its modules take 23 MiB


def opened(path: Path, content: bytes) -> bool:
    """Whether it reads to the end; anything but BuildError comes through."""
    path.write_bytes(content)
    try:
        package = Deb.open(path)
        for _, stream in package.data():
            stream.read()
        assert package.index.entries is not None
        assert package.md5sums is not None
        assert package.conffiles is not None
        deb.rewrite(package, path.with_suffix(".out"), Edit(tidy=True, recount=True, epoch=5))
    except BuildError as error:
        return not error.message
    return True


@pytest.mark.slow
@given(noise=st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_noise(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.mktemp("n") / "x.deb"
    assert not opened(path, noise)
    assert not opened(path, b"!<arch>\n" + noise)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("seeds")
    return [
        sample(folder / "a.deb", codec, control_codec).read_bytes()
        for codec, control_codec in (
            ("none", "none"),
            ("xz", "gzip"),
            ("gzip", "xz"),
            ("zstd", "zstd"),
        )
    ]


@pytest.mark.slow
@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_mutations(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[bytes], data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(("flip", "cut", "put", "drop"))):
            case "flip":
                content[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del content[max(at, 1) :]
            case "put":
                content[at:at] = data.draw(st.binary(min_size=1, max_size=70))
            case "drop":
                del content[at : at + data.draw(st.integers(1, 600))]
        if not content:
            break
    opened(tmp_path_factory.mktemp("m") / "x.deb", bytes(content))


@pytest.mark.slow
@given(
    field=st.text(max_size=20),
    value=st.text(max_size=60),
    raw=st.binary(max_size=120),
)
@settings(max_examples=200, deadline=None)
def test_control_files(field: str, value: str, raw: bytes) -> None:
    for data in (
        f"{field}: {value}\nA: b\n".encode("utf-8", "surrogatepass"),
        raw,
        b"A: b\n" + raw,
    ):
        try:
            control = deb.parse_control(data)
        except DebError:
            continue
        assert list(control)
        # What was read can be written, and is then read the same.
        try:
            again = deb.parse_control(deb.dump_control(dict(control)))
        except BuildError:
            continue
        assert dict(again) == dict(control)
        assert dict(control) == dict(Deb822(data.decode().strip("\n").split("\n")))


def test_fields_are_found_in_any_case() -> None:
    control = deb.parse_control(b"Package: a \nDESCRIPTION:  b\n  c \n")
    assert (control["pacKage"], control.get("description")) == ("a", "b\n  c")
    assert list(control) == ["Package", "DESCRIPTION"]
    assert "version" not in control


@pytest.mark.parametrize(
    "text",
    [
        b"Package: a",  # no newline at its end
        b"Package: a\nOwn:\n",
        b"Package: a\n \nOwn: x\n",
        b"Package: a\n\nOwn: x\n",
        b"Package: a\n-Own: x\n",
        b"Package: a\nO: x\n",
        b"Package: a\nOwn\n",
        b"Package: a\n# a comment\n",
        b"Package: a\nMy Own: x\n",
        b"Package: a\nOwn: x\nOWN: y\n",
        b" Package: a\n",
        b"Package: a\n\x1a",
        b"Package: a\nx",
        b"\n\n",
        b"",
    ],
)
def test_a_control_file_that_dpkg_refuses(text: bytes) -> None:
    with pytest.raises(DebError):
        deb.parse_control(text)


def test_what_dpkg_shrugs_off_in_a_control_file() -> None:
    control = deb.parse_control(b"\n\nPackage : a\nOwn: S\xf6me\x0b\x0bone \t\n#x: 1\n\n\n")
    assert dict(control) == {"Package": "a", "Own": "S\u00f6me\x0b\x0bone", "#x": "1"}
    assert len(control.blemishes) == 4
    assert deb.parse_control(b"Package: a\nDepends:\n b\n")["Depends"] == "\n b"


# Rewriting


@pytest.mark.parametrize("codec", ["none", "gzip", "xz", "zstd", "bzip2", "lzma"])
def test_control_only_copies_the_data(tmp_path: Path, codec: str) -> None:
    source = debs.make(
        tmp_path / "a.deb", ITEMS, files=FILES, codec=codec, extra=[("_note", b"odd")]
    )
    fields = {**debs.CONTROL, "Depends": "libc6"}
    out = deb.rewrite(source, tmp_path / "b.deb", Edit(control=fields, epoch=1_000))
    package = Deb.open(out)
    assert dict(package.control) == fields
    assert data_bytes(out) == data_bytes(source)
    note = package.members[1]
    assert note.name == "_note"
    assert out.read_bytes()[note.start : note.start + note.size] == b"odd"
    assert {member.mtime for member in package.members} == {1_000}
    assert package.control_files["md5sums"] == FILES["md5sums"]
    assert package.control_modes["postinst"] == 0o644  # as it was


def test_tidy_of_a_tidy_package_copies_the_data(tmp_path: Path) -> None:
    source = sample(tmp_path / "a.deb")
    out = deb.rewrite(
        source, tmp_path / "b.deb", Edit(tidy=True, recount=True, epoch=2_000_000_000)
    )
    assert data_bytes(out) == data_bytes(source)
    assert Deb.open(out).control["Installed-Size"] == "46"


@needs_dpkg
@pytest.mark.parametrize("codec", ["none", "gzip", "xz", "zstd"])
def test_dpkg_reads_what_was_edited(tmp_path: Path, codec: str) -> None:
    source = sample(tmp_path / "a.deb", codec)
    added = tmp_path / "added"
    added.write_bytes(b"from a file\n")
    edit = Edit(
        control={**debs.CONTROL, "Version": "2.0"},
        remove=frozenset({"/usr/share/doc", "/usr/bin/other"}),
        rename={"/etc/sample.conf": "/etc/sample/new.conf", "/usr/share/long": "/opt/l"},
        replace={"/usr/share/empty": b"not empty"},
        modes={"/var/lib/sample": 0o700},
        add=(
            Added("/usr/lib/sample/file", added),
            Added("/usr/lib/sample/run", b"#!/bin/sh\n", 0o755),
            Added("/usr/lib/link", link="sample/run"),
            Added("/srv/empty", mode=0o750),
        ),
        epoch=1_000_000_000,
    )
    out = deb.rewrite(source, tmp_path / "b.deb", edit)
    subprocess.run(["dpkg-deb", "-I", str(out)], check=True, capture_output=True)
    listed = subprocess.run(
        ["dpkg-deb", "-c", str(out)], check=True, capture_output=True, text=True
    ).stdout
    tree = tmp_path / "tree"
    subprocess.run(["dpkg-deb", "-R", str(out), str(tree)], check=True)
    assert not (tree / "usr/share/doc").exists()
    assert not (tree / "usr/bin/other").exists()
    assert (tree / "etc/sample/new.conf").read_bytes() == b"a=1\n"
    assert (tree / ("opt/l/" + "long/" * 29 + "name")).read_bytes() == b"deep"
    assert (tree / "usr/share/empty").read_bytes() == b"not empty"
    assert (tree / "usr/lib/sample/file").read_bytes() == b"from a file\n"
    assert (tree / "usr/lib/link").read_bytes() == b"#!/bin/sh\n"
    assert (tree / "usr/bin/second").stat().st_ino == (tree / "usr/bin/tool").stat().st_ino
    assert (tree / "var/lib/sample").stat().st_mode & 0o7777 == 0o700
    assert "drwxr-x--- root/root" in listed
    assert (tree / "DEBIAN/conffiles").read_text() == "/etc/sample/new.conf\n"
    subprocess.run(["md5sum", "-c", "--quiet", "DEBIAN/md5sums"], cwd=tree, check=True)
    names = {line.split("  ", 1)[1] for line in (tree / "DEBIAN/md5sums").read_text().splitlines()}
    files = {
        str(p.relative_to(tree))
        for p in tree.rglob("*")
        if p.is_file() and not p.is_symlink() and "DEBIAN" not in p.parts
    }
    assert names == files - {"etc/sample/new.conf"}
    assert "Version: 2.0\n" in (tree / "DEBIAN/control").read_text()


@needs_dpkg
def test_dpkg_unpacks_it(tmp_path: Path) -> None:
    """Into a root of its own, without leave to change the owner of anything."""
    source = sample(tmp_path / "a.deb")
    out = deb.rewrite(source, tmp_path / "b.deb", Edit(remove=frozenset({"/usr/bin/other"})))
    root = tmp_path / "root"
    for name in ("var/lib/dpkg/info", "var/lib/dpkg/updates"):
        (root / name).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    done = subprocess.run(
        [
            "dpkg",
            f"--root={root}",
            f"--log={root}/log",
            "--force-not-root,bad-path,script-chrootless,architecture",
            "--unpack",
            str(out),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (root / "usr/bin/second").read_bytes() == ITEMS[0].content
    assert not (root / "usr/bin/other").exists()


@pytest.mark.slow
def test_the_same_edit_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for codec in ("none", "gzip", "xz", "zstd"):
        source = sample(tmp_path / "a.deb", codec)
        edit = Edit(remove=frozenset({"/etc/sample.conf"}), epoch=500)
        results = set()
        for threads in (1, 3):
            monkeypatch.setattr(os, "sched_getaffinity", lambda _, threads=threads: range(threads))
            results.add(deb.rewrite(source, tmp_path / "b.deb", edit).read_bytes())
        assert len(results) == 1


def test_a_package_can_be_rewritten_in_its_place(tmp_path: Path) -> None:
    path = sample(tmp_path / "a.deb")
    deb.rewrite(path, path, Edit(remove=frozenset({"/usr/bin/other"})))
    assert "./usr/bin/other" not in listing(path)


def test_owners_and_times_are_put_right(tmp_path: Path) -> None:
    source = debs.make(
        tmp_path / "a.deb",
        [
            Item("./a", b"1", uid=1000, gid=1000, mtime=5_000),
            Item("./games", b"2", gid=60, gname="games", mtime=50),
            Item("./nobody", b"3", uid=65534),
        ],
    )
    out = deb.rewrite(source, tmp_path / "b.deb", Edit(tidy=True, epoch=4_000))
    infos = {info.name: info for info, _ in Deb.open(out).data()}
    assert (infos["./a"].uid, infos["./a"].gid, infos["./a"].uname) == (0, 0, "root")
    assert infos["./a"].mtime == 4_000
    assert (infos["./games"].gid, infos["./games"].gname) == (60, "games")
    assert infos["./games"].mtime == 50
    assert infos["./nobody"].uid == 65534


def test_a_hard_link_inherits_what_it_shared(tmp_path: Path) -> None:
    source = debs.make(
        tmp_path / "a.deb",
        [
            Item("./a/file", b"shared" * 200, mode=0o755),
            Item("./b/other", b"x"),
            hardlink("./c/one", "./a/file"),
            hardlink("./c/two", "./c/one"),
        ],
        codec="gzip",
    )
    out = deb.rewrite(source, tmp_path / "b.deb", Edit(remove=frozenset({"/a"})))
    infos = {info.name: info for info, _ in Deb.open(out).data()}
    assert "./a/file" not in infos
    assert infos["./c/one"].isreg()
    assert infos["./c/one"].mode == 0o755
    assert infos["./c/two"].islnk()
    assert infos["./c/two"].linkname == "./c/one"
    assert listing(out)["./c/one"] == b"shared" * 200
    # Its directory comes before it.
    assert list(infos).index("./c") < list(infos).index("./c/one")
    sums = Deb.open(out).md5sums
    assert sums["/c/two"] == sums["/c/one"] == deb_md5(b"shared" * 200)


def test_a_new_content_is_that_of_its_hard_links(tmp_path: Path) -> None:
    source = debs.make(tmp_path / "a.deb", [Item("./a", b"old"), hardlink("./b", "./a")])
    out = deb.rewrite(source, tmp_path / "b.deb", Edit(replace={"/a": b"new"}))
    assert Deb.open(out).md5sums["/b"] == deb_md5(b"new")
    moved = deb.rewrite(source, tmp_path / "c.deb", Edit(rename={"/a": "/z/a"}))
    infos = {info.name: info for info, _ in Deb.open(moved).data()}
    assert infos["./b"].linkname == "./z/a"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Edit(remove=frozenset({"/none"})), "has no /none"),
        (Edit(rename={"/none": "/a"}), "has no /none"),
        (Edit(replace={"/none": b""}), "has no /none"),
        (Edit(rename={"/etc/sample.conf": "/usr/bin/tool"}), "twice"),
        (Edit(rename={"/etc/sample.conf": "/../x"}), "leads out"),
        (Edit(rename={"/etc/sample.conf": "relative"}), "no absolute path"),
        (Edit(add=(Added("/usr/bin/tool", b""),)), "twice"),
        (Edit(add=(Added("/new", Path("/nonexistent/file")),)), "No such file"),
        (Edit(replace={"/usr/bin": b""}), "no regular file"),
        (Edit(compression="rar"), "no compression"),
        (Edit(compression="xz", level=11), "no level"),
        (Edit(control={"Package": "a", "Description": "x\n\ny"}), "indented"),
        (Edit(control_files={"control": b"x"}), "no file of control.tar"),
        (Edit(control_files={"../x": b"x"}), "no file of control.tar"),
    ],
)
def test_edits_that_cannot_be(tmp_path: Path, edit: Edit, words: str) -> None:
    source = sample(tmp_path / "a.deb")
    with pytest.raises(BuildError, match=words):
        deb.rewrite(source, tmp_path / "b.deb", edit)
    assert [p.name for p in tmp_path.iterdir()] == ["a.deb"]


def test_what_is_removed_leaves_nothing_of_its_size(tmp_path: Path) -> None:
    made = set()
    for size in (0, 600, 5_000, 30_000):
        items = [Item("./a", b"a"), Item("./gone", bytes(size)), Item("./z", b"z")]
        source = debs.make(tmp_path / "a.deb", items)
        out = deb.rewrite(source, tmp_path / "b.deb", Edit(remove=frozenset({"/gone"})))
        made.add(out.read_bytes())
        subprocess.run(["dpkg-deb", "-c", out], check=True, capture_output=True)
    assert len(made) == 1


def test_control_files_are_set_and_removed(tmp_path: Path) -> None:
    source = sample(tmp_path / "a.deb")
    edit = Edit(
        control_files={
            "postinst": None,
            "prerm": b"#!/bin/sh\n",
            "triggers": b"activate ldconfig\n",
        }
    )
    package = Deb.open(deb.rewrite(source, tmp_path / "b.deb", edit))
    assert "postinst" not in package.control_files
    assert package.control_modes["prerm"] == 0o755
    assert package.control_modes["triggers"] == 0o644


def test_another_compression(tmp_path: Path) -> None:
    source = sample(tmp_path / "a.deb", "none", "none")
    out = deb.rewrite(source, tmp_path / "b.deb", Edit(compression="xz", level=1))
    assert [m.name for m in Deb.open(out).members] == [
        "debian-binary",
        "control.tar.gz",
        "data.tar.xz",
    ]
    assert lzma.decompress(data_bytes(out)) == data_bytes(source)


def full(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("edit", [Edit(), Edit(remove=frozenset({"/etc/sample.conf"}))])
@pytest.mark.parametrize("codec", ["none", "gzip", "xz"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Edit, codec: str
) -> None:
    source = sample(tmp_path / "a.deb", codec)
    destination = tmp_path / "out" / "b.deb"
    destination.parent.mkdir()
    destination.write_bytes(b"the one before")
    monkeypatch.setattr(os, "fchmod", full)  # the last call before the file appears
    with pytest.raises(BuildError, match="No space left") as caught:
        deb.rewrite(source, destination, edit)
    assert caught.value.exit is Exit.ENGINE
    assert [p.name for p in destination.parent.iterdir()] == ["b.deb"]
    assert destination.read_bytes() == b"the one before"


LIMITED = """
import resource, signal, sys
from pathlib import Path
from builders.debkit import deb
from builders.errors import BuildError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
source, destination = map(Path, sys.argv[1:])
for edit in (deb.Edit(), deb.Edit(compression="gzip"), deb.Edit(remove=frozenset({"/small"}))):
    try:
        deb.rewrite(source, destination, edit)
    except BuildError as error:
        print(error.exit.name, error.message.rpartition(": ")[2])
"""


@pytest.mark.slow
def test_a_file_that_may_not_grow_leaves_nothing(tmp_path: Path) -> None:
    """With the kernel's own refusal in the middle of a write."""
    noise = os.urandom(300_000)
    source = debs.make(tmp_path / "a.deb", [Item("./big", noise), Item("./small", b"x")])
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(source), str(tmp_path / "out/b.deb")],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout == "ENGINE File too large\n" * 3
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sample(tmp_path / "a.deb")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(codecs, "copy_range", interrupt)
    with pytest.raises(KeyboardInterrupt):
        deb.rewrite(source, tmp_path / "b.deb", Edit())
    assert [p.name for p in tmp_path.iterdir()] == ["a.deb"]


def test_no_folder_to_write_to(tmp_path: Path) -> None:
    source = sample(tmp_path / "a.deb")
    with pytest.raises(BuildError, match="cannot be written"):
        deb.rewrite(source, tmp_path / "none" / "b.deb", Edit())


def test_installed_size_as_dpkg_gencontrol_counts(tmp_path: Path) -> None:
    items = [
        Item("./a", b"x"),  # 1
        Item("./b", b"x" * 1024),  # 1
        Item("./c", b"x" * 1025),  # 2
        Item("./d", b""),  # 0
        hardlink("./e", "./c"),  # 0
        symlink("./f", "a"),  # 1
        folder("./g/"),  # 1
    ]
    path = debs.make(tmp_path / "a.deb", items)
    assert deb.installed_size(Deb.open(path).index.entries) == 6 + 1  # and the root


def test_fields_in_the_order_of_dpkg() -> None:
    fields = {"Description": "d", "X-Odd": "o", "depends": "x", "Package": "p", "Homepage": "h"}
    assert list(deb.ordered(fields)) == ["Package", "depends", "Homepage", "X-Odd", "Description"]


NEW = {
    "Package": "made",
    "Version": "1.0",
    "Architecture": "all",
    "Maintainer": "A B <a@example.invalid>",
    "Section": "debug",
    "Description": "made here",
}


def test_create_is_a_package_that_dpkg_reads(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"from a file\n")
    members = [
        deb.Added("/usr/share/made/late", content),
        deb.Added("/etc/made.conf", b"x=1\n"),
        deb.Added("/usr/bin/made", b"#!/bin/sh\n", mode=0o755),
        deb.Added("/usr/share/made/link", link="late"),
        deb.Added("/var/lib/made"),
    ]
    files = {"conffiles": b"/etc/made.conf\n", "postinst": b"#!/bin/sh\nexit 0\n"}
    made = [
        deb.create(
            tmp_path / f"{n}.deb",
            NEW,
            control_files=files,
            members=order,
            epoch=1_000_000_000,
            compression="gzip",
        )
        for n, order in enumerate((members, members[::-1]))
    ]
    assert made[0].read_bytes() == made[1].read_bytes()
    package = Deb.open(made[0])
    assert list(package.control)[-1] == "Description"
    assert package.control["Installed-Size"] == str(deb.installed_size(package.index.entries))
    assert package.control_modes["postinst"] == 0o755
    digest = hashlib.md5(b"from a file\n", usedforsecurity=False).hexdigest()
    assert package.md5sums["/usr/share/made/late"] == digest
    assert "/etc/made.conf" not in package.md5sums
    there = {e.path: e.info for e in package.index.entries}
    assert next(iter(there)) == "/"
    assert there["/usr/bin/made"].mode == 0o755
    assert there["/var/lib/made"].isdir()
    assert there["/usr/share/made/link"].linkname == "late"
    assert {i.mtime for i in there.values()} == {1_000_000_000}
    if shutil.which("dpkg-deb"):
        out = tmp_path / "unpacked"
        subprocess.run(["dpkg-deb", "-R", made[0], out], check=True)
        assert (out / "usr/share/made/late").read_bytes() == b"from a file\n"
    with pytest.raises(BuildError, match="no Version"):
        deb.create(tmp_path / "bad.deb", {**NEW, "Version": ""}, epoch=0)
    with pytest.raises(BuildError, match="twice"):
        deb.create(tmp_path / "bad.deb", NEW, members=[members[0], members[0]], epoch=0)
    assert not list(tmp_path.glob("*bad.deb*"))


@pytest.mark.parametrize("edit", [Edit(add=(Added("/a/x", b""),)), Edit(rename={"/b": "/a/b"})])
def test_nothing_is_put_below_what_is_no_directory(tmp_path: Path, edit: Edit) -> None:
    raw = debs.make(tmp_path / "raw.deb", [symlink("./a", "usr"), Item("./b", b"")])
    with pytest.raises(BuildError, match="/a is no directory"):
        deb.rewrite(raw, tmp_path / "new.deb", edit)
    assert not (tmp_path / "new.deb").exists()
