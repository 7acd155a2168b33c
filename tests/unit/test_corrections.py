# SPDX-License-Identifier: GPL-2.0-or-later
"""The corrections of content: symbols, libraries, Python, documents, /run, links."""

from __future__ import annotations

import dataclasses
import gzip
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from builders.debkit.corrections import Corrections, Replacement
from builders.debkit.deb import Deb
from builders.debkit.finish import Beside, Finished, finish
from builders.errors import BuildError
from tests.unit import debs
from tests.unit.debs import Item, folder, hardlink, symlink

EPOCH = 1_200_000_000
PLAIN = Corrections(maintainer="Some One <some.one@example.org>", compression="gzip")
ID = "ab" * 20


def run(
    tmp_path: Path, items: list[Item], corrections: Corrections = PLAIN, **more: object
) -> Finished:
    """Finish a package xx of these members; `more` is a Beside or files of control.tar."""
    beside = more.pop("beside", None)
    version = str(more.pop("version", "1.0-1"))
    files = {name: content for name, content in more.items() if isinstance(content, bytes)}
    tmp_path.mkdir(exist_ok=True)
    raw = debs.make(
        tmp_path / "raw.deb", items, control={"Package": "xx", "Version": version}, files=files
    )
    assert beside is None or isinstance(beside, Beside)
    return finish(
        raw,
        corrections,
        elf_depends=(),
        destination_dir=tmp_path / "out",
        epoch=EPOCH,
        beside=beside,
    )


def content(deb: Deb) -> dict[str, bytes]:
    return {
        entry.path: io.BufferedReader(stream).read()
        for entry, stream in deb.entries()
        if entry.info.isreg()
    }


def modes(deb: Deb) -> dict[str, int]:
    return {entry.path: entry.info.mode for entry in deb.index.entries}


