# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from debian.debian_support import Version

from builders import ROOT
from builders.debkit.corrections import Corrections
from builders.debkit.deb import Deb, installed_size
from builders.debkit.finish import Finished, file_name, finish
from builders.errors import BuildError
from tests.unit import debs
from tests.unit.debs import Item, folder, hardlink, symlink

EPOCH = 1_200_000_000
XEN = Corrections(
    package="xen-upstream",
    maintainer="Some One <some.one@example.org>",
    section="admin",
    priority="optional",
    homepage="https://example.org/",
    description="Xen hypervisor and tools\nBuilt from the upstream release.\n\nWith tools.",
    depends=("libaio1", "libyajl2", "python3", "bridge-utils | iproute2"),
    conflicts=("xen-utils-4.17",),
    remove=(
        "/boot/xen.gz",
        "/boot/xen-4.gz",
        "/boot/xen-4.17.gz",
        "/boot/xen-syms-*",
        "/usr/lib/nothing*",
    ),
    revision="+dom0.1",
    compression="gzip",
    level=1,
)
ELF = ("libc6 (>= 2.36)", "libyajl2 (>= 2.1.0)", "zlib1g (>= 1:1.2)")


def run(
    tmp_path: Path,
    corrections: Corrections,
    raw: Path | None = None,
    elf: tuple[str, ...] = ELF,
) -> Finished:
    return finish(
        raw or debs.mkdeb(tmp_path / "raw.deb"),
        # Documents have tests of their own: test_corrections.py.
        dataclasses.replace(corrections, documents=False),
        elf_depends=elf,
        destination_dir=tmp_path / "out",
        epoch=EPOCH,
    )


def made(tmp_path: Path, corrections: Corrections, **control: str) -> Finished:
    """Finish a small package with these control fields."""
    fields = {name.replace("_", "-"): value for name, value in control.items()}
    raw = debs.make(tmp_path / "raw.deb", [Item("./usr/bin/x", b"x")], control=fields)
    return run(tmp_path, corrections, raw, ())


# Another process finishes argv[1] into argv[2], with one core or with all.
ELSEWHERE = """
import os, sys
from pathlib import Path
from builders.debkit.finish import finish
from tests.unit.test_finish import ELF, EPOCH, XEN
if sys.argv[3] == "one":
    os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
raw, out = map(Path, sys.argv[1:3])
print(finish(raw, XEN, elf_depends=ELF, destination_dir=out, epoch=EPOCH).path)
"""


@pytest.mark.slow
def test_nothing_of_the_box_goes_into_a_package(tmp_path: Path) -> None:
    raw = debs.mkdeb(tmp_path / "raw.deb")
    found = []
    for name, seed, zone, umask in (("all", "1", "UTC", 0o022), ("one", "2", "ELSE-14", 0o077)):
        done = subprocess.run(
            [sys.executable, "-c", ELSEWHERE, raw, tmp_path / name, name],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C", "USER": name},
            umask=umask,
            check=True,
            capture_output=True,
            text=True,
        )
        found.append(Path(done.stdout.strip()).read_bytes())
        raw = raw.rename(tmp_path / f"{name}.deb")
    assert found[0] == found[1]


