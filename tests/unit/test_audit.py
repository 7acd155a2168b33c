# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.debkit import audit as rules
from builders.debkit import deb
from builders.debkit.audit import (
    RULES,
    Expectations,
    Needs,
    Report,
    Severity,
    audit,
    exit_code,
    expand,
)
from builders.debkit.audit import facts as gathering
from builders.debkit.corrections import Corrections
from builders.debkit.finish import finish
from builders.errors import BuildError, Exit
from tests.unit import debs
from tests.unit.debs import Item, elf, folder, hardlink, symlink

CONFIG = b"""#
CONFIG_64BIT=y
CONFIG_XEN_DOM0=y
CONFIG_LOCALVERSION="-dom0"
# CONFIG_XEN_PCIDEV_BACKEND is not set
CONFIG_XEN_NETDEV_BACKEND=m
"""


DOCUMENTS = (
    Item("./usr/share/doc/sample/copyright", b"Copyright: some one"),
    Item("./usr/share/doc/sample/changelog.Debian.gz", gzip.compress(b"sample (1.0)", mtime=0)),
    Item("./usr/share/man/man1/x.1.gz", gzip.compress(b".TH X 1", mtime=0)),
    Item("./usr/share/man/man1/y.1.gz", gzip.compress(b".TH Y 1", mtime=0)),
)