def handed(path: Path, members: dict[str, bytes], links: dict[str, str]) -> Beside:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in links.items():
            info = tarfile.TarInfo("./" + name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return Beside(symbols=path)


def test_symbols_go_into_a_package_of_their_own(tmp_path: Path) -> None:
    by_id = f"usr/lib/debug/.build-id/{ID[:2]}/{ID[2:]}.debug"
    beside = handed(
        tmp_path / "symbols.tar",
        {
            "stripped/usr/bin/tool": b"small",
            "stripped/usr/bin/second": b"small",
            "stripped/usr/lib/libone.so.1.0": b"small",
            f"debug/{by_id}": b"debugging",
        },
        {"debug/usr/lib/debug/xen-syms-1": f".build-id/{ID[:2]}/{ID[2:]}.debug"},
    )
    items = [
        Item("./usr/bin/tool", b"large" * 100, mode=0o755),
        hardlink("./usr/bin/second", "./usr/bin/tool"),
        symlink("./usr/bin/third", "tool"),
        Item("./usr/lib/libone.so.1.0", b"large"),
        symlink("./usr/lib/libone.so.1", "libone.so.1.0"),
        Item("./usr/lib/debug/xen-syms-1", b"hypervisor"),
        Item("./boot/xen-syms-1", b"hypervisor"),
    ]
    done = run(tmp_path, items, beside=beside)
    package = Deb.open(done.path)
    assert content(package)["/usr/bin/tool"] == b"small"
    assert modes(package)["/usr/bin/tool"] == 0o755
    assert package.md5sums["/usr/bin/second"] == package.md5sums["/usr/bin/tool"]
    assert not {p for p in modes(package) if "debug" in p or "boot" in p}
    links = {e.path: e.info.linkname for e in package.index.entries if e.info.issym()}
    assert links == {"/usr/bin/third": "tool", "/usr/lib/libone.so.1": "libone.so.1.0"}
    assert done.symbols is not None
    assert done.symbols.path.name == "xx-dbgsym_1.0-1_amd64.deb"
    debug = Deb.open(done.symbols.path)
    control = dict(debug.control)
    control.pop("Installed-Size")
    assert control.pop("Description").startswith("debugging symbols of xx\n Debuggers")
    assert control == {
        "Package": "xx-dbgsym",
        "Source": "xx",
        "Version": "1.0-1",
        "Architecture": "amd64",
        "Maintainer": "Some One <some.one@example.org>",
        "Enhances": "xx (= 1.0-1)",
        "Section": "debug",
        "Priority": "optional",
        "Build-Ids": ID,
    }
    assert content(debug)[f"/{by_id}"] == b"debugging"
    links = {e.path: e.info.linkname for e in debug.index.entries if e.info.issym()}
    assert links["/usr/lib/debug/xen-syms-1"] == f".build-id/{ID[:2]}/{ID[2:]}.debug"
    again = run(tmp_path / "again", items, beside=beside)
    assert again.symbols is not None
    assert again.symbols.path.read_bytes() == done.symbols.path.read_bytes()
    assert again.path.read_bytes() == done.path.read_bytes()


def test_symbols_alone_have_a_name_and_no_build_id(tmp_path: Path) -> None:
    target = f".build-id/{ID[:2]}/{ID[2:]}.debug"
    shim = f".build-id/00/{ID[2:]}.debug"
    bare = debs.elf()
    beside = handed(
        tmp_path / "symbols.tar",
        {f"debug/usr/lib/debug/{it}": bare for it in (target, shim)}
        | {"debug/usr/lib/debug/xen-1.efi.elf": b"efi"},
        {
            "debug/usr/lib/debug/xen-syms-1": target,
            "debug/usr/lib/debug/b/xen-shim-syms": f"../{shim}",
        },
    )
    done = run(tmp_path, [Item("./usr/lib/debug/xen-syms-1", bare)], beside=beside)
    assert done.symbols is not None
    debug = Deb.open(done.symbols.path)
    there = content(debug)
    assert there["/usr/lib/debug/boot/xen-syms-1.debug"] == bare
    changes = content(Deb.open(done.path))["/usr/share/doc/xx/changelog.Debian.gz"]
    assert there["/usr/share/doc/xx-dbgsym/changelog.Debian.gz"] == changes
    assert there["/usr/lib/debug/boot/xen-1.efi.elf.debug"] == b"efi"
    assert there["/usr/lib/debug/boot/xen-shim-syms.debug"] == bare
    assert len(there) == 4
    links = {e.path: e.info.linkname for e in debug.index.entries if e.info.issym()}
    assert links["/usr/lib/debug/xen-syms-1"] == "boot/xen-syms-1.debug"
    assert links["/usr/lib/debug/b/xen-shim-syms"] == "../boot/xen-shim-syms.debug"
    assert links["/usr/lib/debug/xen-1.efi.elf"] == "boot/xen-1.efi.elf.debug"
    assert "Build-Ids" not in debug.control


def test_without_what_the_build_hands_over_symbols_stay(tmp_path: Path) -> None:
    done = run(tmp_path, [Item("./usr/lib/debug/y", b"y")])
    assert done.symbols is None
    assert "/usr/lib/debug/y" in modes(Deb.open(done.path))


def test_a_damaged_archive_of_symbols(tmp_path: Path) -> None:
    archive = tmp_path / "symbols.tar"
    archive.write_bytes(b"no archive" * 100)
    with pytest.raises(BuildError, match=r"symbols\.tar"):
        run(tmp_path, [Item("./usr/bin/y", b"y")], beside=Beside(symbols=archive))
    assert not list((tmp_path / "out").glob("*.deb"))


def test_libraries(tmp_path: Path) -> None:
    one = debs.elf(["libc.so.6"], soname="libone.so.4.17")
    items = [
        Item("./usr/lib/x86_64-linux-gnu/libone.so.4.17.0", one, mode=0o755),
        symlink("./usr/lib/x86_64-linux-gnu/libone.so.4.17", "libone.so.4.17.0"),
        Item("./usr/lib/libtwo-3.so", debs.elf(soname="libtwo-3.so"), mode=0o755),
        Item("./usr/lib/x/plugin.so", debs.elf(soname="plugin.so.1"), mode=0o755),
        Item("./usr/lib/libbare.so", debs.elf(), mode=0o644),
        Item("./usr/lib/libbroken.so.1", b"\x7fELF broken", mode=0o644),
        Item("./usr/lib/x/program", debs.elf(), mode=0o755),
    ]
    package = Deb.open(run(tmp_path, items, triggers=b"interest /x\n").path)
    assert package.control_files["shlibs"] == (b"libone 4.17 xx (>= 1.0)\nlibtwo 3 xx (>= 1.0)\n")
    assert package.control_files["triggers"] == b"interest /x\nactivate-noawait ldconfig\n"
    found = modes(package)
    assert found["/usr/lib/x86_64-linux-gnu/libone.so.4.17.0"] == 0o644
    assert found["/usr/lib/x/plugin.so"] == 0o644
    assert found["/usr/lib/x/program"] == 0o755
    plugin = Deb.open(run(tmp_path / "plugin", items[3:4]).path)
    assert "shlibs" not in plugin.control_files
    assert "triggers" not in plugin.control_files


def test_what_a_package_says_of_its_libraries_stays(tmp_path: Path) -> None:
    items = [Item("./usr/lib/libone.so.1", debs.elf(soname="libone.so.1"))]
    own = {"shlibs": b"libone 1 one\n", "triggers": b"activate ldconfig\n"}
    package = Deb.open(run(tmp_path, items, PLAIN, **own).path)
    assert {name: package.control_files[name] for name in own} == own


@pytest.mark.parametrize("data", [b"", b"\x7fELF", debs.elf(soname="a")[:150], b"x" * 200])
def test_no_soname_in_what_is_no_library(tmp_path: Path, data: bytes) -> None:
    package = Deb.open(run(tmp_path, [Item("./usr/lib/libx.so.1", data)], PLAIN).path)
    assert "shlibs" not in package.control_files


def test_python(tmp_path: Path) -> None:
    home = "/usr/lib/python3/dist-packages"
    items = [
        Item("./usr/lib/python3.11/site-packages/one/__init__.py", b""),
        Item("./usr/lib/python3.11/site-packages/one/__pycache__/a.pyc", b""),
        Item(f".{home}/xc.cpython-311-x86_64-linux-gnu.so", debs.elf()),
        Item(f".{home}/old.pyc", b""),
    ]
    package = Deb.open(
        run(tmp_path, items, postinst=b"#!/bin/sh\nset -e\necho hello\nexit 0\n").path
    )
    there = modes(package)
    assert f"{home}/one/__init__.py" in there
    assert not [p for p in there if "cache" in p or p.endswith(".pyc") or "python3.11" in p]
    assert package.control["Depends"] == "python3 (<< 3.12), python3 (>= 3.11~)"
    postinst = package.control_files["postinst"].decode()
    assert "echo hello" in postinst
    assert "py3compile -p xx" in postinst
    assert postinst.index("echo hello") < postinst.index("py3compile")
    assert "py3clean -p xx" in package.control_files["prerm"].decode()
    assert package.control_modes["prerm"] == 0o755
    for name in ("postinst", "prerm"):
        script = tmp_path / name
        script.write_bytes(package.control_files[name])
        done = subprocess.run(
            ["/bin/sh", script, "configure"], check=True, capture_output=True, env={"PATH": "/none"}
        )
        assert done.stdout == (b"hello\n" if name == "postinst" else b"")
    plain = Deb.open(run(tmp_path / "plain", [Item(f".{home}/two.py", b"")]).path)
    assert plain.control["Depends"] == "python3"


def test_a_script_in_another_language_is_left_alone(tmp_path: Path) -> None:
    items = [Item("./usr/lib/python3/dist-packages/two.py", b"")]
    done = run(tmp_path, items, postinst=b"#!/usr/bin/perl\n1;\n")
    assert Deb.open(done.path).control_files["postinst"] == b"#!/usr/bin/perl\n1;\n"
    assert any("perl" in note for note in done.notes)


def test_run_is_made_at_each_boot(tmp_path: Path) -> None:
    items = [
        folder("./run/x/", mode=0o700),
        folder("./var/run/y/"),
        folder("./var/lock/z/"),
        folder("./var/lib/x/"),
        folder("./running/"),
        folder("./var/lock/gone/"),
        folder("./var/lock/gone/too/"),
    ]
    unwanted = dataclasses.replace(PLAIN, remove=("/var/lock/gone",))
    package = Deb.open(run(tmp_path, items, unwanted).path)
    there = modes(package)
    assert not [p for p in there if p.startswith(("/run/", "/var/run", "/var/lock")) or p == "/run"]
    assert {"/var/lib/x", "/running"} <= set(there)
    assert content(package)["/usr/lib/tmpfiles.d/xx.conf"].decode().splitlines()[1:] == [
        "d /run/lock/z 0755 root root -",
        "d /run/x 0700 root root -",
        "d /run/y 0755 root root -",
    ]
    assert "systemd-tmpfiles" in package.control_files["postinst"].decode()


def test_documents(tmp_path: Path) -> None:
    doc = "./usr/share/doc/xx"
    items = [
        Item("./usr/share/man/man1/xl.1", b".TH xl 1\n", mode=0o755),
        symlink("./usr/share/man/man1/xm.1", "xl.1"),
        hardlink("./usr/share/man/man1/xn.1", "./usr/share/man/man1/xl.1"),
        Item("./usr/share/man/de/man5/xl.cfg.5", b".TH\n"),
        Item(f"{doc}/large.txt", b"l" * 5000),
        Item(f"{doc}/small.txt", b"s"),
        Item(f"{doc}/page.html", b"h" * 5000),
    ]
    (tmp_path / "copyright").write_text("free\n")
    (tmp_path / "changes").write_text("upstream\n")
    beside = Beside(
        copyright=tmp_path / "copyright", changelog=tmp_path / "changes", suite="bookworm"
    )
    package = Deb.open(run(tmp_path, items, beside=beside).path)
    files = content(package)
    assert gzip.decompress(files["/usr/share/man/man1/xl.1.gz"]) == b".TH xl 1\n"
    # RFC 1952: no flags, so no name; no time; compressed as well as can be.
    assert files["/usr/share/man/man1/xl.1.gz"][3:9] == b"\0\0\0\0\0\x02"
    assert modes(package)["/usr/share/man/man1/xl.1.gz"] == 0o644
    links = {e.path: e.info.linkname for e in package.index.entries if e.info.linkname}
    assert links == {
        "/usr/share/man/man1/xm.1.gz": "xl.1.gz",
        "/usr/share/man/man1/xn.1.gz": "./usr/share/man/man1/xl.1.gz",
    }
    assert "/usr/share/man/de/man5/xl.cfg.5.gz" in files
    assert {p.removeprefix("/usr/share/doc/xx/") for p in files if "/doc/" in p} == {
        "large.txt.gz",
        "small.txt",
        "page.html",
        "copyright",
        "changelog.Debian.gz",
        "changelog.gz",
    }
    assert files["/usr/share/doc/xx/copyright"] == b"free\n"
    assert gzip.decompress(files["/usr/share/doc/xx/changelog.gz"]) == b"upstream\n"
    changelog = gzip.decompress(files["/usr/share/doc/xx/changelog.Debian.gz"]).decode()
    assert changelog.startswith("xx (1.0-1) bookworm; urgency=medium\n\n  * ")
    assert changelog.endswith(
        "\n\n -- Some One <some.one@example.org>  Thu, 10 Jan 2008 21:20:00 +0000\n"
    )
    if shutil.which("dpkg-parsechangelog"):
        said = subprocess.run(
            ["dpkg-parsechangelog", "-l-", "-S", "Version"],
            input=changelog,
            text=True,
            check=True,
            capture_output=True,
        )
        assert said.stdout == "1.0-1\n"


@pytest.mark.parametrize(("address", "stays"), [("a@b.org", True), ("a@box", False)])
def test_an_older_changelog_stays_below(tmp_path: Path, address: str, stays: bool) -> None:
    date = "Thu, 10 Jan 2008 22:00:00 +0000"
    before = f"xx (0.9) sid; urgency=low\n\n  * a\n\n -- A <{address}>  {date}\n"
    path = "./usr/share/doc/xx/changelog.Debian.gz"
    package = Deb.open(run(tmp_path, [Item(path, gzip.compress(before.encode()))]).path)
    text = gzip.decompress(content(package)[path[1:]]).decode()
    assert text.startswith("xx (1.0-1)")
    assert (before in text) is stays
    # Never of the time of the one below it, or before that.
    first = "Thu, 10 Jan 2008 22:00:01" if stays else "Thu, 10 Jan 2008 21:20:00"
    assert f"  {first} +0000\n" in text


def test_documents_of_a_native_package(tmp_path: Path) -> None:
    doc = "/usr/share/doc/xx"
    own = [
        Item(f".{doc}/changelog.gz", gzip.compress(b"upstream's")),
        Item(f".{doc}/copyright", b"c"),
    ]
    corrections = Corrections(maintainer=PLAIN.maintainer, copyright="stated\n")
    files = content(Deb.open(run(tmp_path, own, corrections, version="1.0").path))
    assert files[f"{doc}/copyright"] == b"stated\n"
    assert gzip.decompress(files[f"{doc}/changelog.upstream.gz"]) == b"upstream's"
    assert gzip.decompress(files[f"{doc}/changelog.gz"]).startswith(b"xx (1.0)")


def test_a_copyright_that_is_stated_stands_above_the_sources(tmp_path: Path) -> None:
    (tmp_path / "copyright").write_text("of the source\n")
    beside = Beside(copyright=tmp_path / "copyright")
    corrections = Corrections(maintainer=PLAIN.maintainer, copyright="\nstated\n")
    done = run(tmp_path, [Item("./usr/bin/a", b"")], corrections, beside=beside)
    assert content(Deb.open(done.path))["/usr/share/doc/xx/copyright"] == (
        b"stated\n\nof the source\n"
    )


def test_move_modes_and_links(tmp_path: Path) -> None:
    corrections = Corrections(
        move={"/etc/bash_completion.d": "/usr/share/bash-completion/completions"},
        modes={"/var/lib/x": "0700"},
    )
    items = [
        Item("./etc/bash_completion.d/xl", b"complete"),
        Item("./etc/x.conf", b"a"),
        folder("./var/lib/x/"),
        symlink("./usr/bin/pygrub", "/usr/lib/xen/bin/pygrub"),
        symlink("./etc/y", "/usr/share/y"),
    ]
    package = Deb.open(
        run(tmp_path, items, corrections, conffiles=b"/etc/bash_completion.d/xl\n").path
    )
    there = modes(package)
    assert "/usr/share/bash-completion/completions/xl" in there
    assert "/etc/bash_completion.d" not in there
    assert package.conffiles == ("/etc/x.conf",)
    assert there["/var/lib/x"] == 0o700
    links = {e.path: e.info.linkname for e in package.index.entries if e.info.issym()}
    assert links == {"/usr/bin/pygrub": "../lib/xen/bin/pygrub", "/etc/y": "/usr/share/y"}


def test_passages_are_replaced_in_turn(tmp_path: Path) -> None:
    corrections = dataclasses.replace(
        PLAIN,
        replace=(
            Replacement("/etc/init.d/*", "start 2 3 5\n", "start 2 3 4 5\n"),
            Replacement("/etc/init.d/b", "2 3 4 5", "S"),
            Replacement("/usr/share/man/man8/b.8", "old", "new"),
        ),
    )
    items = [
        Item("./etc/init.d/a", b"#!/bin/sh\nstart 2 3 5\n", mode=0o755),
        Item("./etc/init.d/b", b"start 2 3 5\n", mode=0o755),
        Item("./usr/share/man/man8/b.8", b"old page"),
    ]
    package = Deb.open(run(tmp_path, items, corrections).path)
    found = content(package)
    assert found["/etc/init.d/a"] == b"#!/bin/sh\nstart 2 3 4 5\n"
    assert found["/etc/init.d/b"] == b"start S\n"
    # What comes after it, such as compression, goes on from the new text.
    assert gzip.decompress(found["/usr/share/man/man8/b.8.gz"]) == b"new page"
    assert modes(package)["/etc/init.d/a"] == 0o755


@pytest.mark.parametrize(
    ("path", "old", "what"),
    [
        ("/etc/absent", "x", "matches no file"),
        ("/etc/a", "absent", "0 times, not once"),
        ("/etc/a", "one", "2 times, not once"),
        ("/etc/a", "", "0 times, not once"),
        ("/etc/*", "two", "/etc/b has 'two' 0 times"),
    ],
)
def test_a_passage_that_is_not_there_once(tmp_path: Path, path: str, old: str, what: str) -> None:
    items = [Item("./etc/a", b"one one two"), Item("./etc/b", b"one")]
    corrections = dataclasses.replace(PLAIN, replace=(Replacement(path, old, "new"),))
    with pytest.raises(BuildError, match=what) as caught:
        run(tmp_path, items, corrections)
    assert caught.value.hint
    assert not list((tmp_path / "out").glob("*"))


def test_conffiles_that_go_leave_hosts_that_have_them(tmp_path: Path) -> None:
    corrections = dataclasses.replace(
        PLAIN,
        revision="+1",
        remove=("/etc/gone/b", "/etc/away.d/y"),
        move={"/etc/away.d/x": "/usr/share/x", "/etc/old": "/etc/new/old"},
    )
    items = [
        Item("./etc/gone/b", b"b"),
        Item("./etc/gone/c", b"c"),
        Item("./etc/away.d/x", b"x"),
        Item("./etc/away.d/y", b"never a conffile"),
        Item("./etc/old", b"old"),
    ]
    listed = b"/etc/gone/b\n/etc/gone/c\n/etc/away.d/x\n/etc/old\n"
    package = Deb.open(run(tmp_path, items, corrections, conffiles=listed).path)
    lines = [
        "dpkg-maintscript-helper rm_conffile /etc/gone/b 1.0-1+1~",
        "dpkg-maintscript-helper rm_conffile /etc/away.d/x 1.0-1+1~",
        "dpkg-maintscript-helper mv_conffile /etc/old /etc/new/old 1.0-1+1~",
    ]
    for script in ("preinst", "postinst", "postrm"):
        text = package.control_files[script].decode()
        assert text.count("dpkg-maintscript-helper") == len(lines)
        assert all(f'{line} -- "$@"\n' in text for line in lines)
    text = package.control_files["postinst"].decode()
    assert "rmdir --ignore-fail-on-non-empty /etc/away.d\n" in text
    assert "rmdir --ignore-fail-on-non-empty /etc/gone" not in text
    # dpkg calls the new postrm where an installation failed, for the old file to come back.
    assert '"$1" = "abort-install"' in package.control_files["postrm"].decode()
    assert package.conffiles == ("/etc/gone/c", "/etc/new/old")


def test_a_renamed_package_takes_no_conffiles_away(tmp_path: Path) -> None:
    corrections = dataclasses.replace(PLAIN, package="yy", remove=("/etc/b",))
    done = run(tmp_path, [Item("./etc/b", b"b")], corrections, conffiles=b"/etc/b\n")
    assert not {"preinst", "postinst", "postrm"} & set(Deb.open(done.path).control_files)


@pytest.mark.parametrize(
    "wrong",
    [
        Corrections(move={"etc": "/x"}),
        Corrections(move={"/a": "/../x"}),
        Corrections(modes={"/x": "rwx"}),
    ],
)
def test_corrections_that_are_wrong(tmp_path: Path, wrong: Corrections) -> None:
    with pytest.raises(BuildError):
        run(tmp_path, [Item("./a", b"")], wrong)


def test_each_correction_can_be_left_out(tmp_path: Path) -> None:
    items = [
        Item("./usr/lib/libone.so.1", debs.elf(soname="libone.so.1"), mode=0o755),
        Item("./usr/lib/python3/dist-packages/__pycache__/a.pyc", b""),
        Item("./usr/share/man/man1/xl.1", b""),
        folder("./run/x/"),
        symlink("./usr/bin/a", "/usr/lib/a"),
        Item("./etc/a", b""),
    ]
    names = ("symbols", "libraries", "python", "runtime", "documents", "links", "conffiles")
    none = Corrections(**dict.fromkeys(names, False))  # type: ignore[arg-type]
    raw = Deb.open(debs.make(tmp_path / "before.deb", items))
    package = Deb.open(run(tmp_path, items, none).path)
    assert modes(package) == modes(raw)
    assert set(package.control_files) == {"control", "md5sums"}


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"xx (0.9) sid; urgency=low\n")[:-9],
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xff\xff\xff\xff",
        gzip.compress(b"xx (0.9)\n" + bytes(64 << 20)),
    ],
    ids=["truncated", "damaged", "bomb"],
)
def test_a_changelog_that_cannot_be_read_is_replaced(tmp_path: Path, packed: bytes) -> None:
    path = "./usr/share/doc/xx/changelog.Debian.gz"
    package = Deb.open(run(tmp_path, [Item(path, packed)]).path)
    text = gzip.decompress(content(package)[path[1:]]).decode()
    assert text.startswith("xx (1.0-1)")
    assert "0.9" not in text


