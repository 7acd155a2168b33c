# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import gzip
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from builders import differ
from builders.errors import BuildError

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
    assert any("inside its compressed data, from byte 19 on: " in text for text in told)
    changed[2] = replace(TREE[2], content=gzip.compress(b"Xen built 2026-11-24", mtime=1))
    assert "/boot/xen.gz: only its compression differs" in differences(tmp_path, changed)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mode": 0o600}, "/boot/text: mode is 0o644 and 0o600"),
        ({"mtime": 5}, "/boot/text: mtime is 1000000000 and 5"),
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


def test_the_same_content_in_another_archive(tmp_path: Path) -> None:
    assert differences(tmp_path, TREE) == [
        "only the compression or the archive's own headers differ"
    ]


def test_what_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(b"no")
    with pytest.raises(BuildError, match=r"not a \.deb"):
        differ.differences(tmp_path / "x.deb", tmp_path / "x.deb")