def good(
    tmp_path: Path,
    *items: Item,
    control: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """A package without a fault but what `items` and fields bring along."""
    fields = {"Section": "admin", "Priority": "optional", **(control or {})}
    path = debs.make(tmp_path / "raw.deb", [*DOCUMENTS, *items], control=fields, files=files or {})
    return deb.rewrite(path, tmp_path / "a.deb", deb.Edit(recount=True))


def found(
    path: Path, rule: str = "", expectations: Expectations | None = None
) -> list[tuple[str, str, str]]:
    """(severity, subject, message) of the findings, of one rule where it is named."""
    return [
        (str(f.severity), f.subject, f.message)
        for f in audit(path, expectations).findings
        if not rule or f.rule == rule
    ]


def test_a_good_package(tmp_path: Path) -> None:
    path = good(
        tmp_path,
        Item("./usr/bin/x", elf(["libc.so.6", "libm.so.6", "libyajl.so.2"]), mode=0o755),
        Item("./usr/bin/y", b"#!/usr/bin/python3\n", mode=0o755),
        Item("./etc/x.conf", b"1"),
        control={"Depends": "libc6 (>= 2.36), libyajl2, python3:any"},
        files={"conffiles": b"/etc/x.conf\n"},
    )
    report = audit(path)
    assert report == Report(path, "sample", "1.0", "amd64", ())


def test_a_package_of_mkdeb(tmp_path: Path) -> None:
    report = audit(debs.mkdeb(tmp_path / "raw.deb"))
    errors = {(f.rule, f.subject) for f in report.findings if f.severity is Severity.ERROR}
    assert errors == {
        ("missing-dependency", "/usr/sbin/xl"),
        ("missing-dependency", "/usr/lib/libxenlight.so.4.17.0"),
        ("missing-interpreter", "/usr/bin/pygrub"),
        ("stray-boot-link", "/boot/xen.gz"),
        ("stray-boot-link", "/boot/xen-4.gz"),
        ("stray-boot-link", "/boot/xen-4.17.gz"),
        ("xen-syms-in-boot", "/boot/xen-syms-4.17.5"),
        ("etc-not-conffile", "/etc/xen/cpupool"),
        ("etc-not-conffile", "/etc/init.d/xencommons"),
        ("copyright-missing", ""),
        ("ldconfig-missing", "/usr/lib/libxenlight.so.4.17.0"),
    }
    others = {(f.rule, str(f.severity)) for f in report.findings} - {
        (r, "error") for r, _ in errors
    }
    assert others >= {
        ("control-field", "warning"),
        ("conffile-missing", "warning"),
        ("md5sums", "warning"),
        ("missing-dependency", "warning"),
        ("installed-size", "info"),
        ("changelog-missing", "warning"),
        ("missing-shlibs", "warning"),
        ("unregistered-service", "warning"),
    }
    assert not {rule for rule, _ in others} & {"file-in-usr-local", "unreadable", "python-cache"}


def test_finishing_that_package_leaves_no_fault_that_it_corrects(tmp_path: Path) -> None:
    corrections = Corrections(
        package="xen-upstream",
        maintainer="Some One <some.one@example.org>",
        depends=("python3",),
        remove=("/boot/xen.gz", "/boot/xen-4.gz", "/boot/xen-4.17.gz", "/boot/xen-syms*"),
    )
    done = finish(
        debs.mkdeb(tmp_path / "raw.deb"),
        corrections,
        elf_depends=("libc6 (>= 2.36)", "libyajl2 (>= 2.1)"),
        destination_dir=tmp_path,
        epoch=1,
    )
    left = {f.rule for f in audit(done.path).findings if f.severity is Severity.ERROR}
    assert left <= {"copyright-missing", "ldconfig-missing"}


# Dependencies


def test_the_c_library(tmp_path: Path) -> None:
    program = Item("./usr/bin/x", elf(["libc.so.6"]), mode=0o755)
    rule = "missing-dependency"
    message = "needs libc.so.6, but Depends names no libc6"
    assert found(good(tmp_path, program), rule) == [("error", "/usr/bin/x", message)]
    for field in ("Depends", "Pre-Depends"):
        assert not found(good(tmp_path, program, control={field: "a | libc6 (>= 2)"}), rule)
    assert found(good(tmp_path, program, control={"Depends": "zlib1g"}), rule)
    # Its own C library, as libc6 has it.
    own = Item("./lib/libc.so.6", elf(soname="libc.so.6"))
    assert not found(good(tmp_path, program, own), rule)
    # Objects of another machine, and samples, are not for this system to run.
    for item in (
        Item("./usr/bin/x", elf(["libc.so.6"], machine=183)),
        Item("./usr/share/x", elf(["libc.so.6"])),
        Item("./usr/lib/debug/x", elf(["libc.so.6"])),
        Item("./usr/lib/python3/test/x", elf(["libc.so.6"])),
    ):
        assert not found(good(tmp_path, item), rule)
    assert found(good(tmp_path, program, control={"Architecture": "all"}), rule)[0][0] == "warning"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("soname", "package"),
    [
        ("libyajl.so.2", "libyajl2"),
        ("liblzo2.so.2", "liblzo2-2"),
        ("libbz2.so.1.0", "libbz2-1.0"),
        ("libaio.so.1", "libaio1t64"),
        ("libext2fs.so.2", "libext2fs2"),
        ("libpam.so.0", "libpam0g"),
        ("libz.so.1", "zlib1g"),
        ("libgcc_s.so.1", "libgcc-s1"),
        ("libstdc++.so.6", "libstdc++6"),
        ("libglib-2.0.so.0", "libglib2.0-0"),
        ("libglib-2.0.so.0", "libglib2.0-0t64"),
        ("libX11.so.6", "libx11-6"),
        ("libdb-5.3.so", "libdb5.3"),
        ("libpython3.11.so.1.0", "libpython3.11"),
        ("libcrypto.so.3", "libssl3"),
    ],
)
def test_library_names(tmp_path: Path, soname: str, package: str) -> None:
    program = Item("./usr/bin/x", elf([soname]), mode=0o755)
    rule = "missing-dependency"
    assert not found(good(tmp_path, program, control={"Depends": package}), rule)
    findings = found(good(tmp_path, program, control={"Depends": "other (>= 1), libother1"}), rule)
    assert [(f[0], f[1]) for f in findings] == [("warning", "/usr/bin/x")]
    assert soname in findings[0][2]
    # A package of the same source may have it.
    findings = found(good(tmp_path, program, control={"Depends": "sister (= 1.0)"}), rule)
    assert findings[0][0] == "info"
    assert findings[0][2].endswith("unless sister has it")


def test_libraries_that_other_packages_bring_in_their_own_way(tmp_path: Path) -> None:
    rule = "missing-dependency"
    program = Item("./usr/bin/x", elf(["libhs.so.5"]), mode=0o755)
    assert found(good(tmp_path, program, control={"Depends": "libx1"}), rule)
    assert not found(good(tmp_path, program, control={"Depends": "libhyperscan5"}), rule)
    haskell = elf(["libHSbase-4.15-ghc9.so"], texts=[(29, "/usr/lib/ghc/lib/base")])  # DT_RUNPATH
    module = Item("./usr/lib/haskell/x.so", haskell)
    assert not found(good(tmp_path, module, control={"Depends": "libghc-base-dev-4"}), rule)
    # The C library comes from no such folder; nor does what the package's own folders lack.
    for soname, runpath in (
        ("libc.so.6", "/usr/lib/ghc/lib/base"),
        ("libyajl.so.2", "/usr/lib/own"),
    ):
        needs = Item("./usr/lib/own/x.so", elf([soname], texts=[(29, runpath)]))
        assert found(good(tmp_path, needs, control={"Depends": "zlib1g"}), rule)
    public = Item("./usr/bin/x", elf(["libyajl.so.2"], texts=[(29, "/usr/lib/x86_64-linux-gnu")]))
    assert found(good(tmp_path, public, control={"Depends": "zlib1g"}), rule)
    udeb = {"Section": "debian-installer", "Package-Type": "udeb"}
    assert not found(good(tmp_path, program, control=udeb), rule)