def test_a_package_of_mkdeb(tmp_path: Path) -> None:
    done = run(tmp_path, XEN)
    assert done.path == tmp_path / "out" / "xen-upstream_4.17.5+dom0.1_amd64.deb"
    assert (done.package, done.version, done.architecture) == (
        "xen-upstream",
        "4.17.5+dom0.1",
        "amd64",
    )
    package = Deb.open(done.path)
    assert dict(package.control) == {
        "Package": "xen-upstream",
        "Source": "xen-upstream",
        "Version": "4.17.5+dom0.1",
        "Architecture": "amd64",
        "Maintainer": "Some One <some.one@example.org>",
        "Installed-Size": str(installed_size(package.index.entries)),
        "Depends": "bridge-utils | iproute2, libaio1, libc6 (>= 2.36), libyajl2 (>= 2.1.0),"
        " python3, zlib1g (>= 1:1.2)",
        "Conflicts": "libxenstore3.0, xen-utils-4.17",
        "Section": "admin",
        "Priority": "optional",
        "Homepage": "https://example.org/",
        "Description": "Xen hypervisor and tools\n Built from the upstream release.\n .\n"
        " With tools.",
    }
    assert list(package.control)[-1] == "Description"
    paths = {entry.path for entry in package.index.entries}
    assert {p for p in paths if p.startswith("/boot")} == {"/boot", "/boot/xen-4.17.5.gz"}
    assert "/var/lib/xen" in paths  # empty before
    assert package.control_files["conffiles"] == (
        b"/etc/xen/xl.conf\n/etc/init.d/xencommons\n/etc/xen/cpupool\n"
    )
    assert done.notes == (
        "remove: /usr/lib/nothing* matches nothing in the package",
        "service xencommons is not registered: state it in services",
        "conffiles: /etc/default/xencommons is listed, but not in the package",
        "depends: libaio1 is stated, but no ELF file of the package needs it",
    )
    assert {entry.info.uid for entry in package.index.entries} == {0}
    assert all(entry.info.mtime <= EPOCH for entry in package.index.entries)


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is missing")
@pytest.mark.parametrize("compression", ["", "none", "gzip", "xz", "zstd"])
def test_dpkg_and_md5sum_agree(tmp_path: Path, compression: str) -> None:
    done = run(
        tmp_path,
        Corrections(
            package="xen-upstream", remove=("/boot/xen-syms*",), compression=compression, level=1
        ),
    )
    for option in ("-I", "-c"):
        subprocess.run(["dpkg-deb", option, str(done.path)], check=True, capture_output=True)
    version = subprocess.run(
        ["dpkg-deb", "-f", str(done.path), "Version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert version == done.version == "4.17.5"
    tree = tmp_path / "tree"
    subprocess.run(["dpkg-deb", "-R", str(done.path), str(tree)], check=True)
    # dpkg-deb checks the names of conffiles and the fields when it builds again.
    again = subprocess.run(
        ["dpkg-deb", "-b", "-Znone", str(tree), str(tmp_path / "again.deb")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "conffile" not in again.stderr
    subprocess.run(["md5sum", "-c", "--quiet", "DEBIAN/md5sums"], cwd=tree, check=True)
    listed = (tree / "DEBIAN/md5sums").read_text()
    assert "boot/xen-4.17.5.gz" in listed
    assert "etc/" not in listed  # conffiles


def test_nothing_to_correct_keeps_the_data(tmp_path: Path) -> None:
    raw = debs.mkdeb(tmp_path / "raw.deb")
    before, after = Deb.open(raw), Deb.open(run(tmp_path, Corrections(), raw, ()).path)
    assert after.control["Package"] == "xen-upstream-4.17.5"
    assert after.control["Maintainer"] == "Unmaintained snapshot"
    assert after.data_member.size == before.data_member.size
    assert [e.md5 for e in after.index.entries] == [e.md5 for e in before.index.entries]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first = run(tmp_path, XEN).path.read_bytes()
    assert run(tmp_path, XEN).path.read_bytes() == first


# Relations


def depends(
    tmp_path: Path, raw: str = "", stated: tuple[str, ...] = (), elf: tuple[str, ...] = ()
) -> tuple[str, tuple[str, ...]]:
    path = debs.make(tmp_path / "raw.deb", [Item("./x")], control={"Depends": raw})
    done = run(tmp_path, Corrections(depends=stated), path, elf)
    return Deb.open(done.path).control.get("Depends", ""), done.notes


@pytest.mark.parametrize(
    ("raw", "stated", "elf", "result"),
    [
        ("", (), (), ""),
        ("", ("bb", "aa"), (), "aa, bb"),
        ("", ("aa, bb", "aa"), (), "aa, bb"),
        ("zlib1g", ("libc6",), ("libc6 (>= 2.36)",), "libc6 (>= 2.36), zlib1g"),
        ("libc6 (>= 2.3)", (), ("libc6 (>= 2.36)",), "libc6 (>= 2.36)"),
        ("libc6 (>= 2.40)", (), ("libc6 (>= 2.36)",), "libc6 (>= 2.40)"),
        ("aa (= 2)", ("aa (>= 1)",), (), "aa (= 2)"),
        ("aa (>= 1)", ("aa (<< 2)",), (), "aa (<< 2), aa (>= 1)"),
        ("aa (>= 1.0)", ("aa (>= 1.00)",), (), "aa (>= 1.00)"),
        ("aa | bb", ("aa",), (), "aa"),
        ("aa | bb (>= 2)", (), ("bb (>= 3)",), "bb (>= 3)"),
        ("aa | bb (>= 4)", (), ("bb (>= 3)",), "aa | bb (>= 4), bb (>= 3)"),
        ("python3:any", ("python3 (>= 3.9)",), (), "python3 (>= 3.9), python3:any"),
        ("aa(>=1),bb|cc", (), (), "aa (>= 1), bb | cc"),
        ("aa (> 1), bb (< 2)", (), (), "aa (>= 1), bb (<= 2)"),
        ("sample (= 1.0), bb", (), (), "bb"),
    ],
)
def test_depends(
    tmp_path: Path, raw: str, stated: tuple[str, ...], elf: tuple[str, ...], result: str
) -> None:
    assert depends(tmp_path, raw, stated, elf)[0] == result


def test_libraries_that_a_recipe_states(tmp_path: Path) -> None:
    value, notes = depends(
        tmp_path,
        "",
        ("libaio1", "liblzo2-2", "libyajl2", "perl", "libfoo-bin"),
        ("libaio1t64", "libyajl2"),
    )
    assert value == "libaio1t64, libfoo-bin, liblzo2-2, libyajl2, perl"
    assert notes == (
        "depends: libaio1 is libaio1t64 in this suite",
        "depends: liblzo2-2 is stated, but no ELF file of the package needs it",
    )


@pytest.mark.parametrize(
    "bad", ["${shlibs:Depends}", "aa (>= )", "aa bb", "Aa", "aa [amd64]", "aa (~ 1)", "é"]
)
def test_relations_that_are_none(tmp_path: Path, bad: str) -> None:
    with pytest.raises(BuildError, match=r"7\.1"):
        depends(tmp_path, stated=(bad,))
    if bad != "Aa":  # dpkg takes that one, of a package that there is
        with pytest.raises(BuildError, match=r"7\.1"):
            depends(tmp_path, raw=bad)
    with pytest.raises(BuildError, match=r"7\.1"):
        made(tmp_path, Corrections(breaks=("aa | bb",)))


def test_relations_that_dpkg_takes_are_written_anew(tmp_path: Path) -> None:
    assert depends(tmp_path, raw="\n Aa,\n b_c (1),, d(<2),")[0] == "Aa, b_c (= 1), d (<= 2)"


def test_other_relations_are_joined(tmp_path: Path) -> None:
    done = made(
        tmp_path,
        Corrections(
            recommends=("bb | cc", "aa"), breaks=("xx (<< 2)",), provides=("virtual (= 1)",)
        ),
        Recommends="aa, zz",
    )
    control = Deb.open(done.path).control
    assert control["Recommends"] == "aa, bb | cc, zz"
    assert control["Breaks"] == "xx (<< 2)"
    assert control["Provides"] == "virtual (= 1)"


# Versions


@pytest.mark.parametrize(
    ("raw", "corrections", "result"),
    [
        ("4.17.5", Corrections(), "4.17.5"),
        ("4.17.5", Corrections(revision="+dom0.1"), "4.17.5+dom0.1"),
        ("1.0.0-10.00.Custom", Corrections(revision="+dom0.1"), "1.0.0-10.00.Custom+dom0.1"),
        ("4.20-rc2", Corrections(revision="+dom0.1"), "4.20-rc2+dom0.1"),
        ("v4.17_rc1", Corrections(revision="-1"), "4.17.rc1-1"),
        ("whatever", Corrections(version="1:4.2-1"), "1:4.2-1"),
        ("4.17", Corrections(version="4.2", revision="ignored"), "4.2"),
    ],
)
def test_versions(tmp_path: Path, raw: str, corrections: Corrections, result: str) -> None:
    done = made(tmp_path, corrections, Version=raw)
    assert done.version == result
    assert Deb.open(done.path).control["Version"] == result
    if corrections.revision and not corrections.version and not raw.startswith("v"):
        assert Version(result) > Version(raw)


def test_notes_on_versions(tmp_path: Path) -> None:
    assert made(tmp_path, Corrections(version="4.2"), Version="4.17").notes == (
        "version 4.2 sorts below the raw package's 4.17",
    )
    assert (
        "not valid; 4.17.rc1 is used" in made(tmp_path, Corrections(), Version="v4.17_rc1").notes[0]
    )


@pytest.mark.parametrize(
    ("raw", "corrections"),
    [
        ("4.17.5", Corrections(revision="~dom0.1")),
        ("4.17.5", Corrections(revision="+dom0_1")),
        ("4.17.5", Corrections(revision="-")),
        ("4.17.5", Corrections(version="four")),
        ("nothing", Corrections()),
        ("", Corrections()),
    ],
)
def test_versions_that_cannot_be(tmp_path: Path, raw: str, corrections: Corrections) -> None:
    with pytest.raises(BuildError, match="version"):
        made(tmp_path, corrections, Version=raw)


def test_file_names() -> None:
    assert file_name("xen", "1:4.17-1", "amd64") == "xen_4.17-1_amd64.deb"
    assert file_name("xen", "4.17", "all") == "xen_4.17_all.deb"


# Members


def removed(tmp_path: Path, items: list[Item], *globs: str) -> tuple[list[str], tuple[str, ...]]:
    raw = debs.make(tmp_path / "raw.deb", items)
    done = run(tmp_path, Corrections(remove=globs), raw, ())
    return [entry.path for entry in Deb.open(done.path).index.entries], done.notes


def test_directories_that_become_empty_go(tmp_path: Path) -> None:
    items = [Item("./a/b/c/file"), Item("./a/other"), folder("./a/b/empty/"), Item("./d/e/file")]
    left, _ = removed(tmp_path, items, "/*/file")
    assert left == ["/", "/a", "/a/b", "/a/other", "/a/b/empty"]


def test_a_directory_goes_with_all_below_it(tmp_path: Path) -> None:
    items = [Item("./a/b/c/file"), Item("./a/bc")]
    assert removed(tmp_path, items, "/a/b")[0] == ["/", "/a", "/a/bc"]


def test_what_may_be_there_is_discarded_without_a_word(tmp_path: Path) -> None:
    raw = debs.make(tmp_path / "raw.deb", [Item("./a/b"), Item("./a/c/d"), Item("./e/f")])
    done = run(tmp_path, Corrections(discard=("/a/c", "/e/*", "/nowhere/*")), raw, ())
    assert [e.path for e in Deb.open(done.path).index.entries] == ["/", "/a", "/a/b"]
    assert not [note for note in done.notes if "nothing" in note]
    with pytest.raises(BuildError, match="discard: 'a/c' is no absolute path"):
        run(tmp_path, Corrections(discard=("a/c",)), raw, ())


def test_all_can_be_removed(tmp_path: Path) -> None:
    assert removed(tmp_path, [Item("./a/b")], "/*")[0] == ["/"]


def test_links_to_what_was_removed_are_told(tmp_path: Path) -> None:
    items = [
        Item("./usr/lib/x.so.1.0"),
        symlink("./usr/lib/x.so.1", "x.so.1.0"),
        symlink("./usr/lib/y", "/usr/lib/x.so.1.0"),
        symlink("./usr/lib/z", "../share/elsewhere"),
    ]
    assert removed(tmp_path, items, "/usr/lib/*.0")[1] == (
        "/usr/lib/x.so.1 links to /usr/lib/x.so.1.0, which was removed",
        "/usr/lib/y links to /usr/lib/x.so.1.0, which was removed",
    )


def test_a_relative_glob(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no absolute path") as caught:
        removed(tmp_path, [Item("./a")], "boot/*")
    assert caught.value.hint == "write /boot/*"


# Conffiles


def conffiles(tmp_path: Path, before: bytes, corrections: Corrections) -> bytes | None:
    items = [
        Item("./etc/a"),
        hardlink("./etc/b", "./etc/a"),
        symlink("./etc/link", "a"),
        folder("./etc/d/"),
        Item("./opt/conf"),
    ]
    raw = debs.make(tmp_path / "raw.deb", items, files={"conffiles": before} if before else {})
    return Deb.open(run(tmp_path, corrections, raw, ()).path).control_files.get("conffiles")


def test_conffiles(tmp_path: Path) -> None:
    assert conffiles(tmp_path, b"", Corrections()) == b"/etc/a\n/etc/b\n"
    assert conffiles(tmp_path, b"", Corrections(conffiles=False)) is None
    assert conffiles(tmp_path, b"/opt/conf\n", Corrections(conffiles=False)) == b"/opt/conf\n"
    assert (
        conffiles(tmp_path, b"/opt/conf\nremove-on-upgrade /etc/old\n", Corrections())
        == b"/opt/conf\nremove-on-upgrade /etc/old\n/etc/a\n/etc/b\n"
    )
    assert conffiles(tmp_path, b"/etc/a\n", Corrections(remove=("/etc/*",))) is None


# Other fields


@pytest.mark.parametrize(
    "corrections",
    [
        Corrections(package="Xen"),
        Corrections(package="x/../y"),
        Corrections(maintainer="nobody"),
        Corrections(maintainer="A <a@b>\nX: y"),
        Corrections(section="a b"),
        Corrections(homepage="a\nb"),
        Corrections(priority="high"),
        Corrections(compression="rar"),
        Corrections(compression="gzip", level=12),
    ],
)
def test_corrections_that_cannot_be(tmp_path: Path, corrections: Corrections) -> None:
    with pytest.raises(BuildError) as caught:
        made(tmp_path, corrections)
    assert caught.value.hint
    assert not list(tmp_path.glob("out/*"))


def test_a_raw_package_without_what_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="Architecture"):
        made(tmp_path, Corrections(), Architecture="")
    with pytest.raises(BuildError, match="package name"):
        made(tmp_path, Corrections(), Package="")
    notes = made(tmp_path, Corrections(), Maintainer="Unmaintained snapshot", Description="").notes
    assert len(notes) == 2
    assert "Unmaintained snapshot" in notes[0]
    assert "no description" in notes[1]


def test_own_fields_survive(tmp_path: Path) -> None:
    done = made(tmp_path, Corrections(section="kernel"), Built_Using="x (= 1)", X_Odd="kept")
    assert list(Deb.open(done.path).control) == [
        "Package",
        "Version",
        "Built-Using",
        "Architecture",
        "Maintainer",
        "Installed-Size",
        "Section",
        "X-Odd",
        "Description",
    ]


def test_a_destination_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(BuildError, match="out"):
        made(tmp_path, Corrections())


def test_what_a_pre_dependency_implies_is_not_stated_again(tmp_path: Path) -> None:
    raw = debs.make(
        tmp_path / "raw.deb",
        [Item("./usr/bin/x", b"x")],
        control={"Pre-Depends": "libc6 (>= 2.36), aa | bb", "Depends": "aa | bb, cc"},
    )
    done = run(tmp_path, XEN, raw, ("libc6 (>= 2.34)", "libz1"))
    depends = Deb.open(done.path).control["Depends"].split(", ")
    assert "cc" in depends
    assert "libz1" in depends
    assert not {"aa | bb", "libc6 (>= 2.34)"} & set(depends)


@pytest.mark.parametrize("end", ["\r", "\x85", "\v", "\u2028"])
def test_a_field_with_a_line_break_of_others_is_refused(tmp_path: Path, end: str) -> None:
    control = {**debs.CONTROL, "Description": f"one{end}Depends: evil"}
    raw = debs.make(tmp_path / "raw.deb", control=control)
    with pytest.raises(BuildError) as caught:
        run(tmp_path, Corrections(), raw)
    assert "line break that is none to dpkg" in caught.value.message
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("./usr/share/x\ny", "line break"),
        ("./usr/share/" + "a/" * 2100 + "b", "cannot unpack"),
        ("./usr/share/" + "a" * 250, "no room for .dpkg-new"),
    ],
)
def test_a_name_that_dpkg_does_not_take_is_refused(tmp_path: Path, name: str, word: str) -> None:
    raw = debs.make(tmp_path / "raw.deb", items=debs.with_folders([Item(name, b"x")]), exact=True)
    with pytest.raises(BuildError) as caught:
        run(tmp_path, Corrections(), raw)
    assert word in caught.value.message
    assert len(caught.value.message) < 600
    assert not list((tmp_path / "out").glob("*"))