@pytest.mark.slow
def test_documents_that_are_too_large_in_all_stay_as_they_are(tmp_path: Path) -> None:
    doc = "./usr/share/doc/xx"
    items = [Item(f"{doc}/{n}", bytes(24 << 20)) for n in "abc"]
    package = Deb.open(run(tmp_path, [*items, symlink(f"{doc}/d", "c")]).path)
    names = {e.path.rpartition("/")[2]: e.info.linkname for e in package.index.entries}
    assert {"a.gz", "b.gz", "c", "d"} <= set(names)
    assert names["d"] == "c"


def test_symbols_of_a_package_of_symbols_stay(tmp_path: Path) -> None:
    beside = handed(tmp_path / "symbols.tar", {"debug/usr/lib/debug/y": b"y"}, {})
    corrections = dataclasses.replace(PLAIN, package="xx-dbg")
    done = run(tmp_path, [Item("./usr/lib/debug/y", b"y")], corrections, beside=beside)
    assert done.symbols is None
    assert "/usr/lib/debug/y" in modes(Deb.open(done.path))


def test_a_folder_of_documents_that_is_a_link_stays_one(tmp_path: Path) -> None:
    items = [symlink("./usr/share/doc/xx", "yy"), Item("./usr/bin/x", b"")]
    done = run(tmp_path, items)
    assert not done.notes
    assert [p for p in modes(Deb.open(done.path)) if "/doc/" in p] == ["/usr/share/doc/xx"]
    stated = dataclasses.replace(PLAIN, copyright="free")
    with pytest.raises(BuildError, match="is a link to yy") as caught:
        run(tmp_path / "stated", items, stated)
    assert 'remove = ["/usr/share/doc/xx"]' in caught.value.hint
    stated = dataclasses.replace(stated, remove=("/usr/share/doc/xx",))
    package = Deb.open(run(tmp_path / "own", items, stated).path)
    assert "/usr/share/doc/xx/copyright" in modes(package)
    for script in ("preinst", "postinst", "postrm"):  # dpkg would keep the link in an upgrade
        line = b'dpkg-maintscript-helper symlink_to_dir /usr/share/doc/xx yy 1.0-1~ -- "$@"'
        assert line in package.control_files[script]