def test_libraries_of_the_package_itself(tmp_path: Path) -> None:
    items = [
        Item("./usr/bin/x", elf(["libown.so.1", "libalias.so.2"]), mode=0o755),
        Item("./usr/lib/libown.so.1.0", elf(soname="libown.so.1")),
        symlink("./usr/lib/libalias.so.2", "libown.so.1.0"),
    ]
    assert not found(good(tmp_path, *items), "missing-dependency")


@pytest.mark.slow
def test_large_elf_files(tmp_path: Path) -> None:
    """Their tables are found on either side of what is not held in memory."""
    for last in (False, True):
        item = Item("./usr/bin/x", elf(["libc.so.6"], fill=20 << 20, strings_last=last), mode=0o755)
        assert found(good(tmp_path, item), "missing-dependency")


def test_an_elf_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_ELF_LIMIT", 1000)
    item = Item("./usr/bin/x", elf(["libc.so.6"], fill=2000), mode=0o755)
    path = good(tmp_path, item)
    assert [f[:2] for f in found(path, "elf-unread")] == [("warning", "/usr/bin/x")]


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_elf_files(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(elf(["libc.so.6", "libx.so.1"], soname="liby.so.1"))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(4, len(content) - 1))
        content[at] = data.draw(
            st.sampled_from((0, 1, 2, 0x7F, 0x80, 0xFF, data.draw(st.integers(0, 255))))
        )
    cut = data.draw(st.integers(20, len(content)))
    folder = tmp_path_factory.mktemp("e")
    path = debs.make(folder / "a.deb", [Item("./usr/bin/x", bytes(content[:cut]), mode=0o755)])
    report = audit(path)
    assert report.package == "sample"
    assert not any(f.rule == "unreadable" for f in report.findings)


@pytest.mark.slow
def test_an_elf_file_without_end(tmp_path: Path) -> None:
    """A dynamic section of millions of entries, and 65534 headers all at one place."""
    endless = bytearray(elf(["libc.so.6"]))
    del endless[64 + 3 * 56 + 16 :]
    endless += (b"\x1d" + bytes(15)) * (4 << 20 >> 4) * 8
    many = bytearray(elf(["libc.so.6"]))
    many[54:58] = b"\0\0" + (65534).to_bytes(2, "little")  # e_phentsize, e_phnum
    sections = bytearray(elf(["libc.so.6"]))
    sections[40:48] = (64).to_bytes(8, "little")  # e_shoff, with e_shentsize 0
    sections[58:62] = b"\0\0" + (65000).to_bytes(2, "little")
    items = [
        Item(f"./usr/bin/{n}", bytes(content), mode=0o755)
        for n, content in enumerate((endless, many, sections))
    ]
    path = debs.make(tmp_path / "a.deb", items)
    start = time.monotonic()
    report = audit(path)
    assert time.monotonic() - start < 30
    assert {f.subject for f in report.findings if f.rule == "elf-unread"} >= {"/usr/bin/0"}


# Interpreters


@pytest.mark.parametrize(
    ("line", "relations", "severity"),
    [
        ("#!/usr/bin/python3", "", "error"),
        ("#!/usr/bin/env python3", "libc6", "warning"),
        ("#!/usr/bin/env -S python3 -u", "libc6", "warning"),
        ("#! /usr/bin/python3.11 -E", "libc6", "warning"),
        ("#!/usr/bin/python3", "python3-minimal", ""),
        ("#!/usr/bin/python3", "libpython3.11-minimal", ""),
        ("#!/usr/bin/python3", "python2.7", "warning"),
        ("#!/usr/bin/tclsh8.6", "tcl8.6", ""),
        ("#!/bin/bash", "", ""),
        ("#!/usr/bin/perl -w", "", ""),
        ("#!/bin/sh", "", ""),
        ("#!/usr/bin/awk -f", "", ""),
        ("#!", "", ""),
    ],
)
def test_interpreters(tmp_path: Path, line: str, relations: str, severity: str) -> None:
    script = Item("./usr/bin/x", line.encode() + b"\n", mode=0o755)
    path = good(tmp_path, script, control={"Depends": relations})
    assert [f[0] for f in found(path, "missing-interpreter")] == ([severity] if severity else [])


