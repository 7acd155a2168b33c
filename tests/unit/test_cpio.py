# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.proofs.boot.cpio import File, archive


def parsed(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Names to modes and contents, read as the kernel's documentation says."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + length - 1].decode()
        assert data[at + 110 + length - 1] == 0
        at += 110 + length
        at += -at % 4
        if name == "TRAILER!!!":
            assert len(data) % 512 == 0
            return found
        assert name not in found
        found[name] = (mode, data[at : at + size])
        at += size + -size % 4


NAMES = st.text("abc.-", min_size=1, max_size=5).filter(lambda n: n.strip("."))


@pytest.mark.slow
@given(
    st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=50), max_size=5
    )
)
def test_what_is_put_in_is_there(files: dict[str, bytes]) -> None:
    # No file is also a directory.
    files = {n: c for n, c in files.items() if not any(o.startswith(n + "/") for o in files)}
    found = parsed(archive(File(name, content) for name, content in files.items()))
    regular = {name: content for name, (mode, content) in found.items() if mode & 0o100000}
    assert regular == files
    for name in files:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            assert found["/".join(parts[:depth])][0] & 0o40000


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs cpio")
def test_cpio_reads_it(tmp_path: Path) -> None:
    files = [File("init", b"#!/bin/sh\n"), File("proof/one.sh", b"x" * 5, 0o644), File("dev")]
    subprocess.run(
        ["cpio", "-i", "--quiet"], cwd=tmp_path, input=archive(files), check=True, timeout=10
    )
    assert (tmp_path / "init").read_bytes() == b"#!/bin/sh\n"
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "proof" / "one.sh").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "dev").is_dir()