def test_documents_that_are_links(tmp_path: Path) -> None:
    doc = "./usr/share/doc/xx"
    items = [
        symlink(f"{doc}/changelog.Debian.gz", "../yy/changelog.Debian.gz"),
        symlink(f"{doc}/copyright", "../yy/copyright"),
    ]
    package = Deb.open(run(tmp_path, items, dataclasses.replace(PLAIN, copyright="free")).path)
    assert content(package) == {"/usr/share/doc/xx/copyright": b"free\n"}


def test_documents_follow_the_name(tmp_path: Path) -> None:
    items = [Item("./usr/share/doc/xx/copyright", b"free"), Item("./usr/share/doc/xxl/a", b"a")]
    done = run(
        tmp_path,
        items,
        dataclasses.replace(PLAIN, package="yy"),
        postinst=b"#!/bin/sh\ncp /usr/share/xx/a /a\n",
        prerm=b"#!/bin/sh\ndeluser xx\n",
    )
    there = modes(Deb.open(done.path))
    assert {p for p in there if p.startswith("/usr/share/doc/")} == {
        "/usr/share/doc/xxl",
        "/usr/share/doc/xxl/a",
        "/usr/share/doc/yy",
        "/usr/share/doc/yy/copyright",
        "/usr/share/doc/yy/changelog.Debian.gz",
    }
    assert done.notes == ("prerm names xx, which is yy now",)