def test_scripts_that_are_no_programs(tmp_path: Path) -> None:
    text = b"#!/usr/bin/python3\n"
    items = [
        Item("./usr/bin/x", text, mode=0o644),
        Item("./usr/share/doc/x/examples/y", text, mode=0o755),
    ]
    assert not found(good(tmp_path, *items), "missing-interpreter")
    items = [Item("./usr/lib/xen/bin/pygrub", text, mode=0o755), symlink("./usr/bin/python3", "x")]
    assert not found(good(tmp_path, *items), "missing-interpreter")
    assert found(good(tmp_path, items[0]), "missing-interpreter")


# /boot


def test_kernel_options(tmp_path: Path) -> None:
    path = good(tmp_path, Item("./boot/config-6.1", CONFIG), Item("./boot/vmlinuz-6.1", b"k"))
    rule = "kernel-option"
    backend = "CONFIG_XEN_PCIDEV_BACKEND"
    (alone,) = found(path, rule)
    assert alone[0] == "warning"
    assert f"{backend} is not set" in alone[2]
    assert found(path, rule, Expectations({backend: "y"})) == [
        ("error", "/boot/config-6.1", f"{backend} is not set, not y")
    ]
    assert found(path, rule, Expectations({backend: "n"})) == []
    assert found(path, rule, Expectations({"XEN_PCIDEV_BACKEND": "n", "64BIT": "y"})) == []
    wanted = Expectations(
        {backend: "n", "CONFIG_XEN_NETDEV_BACKEND": "y", "CONFIG_LOCALVERSION": "-dom0"}
    )
    assert found(path, rule, wanted) == [
        ("error", "/boot/config-6.1", "CONFIG_XEN_NETDEV_BACKEND is m, not y")
    ]


def test_a_backend_as_a_module_is_no_fault(tmp_path: Path) -> None:
    text = CONFIG.replace(b"# CONFIG_XEN_PCIDEV_BACKEND is not set", b"CONFIG_XEN_PCIDEV_BACKEND=m")
    path = good(tmp_path, Item("./boot/config-6.1", text))
    assert found(path) == []
    assert found(path, "", Expectations({"CONFIG_XEN_PCIDEV_BACKEND": "y"}))[0][0] == "error"


def test_a_kernel_without_configuration(tmp_path: Path) -> None:
    path = good(tmp_path, Item("./boot/vmlinuz-6.1", b"k"))
    assert found(path) == []
    assert found(path, "", Expectations({"CONFIG_A": "y"}))[0][:2] == ("error", "/boot/vmlinuz-6.1")
    headers = good(tmp_path, Item("./usr/src/linux-headers/Makefile", b"k"))
    assert found(headers, "", Expectations({"CONFIG_A": "y"})) == []


def test_boot_of_debian_is_no_fault(tmp_path: Path) -> None:
    names = ("xen-4.17-amd64.gz", "xen-4.17-amd64.efi", "xen-4.17-amd64.config")
    path = good(
        tmp_path,
        *(Item(f"./boot/{name}", b"x") for name in names),
        symlink("./boot/v", "xen-4.17-amd64.gz"),
    )
    assert found(path) == []


# Files


def test_conffiles(tmp_path: Path) -> None:
    items = [
        Item("./etc/a", b"1"),
        hardlink("./etc/b", "./etc/a"),
        symlink("./etc/link", "a"),
        folder("./etc/d/"),
        Item("./etc/c", b"1"),
    ]
    path = good(tmp_path, *items, files={"conffiles": b"/etc/c\nremove-on-upgrade /etc/old\n"})
    assert [f[:2] for f in found(path, "etc-not-conffile")] == [
        ("error", "/etc/a"),
        ("error", "/etc/b"),
    ]


