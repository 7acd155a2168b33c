# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.errors import BuildError, Exit
from builders.ground.sources.cache import CachedFile
from builders.host import options
from builders.host.problems import Problems

MANUAL = """\
# Xen Hypervisor Command Line Options
### Boolean (`<boolean>`)
### com1 (x86)
### com2 (x86)
### dom0_mem (ARM)
### dom0_mem (x86)
### dtuart (ARM)
### iommu
### ivrs_hpet[`<hpet>`] (AMD)
### loglvl
### mtrr.show (x86)
### spec-ctrl (Arm)
### spec-ctrl (x86)
### low\\_crashinfo
####Examples
### ucode
> `= List of [ <integer> | scan=<bool> ]`
"""
KNOWN = options.names(MANUAL)


def read(*given: str, known: frozenset[str] | None = KNOWN) -> tuple[str, ...]:
    problems = Problems()
    found = options.read(given, "--xen", problems, known)
    problems.end()
    return found


def test_the_names_are_the_headings_of_the_manual() -> None:
    expected = {"com1", "com2", "dom0_mem", "iommu", "ivrs_hpet", "loglvl", "mtrr.show"}
    assert expected | {"spec-ctrl", "low_crashinfo", "ucode"} == KNOWN


def test_options_as_they_stand_on_a_command_line() -> None:
    given = ("loglvl=all/all", "no-iommu", "com1=115200,8n1", "ivrs_hpet[0]=00:14.0", "spec-ctrl")
    with pytest.raises(BuildError, match=r"ivrs_hpet\[0\]"):
        read(*given)  # GRUB would take it for a pattern
    kept = tuple(word for word in given if "[" not in word)
    assert read(*kept) == kept
    assert read("mitigations=off", known=None) == ("mitigations=off",)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("logvl=all", "did you mean loglvl?"),
        ("spec-ctl=no", "did you mean spec-ctrl?"),
        ("dtuart=1", "docs/misc/xen-command-line"),
        ("dom0_mem=1G", "leave it to --dom0-mem"),
        ("ucode=scan", "leave it to --microcode"),
        ("loglvl=a b", "without spaces"),
        ("loglvl=$(id)", "without spaces"),
        ("loglvl='x'", "without spaces"),
        ("loglvl=all;reboot", "without spaces"),
        ("=all", "without spaces"),
        ("", "without spaces"),
        ("loglvl=" + "a" * 600, "at most 500"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(word: str, hint: str) -> None:
    with pytest.raises(BuildError) as caught:
        read(word)
    assert hint in caught.value.hint
    assert caught.value.exit == Exit.USAGE


def test_twice_and_what_another_option_sets() -> None:
    with pytest.raises(BuildError, match="there already"):
        read("loglvl=all", "loglvl=all")
    with pytest.raises(BuildError, match="--hide sets it"):
        read("xen-pciback.hide=(01:00.0)", known=None)


@pytest.mark.slow
@given(st.text(max_size=40))
def test_nothing_that_is_read_means_something_to_a_shell(word: str) -> None:
    problems = Problems()
    for taken in options.read([word], "--linux", problems):
        assert not set(taken) & set(" \t\n\"'\\$`;|&<>{}*?[]#!")


def archive(path: Path, members: Sequence[tuple[str, bytes]]) -> CachedFile:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return CachedFile(path.name, "0" * 64, path.stat().st_size, path)


def test_the_manual_is_found_in_the_source(tmp_path: Path) -> None:
    other = archive(tmp_path / "other.tar.gz", [("other/README", b"none")])
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(b"\x1f\x8b no archive")
    damaged = CachedFile(broken.name, "0" * 64, 13, broken)
    for name in (
        "xen-4.17/docs/misc/xen-command-line.pandoc",
        "docs/misc/xen-command-line.markdown",
    ):
        source = archive(tmp_path / "xen.tar.gz", [("xen/a", b""), (name, MANUAL.encode())])
        assert options._document([damaged, other, source]) == MANUAL.encode()
    nested = archive(tmp_path / "n.tar.gz", [("a/b/docs/misc/xen-command-line.pandoc", b"")])
    with pytest.raises(BuildError, match="has no docs/misc") as caught:
        options._document([other, nested])
    assert caught.value.exit == Exit.SOURCE
