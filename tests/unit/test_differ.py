# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import gzip
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from builders.errors import BuildError
from builders.proofs.rebuild import differ
from builders.proofs.rebuild.evidence import Known

from .debs import Item, folder, make, symlink

TREE = [
    folder("./"),
    folder("./boot/"),
    Item("./boot/xen.gz", gzip.compress(b"Xen built 2026-11-24", mtime=0)),
    Item("./boot/text", b"x" * 5000 + b"host one"),
    symlink("./boot/link", "text"),
]


def differences(tmp_path: Path, changed: list[Item]) -> list[str]:
    first, second = tmp_path / "first.deb", tmp_path / "second.deb"
    make(first, TREE, exact=True)
    make(second, changed, exact=True)
    return differ.differences(first, second)


def test_where_a_file_differs_and_what_stands_there(tmp_path: Path) -> None:
    changed = [*TREE]
    changed[3] = replace(TREE[3], content=b"x" * 5000 + b"host two")
    (about, *_) = differences(tmp_path, changed)
    assert about.startswith("/boot/text: from byte 5005 on: ")
    assert "host one' and " in about
    assert about.endswith("host two'")


def test_what_is_compressed_is_looked_into(tmp_path: Path) -> None:
    changed = [*TREE]
    changed[2] = replace(TREE[2], content=gzip.compress(b"Xen built 2026-11-25", mtime=0))
    told = differences(tmp_path, changed)
    assert any(
        "inside its compressed data, a date or a time: from byte 19 on: " in text for text in told
    )
    changed[2] = replace(TREE[2], content=gzip.compress(b"Xen built 2026-11-24", mtime=1))
    times = "1970-01-01 00:00:00 and 1970-01-01 00:00:01"
    told = differences(tmp_path, changed)
    assert f"/boot/xen.gz: only the time in its gzip header differs: {times}" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mode": 0o600}, "/boot/text: mode is 0644 and 0600 (the umask)"),
        ({"mode": 0o755}, "/boot/text: mode is 0644 and 0755"),
        ({"mtime": 5}, "/boot/text: mtime is 2001-09-09 01:46:40 and 1970-01-01 00:00:05"),
        ({"uid": 7}, "/boot/text: uid is 0 and 7"),
        (
            {"kind": tarfile.SYMTYPE, "link": "link", "content": b""},
            "/boot/text: linkname is  and link",
        ),
    ],
)
def test_headers(tmp_path: Path, change: dict[str, object], told: str) -> None:
    changed = [*TREE]
    changed[3] = replace(TREE[3], **change)  # type: ignore[arg-type]
    assert told in differences(tmp_path, changed)


def test_members_that_only_one_has_and_their_order(tmp_path: Path) -> None:
    assert "/boot/link: only in the first" in differences(tmp_path, TREE[:4])
    swapped = [*TREE[:3], TREE[4], TREE[3]]
    assert differences(tmp_path, swapped) == ["the members come in another order"]


def test_many_files_are_named_but_not_looked_into(tmp_path: Path) -> None:
    one, other = (
        [*TREE[:1], *(Item(f"./{n:03}", content) for n in range(70))] for content in (b"a", b"b")
    )
    first, second = make(tmp_path / "1.deb", one), make(tmp_path / "2.deb", other)
    *looked, rest = differ.differences(first, second)
    assert [text.partition(":")[0] for text in looked] == [f"/{n:03}" for n in range(40)]
    assert rest.startswith("30 more files differ: /040, /041, ")
    assert rest.endswith(", /049, ...")


def test_many_members_that_differ_alike_are_one_line(tmp_path: Path) -> None:
    one, other = (
        [*TREE[:1], *(Item(f"./{n:03}", b"", mode=mode) for n in range(12))]
        for mode in (0o644, 0o664)
    )
    first, second = make(tmp_path / "1.deb", one), make(tmp_path / "2.deb", other)
    (told,) = differ.differences(first, second)
    assert told.startswith("/000, /001, /002, ")
    assert told.endswith(", /009, ...: mode is 0644 and 0664 (the umask), each of 12")


def test_debugging_symbols_under_another_build_id(tmp_path: Path) -> None:
    names = ("/usr/lib/debug/.build-id/aa/1.debug", "/usr/lib/debug/.build-id/bb/2.debug")
    one, other = (
        [*TREE, Item(f".{name}", f"made in {place}".encode())]
        for name, place in zip(names, ("here", "there"), strict=True)
    )
    first, second = make(tmp_path / "1.deb", one), make(tmp_path / "2.deb", other)
    (told,) = differ.differences(first, second, [Known("place", "here", "there")])
    assert told.startswith(f"{names[0]} (in the second {names[1]}): the place: from byte 8 on: ")
    make(second, [*other, Item("./usr/lib/debug/.build-id/cc/3.debug", b"")])
    assert f"{names[0]}: only in the first" in differ.differences(first, second)


def test_the_same_content_in_another_archive(tmp_path: Path) -> None:
    assert differences(tmp_path, TREE) == [
        "only the compression or the archive's own headers differ"
    ]


def test_what_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(b"no")
    with pytest.raises(BuildError, match=r"not a \.deb"):
        differ.differences(tmp_path / "x.deb", tmp_path / "x.deb")