def test_md5sums(tmp_path: Path) -> None:
    items = [Item("./a", b"1"), Item("./b", b"2"), Item("./c", b"3"), Item("./etc/d", b"4")]

    def sums(text: bytes | None) -> list[tuple[str, str, str]]:
        files = {"conffiles": b"/etc/d\n"} | ({} if text is None else {"md5sums": text})
        return found(debs.make(tmp_path / "a.deb", items, files=files), "md5sums")

    right = debs.md5sums(items[:3])
    assert sums(right) == []
    upper = right[:32].upper() + right[32:]
    assert sums(upper) == [("error", "/a", "has its sum in upper case")]
    assert sums(right[:-1])[0][:2] == ("error", "md5sums")  # dpkg --verify dies of it
    assert sums(right.replace(b"  b", b" b"))[0][:2] == ("error", "md5sums")
    assert sums(right + b"0" * 32 + b"  etc\n") == [("error", "/etc", "is listed, but is a folder")]
    assert sums(None)[0][0] == "warning"
    wrong = right.replace(b"c4ca4238", b"00000000")
    assert sums(wrong) == [("error", "/a", "is not what its sum says")]
    assert sums(right + b"0" * 32 + b"  none\n") == [
        ("warning", "/none", "is listed, but not in the package")
    ]
    assert sums(debs.md5sums(items[:2])) == [("warning", "/c", "is not listed")]
    empty = debs.make(tmp_path / "a.deb", [symlink("./a", "b")])
    assert found(empty, "md5sums") == []


@pytest.mark.parametrize(
    ("stated", "severity"),
    [("", "info"), ("many", "warning"), ("5003", ""), ("5100", "info"), ("7000", "warning")],
)
def test_installed_size(tmp_path: Path, stated: str, severity: str) -> None:
    path = debs.make(
        tmp_path / "a.deb", [Item("./a", bytes(5000 << 10))], control={"Installed-Size": stated}
    )
    assert [f[0] for f in found(path, "installed-size")] == ([severity] if severity else [])


def test_usr_local(tmp_path: Path) -> None:
    path = good(tmp_path, Item("./usr/local/bin/x", b"1"), symlink("./usr/local/lib/y", "z"))
    assert [f[:2] for f in found(path, "file-in-usr-local")] == [
        ("error", "/usr/local/bin/x"),
        ("error", "/usr/local/lib/y"),
    ]
    assert found(good(tmp_path, folder("./usr/local/lib/python3.11/"))) == []


@pytest.mark.parametrize(
    ("fields", "severity", "words"),
    [
        ({"Package": ""}, "error", "Package is missing"),
        ({"Package": "Xen"}, "warning", "no package name"),
        ({"Package": "x=y"}, "error", "no name of a package"),
        ({"Version": ""}, "error", "Version is missing"),
        ({"Version": "v1"}, "error", "does not begin with a digit"),
        ({"Version": "1_2"}, "error", "a character that no version has"),
        ({"Version": "99999999999:1"}, "error", "too large"),
        ({"Architecture": "amd64 i386"}, "error", "a list"),
        ({"Architecture": "aarch64"}, "error", "arm64 is meant"),
        ({"Architecture": "noarch"}, "error", "all is meant"),
        ({"Architecture": "linux-any"}, "error", "wildcard"),
        ({"Multi-Arch": "yes"}, "error", "Multi-Arch"),
        ({"Multi-Arch": "same", "Architecture": "all"}, "error", "makes no sense"),
        ({"Essential": "true"}, "error", "neither yes nor no"),
        ({"Priority": "optionally"}, "error", "Priority"),
        ({"Priority": "high"}, "warning", "Priority"),
        ({"Status": "install ok installed"}, "error", "dpkg's database"),
        ({"Maintainer": ""}, "warning", "Maintainer is missing"),
        ({"Maintainer": "Unmaintained snapshot"}, "warning", "Name <address>"),
        ({"Description": ""}, "warning", "Description is missing"),
    ],
)
def test_control_fields(tmp_path: Path, fields: dict[str, str], severity: str, words: str) -> None:
    path = debs.make(tmp_path / "a.deb", control=fields)
    (finding,) = found(path, "control-field")
    assert finding[0] == severity
    assert words in finding[2]


# Packages that cannot be read


def test_what_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    cut = debs.make(tmp_path / "c.deb", [Item("./x")])
    cut.write_bytes(cut.read_bytes()[:-600])
    for path in (tmp_path / "none.deb", cut):
        report = audit(path)
        first = report.findings[0]
        assert (first.rule, first.severity) == ("unreadable", Severity.ERROR)
        assert str(path) not in first.message
        # Nothing is said about files that were not seen.
        assert {RULES[f.rule].needs for f in report.findings} == {Needs.CONTROL}


ODD = {
    "path-traversal": ([Item("./x"), Item("../x")], Severity.ERROR),
    "duplicate-member": ([Item("./usr/x", b"1"), Item("./usr/x", b"2")], Severity.WARNING),
    "absolute-member": ([Item("/usr/x")], Severity.WARNING),
}