def test_a_license_that_every_system_has_is_named(tmp_path: Path) -> None:
    (tmp_path / "copying").write_text(
        "What is free.\n\n\t\t GNU GENERAL PUBLIC LICENSE\n\t Version 2, June 1991\n\n a\n"
        "\t END OF TERMS AND CONDITIONS\n\n\tHow to Apply These Terms to Your Program\n\nb\n"
    )
    package = Deb.open(run(tmp_path, [], beside=Beside(copyright=tmp_path / "copying")).path)
    assert content(package)["/usr/share/doc/xx/copyright"] == (
        b"What is free.\n\n"
        b"The GNU General Public License, version 2: /usr/share/common-licenses/GPL-2"
    )


def test_what_is_compressed_has_no_time(tmp_path: Path) -> None:
    stamped = gzip.compress(b"x", mtime=7)
    plain = stamped[:4] + bytes(4) + stamped[8:]
    paths = ("./boot/xen-1.gz", "./usr/share/man/man1/a.1.gz", "./usr/share/xx/data.gz")
    done = run(tmp_path, [Item(path, stamped) for path in paths])
    found = content(Deb.open(done.path))
    assert [found[path[1:]] for path in paths] == [plain, plain, stamped]


def test_a_changelog_that_has_the_version_stays(tmp_path: Path) -> None:
    before = b"xx (1.0-1) sid; urgency=low\n\n  * a\n\n -- A <a@b.org>  Thu, 10 Jan 2008\n"
    path = "./usr/share/doc/xx/changelog.Debian.gz"
    items = [Item(path, gzip.compress(before)), Item("./usr/share/doc/xx/copyright", b"free")]
    package = Deb.open(run(tmp_path, items, beside=Beside(suite="bookworm")).path)
    assert gzip.decompress(content(package)[path[1:]]) == before


