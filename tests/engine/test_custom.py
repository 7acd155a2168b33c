# SPDX-License-Identifier: GPL-2.0-or-later
"""A package of one's own, corrected with the suite's tools in a recipe's real builder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from builders.deb import Added, Deb, create
from tests.engine.conftest import Box

RULES = """
revision = "+site1"
maintainer = "Some One <some.one@example.org>"
depends = ["adduser"]
files = { "/etc/default/own" = "A=1" }
"""


def own(folder: Path, program: bytes) -> Path:
    control = {
        "Package": "own",
        "Version": "1.0-1",
        "Architecture": "amd64",
        "Maintainer": "x <x@example.org>",
        "Description": "own\n a program",
    }
    member = Added("/usr/bin/own", program, mode=0o755)
    return create(folder / "own.deb", control, members=[member], epoch=1_600_000_000)


def finish(box: Box, raw: Path) -> tuple[int, str]:
    rules = box.folder / "my.toml"
    rules.write_text(RULES)
    out = box.folder / "out"
    process = box.tool("finish", str(raw), "--rules", str(rules), "--out", str(out))
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def test_dependencies_are_those_of_the_suite(box: Box, containers: Callable[[], list[str]]) -> None:
    raw = own(box.folder, Path("/bin/true").read_bytes())
    before = raw.read_bytes()
    status, said = finish(box, raw)
    assert status == 0, said
    assert "left out" not in said
    (made,) = (box.folder / "out").iterdir()
    assert made.name == "own_1.0-1+site1_amd64.deb"
    needs = str(Deb.open(made).control["Depends"])
    assert needs.startswith("adduser, libc6 (>= ")
    assert Deb.open(made).conffiles == ("/etc/default/own",)
    assert raw.read_bytes() == before
    assert not containers()


def test_a_library_that_the_builder_has_not_is_told(
    box: Box, containers: Callable[[], list[str]]
) -> None:
    program = Path("/bin/true").read_bytes().replace(b"libc.so.6\0", b"libq.so.6\0")
    status, said = finish(box, own(box.folder, program))
    assert status == 5
    assert "libq.so.6" in said
    assert "builder.packages" in said
    assert not (box.folder / "out").exists()
    assert not containers()