@pytest.mark.parametrize("rule", ODD)
def test_the_audit_goes_on_after_what_is_odd(tmp_path: Path, rule: str) -> None:
    items, severity = ODD[rule]
    late = Item("./usr/local/late")
    report = audit(debs.make(tmp_path / "a.deb", [*items, late], exact=True))
    told = {f.rule: f.severity for f in report.findings}
    assert told[rule] is severity
    assert "file-in-usr-local" in told
    assert report.package == "sample"


@pytest.mark.parametrize(
    ("items", "content"),
    [
        ([Item("./opt/x", b"#!/bin/a\n"), Item("./opt/x", b"#!/bin/b\n")], "/bin/b"),
        ([Item("./opt/x", b"#!/bin/a\n"), Item("./opt/x", b"no script\n")], None),
    ],
)
def test_of_two_files_of_one_name_the_later_counts(
    tmp_path: Path, items: list[Item], content: str | None
) -> None:
    package = deb.Deb.open(debs.make(tmp_path / "a.deb", [folder("./opt/"), *items], exact=True))
    facts = gathering.Facts.of(package, Expectations())
    gathering.gather(package, facts)
    assert [e.path for e in facts.entries] == ["/opt", "/opt/x"]
    assert facts.scripts.get("/opt/x") == content
    digest = hashlib.md5(items[1].content, usedforsecurity=False).hexdigest()
    assert facts.entries[1].md5 == digest


def test_the_exit_status(tmp_path: Path) -> None:
    bad = debs.make(tmp_path / "t.deb", [Item("../x")], exact=True)
    good_one = good(tmp_path)
    reports = [audit(path) for path in (tmp_path / "none.deb", bad, good_one)]
    assert reports[-1].findings == ()
    assert exit_code(reports) is Exit.AUDIT
    assert exit_code(reports[-1:]) is Exit.DONE


def test_a_warning_is_no_error(tmp_path: Path) -> None:
    path = good(tmp_path, control={"Maintainer": "me"})
    report = audit(path)
    assert report.count(Severity.WARNING) == 1
    assert exit_code([report]) is Exit.DONE


def test_expand(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    files = [tmp_path / name for name in ("a.deb", "b/c/z.deb", "b/y.deb", "b/x.txt")]
    for file in files:
        file.write_text(file.name)
    assert expand([tmp_path]) == files[:3]
    assert expand([files[2], files[3], tmp_path / "b"]) == [files[2], files[3], files[1]]
    (tmp_path / "empty").mkdir()
    for bad, words in ((tmp_path / "empty", "no .deb in it"), (tmp_path / "none", "no such file")):
        with pytest.raises(BuildError, match=words):
            expand([bad])


# Rules and what is said about them


def test_every_rule_explains_itself() -> None:
    assert len(rules.RULES) >= 14
    for name, rule in rules.RULES.items():
        assert name == rule.name
        assert name == name.lower().replace(" ", "-")
        assert rule.explanation.endswith(".")
        assert rule.reference
        assert rule.remedy
        assert not rule.remedy.endswith(".")


MEMORY = """
import re, sys
from pathlib import Path
from builders.debkit.audit import audit
report = audit(Path(sys.argv[1]))
assert report.package == "sample", report
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
"""


@pytest.mark.slow
def test_large_files_are_not_held(tmp_path: Path) -> None:
    items = [
        Item("./boot/vmlinuz-6.1", bytes(60 << 20)),
        Item("./boot/config-6.1", CONFIG + b"\n" * (60 << 20)),
        Item("./usr/bin/x", elf(["libc.so.6"], fill=60 << 20), mode=0o755),
    ]
    path = debs.make(tmp_path / "a.deb", items)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert int(done.stdout) < 110 << 10  # KiB


def test_a_package_that_lies_in_a_folder_twice_counts_once(tmp_path: Path) -> None:
    first = debs.mkdeb(tmp_path / "xen.deb")
    pool = tmp_path / "a release/pool"
    pool.mkdir(parents=True)
    (pool / "xen_1_amd64.deb").hardlink_to(first)
    shutil.copy(first, pool / "copy.deb")
    other = pool / "other.deb"
    other.write_bytes(first.read_bytes()[:-1] + b"x")  # as large, and another one
    assert expand([tmp_path]) == [other, first]
    # Whoever names files means each of them.
    assert expand([first, pool / "copy.deb"]) == [first, pool / "copy.deb"]