def test_a_package_of_the_installer_has_no_documents(tmp_path: Path) -> None:
    raw = debs.make(tmp_path / "x.udeb", [Item("./bin/x", b"")])
    done = finish(raw, PLAIN, elf_depends=(), destination_dir=tmp_path / "out", epoch=EPOCH)
    assert done.path.name == "sample_1.0_amd64.udeb"
    assert not [p for p in modes(Deb.open(done.path)) if "doc" in p]


def test_python_2(tmp_path: Path) -> None:
    items = [
        Item("./usr/lib/python2.7/site-packages/one.py", b""),
        Item("./usr/lib/python2.7/dist-packages/two/three.py", b""),
        Item("./usr/lib/python2.7/dist-packages/two/three.pyc", b""),
        Item("./usr/lib/python2.7/dist-packages/xc.so", debs.elf()),
    ]
    package = Deb.open(run(tmp_path, items).path)
    assert {p for p in modes(package) if p.startswith("/usr/lib/python2.7/dist-packages/")} == {
        f"/usr/lib/python2.7/dist-packages/{name}"
        for name in ("one.py", "two", "two/three.py", "xc.so")
    }
    assert "Depends" not in package.control
    assert "    pycompile -p xx\n" in package.control_files["postinst"].decode()
    assert "    pyclean -p xx\n" in package.control_files["prerm"].decode()
    assert "py3" not in package.control_files["postinst"].decode()


def test_python_as_its_build_left_it_stays(tmp_path: Path) -> None:
    items = [Item("./usr/lib/python3/dist-packages/two.py", b"")]
    postinst = b"#!/bin/sh\nset -e\npy3compile -p xx:amd64 -V 3.11-\n"
    raw = debs.make(
        tmp_path / "raw.deb",
        items,
        control={"Package": "xx", "Depends": "python3:any"},
        files={"postinst": postinst},
    )
    done = finish(raw, PLAIN, elf_depends=(), destination_dir=tmp_path / "out", epoch=EPOCH)
    package = Deb.open(done.path)
    assert package.control["Depends"] == "python3:any"
    assert package.control_files["postinst"] == postinst
    assert "prerm" not in package.control_files
    renamed = dataclasses.replace(PLAIN, package="yy")
    done = finish(raw, renamed, elf_depends=(), destination_dir=tmp_path / "yy", epoch=EPOCH)
    assert Deb.open(done.path).control_files["postinst"] == postinst.replace(b"xx", b"yy")
    assert not [note for note in done.notes if "names xx" in note]
