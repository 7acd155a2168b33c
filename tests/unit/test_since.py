# SPDX-License-Identifier: GPL-2.0-or-later
"""What came into dpkg later than a suite: found by the audit, and never written by `finish`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builders.debkit.audit import Expectations, audit
from builders.debkit.corrections import Corrections
from builders.debkit.deb import Deb
from builders.debkit.deb.since import script_faults
from builders.debkit.finish import Beside, Finished, finish
from builders.errors import BuildError
from tests.unit import debs
from tests.unit.debs import Item, symlink

SH = b"#!/bin/sh\nset -e\n"
INIT = Item("./etc/init.d/old", b"#!/bin/sh\nexit 0\n", mode=0o755)


def written(folder: Path, items: list[Item], stated: Corrections, **files: bytes) -> Finished:
    """A package finished for wheezy."""
    folder.mkdir(exist_ok=True)
    raw = debs.make(folder / "raw.deb", items, control={"Version": "1.0-1"}, files=files)
    beside = Beside(suite="wheezy")
    out = folder / "out"
    return finish(raw, stated, elf_depends=(), destination_dir=out, epoch=1, beside=beside)


def rules(path: Path, suite: str) -> dict[str, str]:
    found = audit(path, Expectations(suite=suite)).findings
    return {finding.rule: finding.message for finding in found}


@pytest.mark.parametrize(
    ("line", "first", "before"),
    [
        ('dpkg-maintscript-helper symlink_to_dir /a b 1 -- "$@"', "jessie", "wheezy"),
        ('dpkg-maintscript-helper dir_to_symlink /a b 1 -- "$@"', "jessie", "wheezy"),
        ("dpkg-divert --package x --no-rename --divert /b --add /a", "buster", "stretch"),
        ('real="$(dpkg-realpath /a)"', "bullseye", "buster"),
        ("dpkg-trigger --await x", "jessie", "wheezy"),
        ("if dpkg --verify x; then :; fi", "jessie", "wheezy"),
        ("dpkg --validate-version 1", "stretch", "jessie"),
        ("dpkg --robot --version", "bullseye", "buster"),
        ("update-rc.d x defaults-disabled >/dev/null", "buster", "stretch"),
        ("deb-systemd-helper unmask x.service", "jessie", "wheezy"),
        ("deb-systemd-invoke start x.service || true", "jessie", "wheezy"),
    ],
)
def test_a_word_that_came_later(line: str, first: str, before: str) -> None:
    text = f"#!/bin/sh\nset -e\n{line}\n"
    assert not list(script_faults(text, first))
    ((number, why),) = script_faults(text, before)
    assert number == 3
    assert f"{before} has 1." in why


@pytest.mark.parametrize(
    "text",
    [
        'dpkg-maintscript-helper rm_conffile /etc/a 1 -- "$@"',
        "if dpkg-maintscript-helper supports dir_to_symlink; then\n"
        '    dpkg-maintscript-helper dir_to_symlink /a b 1 -- "$@"\nfi',
        'if [ -x "$(command -v deb-systemd-helper)" ]; then\n    deb-systemd-helper purge x\nfi',
        "if [ -d /run/systemd/system ]; then\n    deb-systemd-invoke start x\nfi",
        "if which dpkg-realpath >/dev/null; then dpkg-realpath /a; fi",
        "dpkg-divert --rename --add /a",
        "dpkg-trigger --no-await x",
        "dpkg --validate; dpkg-query --verifyx",
        "# dpkg --robot\necho 'dpkg --robot' ",
        "cat <<E\ndpkg --robot\nE",
        "update-rc.d x defaults",
    ],
)
def test_what_wheezy_knows_or_is_asked_for_first(text: str) -> None:
    assert not list(script_faults(f"#!/bin/sh\n{text}\n", "wheezy"))


def test_inspect_tells_it_for_a_stated_suite_alone(tmp_path: Path) -> None:
    path = debs.make(tmp_path / "a.deb", [], files={"postinst": SH + b"dpkg --robot --version\n"})
    assert "1.20.1" in rules(path, "wheezy")["script-of-suite"]
    assert "script-of-suite" not in rules(path, "bookworm")
    assert "script-of-suite" not in rules(path, "")


def test_pipefail_is_no_word_of_debians_sh(tmp_path: Path) -> None:
    for line, there in ((b"set -eo pipefail\n", True), (b"set -u\n", False)):
        path = debs.make(tmp_path / f"{there}.deb", [], files={"postinst": SH + line})
        assert ("script-bashism" in rules(path, "")) is there


def test_a_conffile_that_an_old_dpkg_does_not_remove(tmp_path: Path) -> None:
    files = {"conffiles": b"remove-on-upgrade /etc/gone\n"}
    path = debs.make(tmp_path / "a.deb", [], files=files)
    told = [f.message for f in audit(path, Expectations(suite="buster")).findings]
    assert any("which dpkg heeds from 1.20.6 on" in message for message in told)
    told = [f.message for f in audit(path, Expectations(suite="bullseye")).findings]
    assert not any("heeds" in message for message in told)


# What is finished for wheezy


def test_nothing_that_wheezys_dpkg_refuses_is_written(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="interest-await"):
        written(tmp_path / "a", [], Corrections(), triggers=b"interest-await /x\n")
    with pytest.raises(BuildError, match=r"compression zstd: data\.tar\.zst is read from dpkg"):
        written(tmp_path / "b", [], Corrections(compression="zstd"))
    for compression in ("gzip", "xz", ""):
        done = written(tmp_path / f"c{compression}", [], Corrections(compression=compression))
        assert not {"compression-of-suite", "unreadable"} & set(rules(done.path, "wheezy"))


def test_what_the_packages_own_script_calls_is_noted(tmp_path: Path) -> None:
    done = written(tmp_path, [], Corrections(), postinst=SH + b"dpkg --robot --version\n")
    (note,) = (note for note in done.notes if "robot" in note)
    assert note.startswith("postinst, line 3: dpkg --robot is known from dpkg 1.20.1 on")


def test_a_service_that_is_not_to_start(tmp_path: Path) -> None:
    """update-rc.d(8) of wheezy has no defaults-disabled, and what is registered stays."""
    done = written(tmp_path, [INIT], Corrections(services={"old": "manual"}))
    assert not {"script-of-suite"} & set(rules(done.path, "wheezy"))
    text = Deb.open(done.path).control_files["postinst"].decode()
    box = tmp_path / "box"
    for folder in ("etc/init.d", "etc/rc2.d", "bin"):
        (box / folder).mkdir(parents=True)
    (box / "etc/init.d/old").write_text("")
    (box / "etc/init.d/old").chmod(0o755)
    (box / "bin/update-rc.d").write_text(f'#!/bin/sh\necho "$*" >>{box}/calls\n')
    (box / "bin/update-rc.d").chmod(0o755)
    (box / "calls").write_text("")

    def run() -> list[str]:
        (box / "calls").write_text("")
        subprocess.run(
            ["sh", "-c", text.replace("/etc/", f"{box}/etc/"), "postinst", "configure"],
            env={"PATH": f"{box}/bin:/usr/bin:/bin"},
            check=True,
        )
        return (box / "calls").read_text().splitlines()

    assert run() == ["old defaults", "old disable"]
    (box / "etc/rc2.d/S20old").symlink_to("../init.d/old")  # an administrator enabled it
    assert run() == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_link_becomes_a_folder(tmp_path: Path, fails: bool) -> None:
    """What dpkg-maintscript-helper(1) of jessie does, without it."""
    items = [symlink("./usr/share/doc/xx", "yy"), Item("./usr/bin/x", b"")]
    stated = Corrections(
        documents=True, copyright="free", remove=("/usr/share/doc/xx",), revision="+mine"
    )
    raw = debs.make(tmp_path / "raw.deb", items, control={"Package": "xx", "Version": "1.0-1"})
    beside = Beside(suite="wheezy")
    done = finish(
        raw, stated, elf_depends=(), destination_dir=tmp_path / "out", epoch=1, beside=beside
    )
    assert "script-of-suite" not in rules(done.path, "wheezy")
    scripts = Deb.open(done.path).control_files
    assert b"symlink_to_dir" not in b"".join(scripts.values())
    doc = tmp_path / "root/usr/share/doc"
    doc.mkdir(parents=True)
    (doc / "xx").symlink_to("yy")

    def run(name: str, *arguments: str) -> None:
        text = scripts[name].decode().replace("/usr/share/doc", str(doc))
        subprocess.run(["sh", "-c", text, name, *arguments], check=True)

    run("preinst", "upgrade", "2.0")  # of a version that has it already
    assert (doc / "xx").is_symlink()
    run("preinst", "upgrade", "1.0-1")
    assert not (doc / "xx").is_symlink()
    if fails:
        run("postrm", "abort-upgrade", "1.0-1")
        assert (doc / "xx").readlink() == Path("yy")
    else:
        (doc / "xx").mkdir()  # dpkg unpacks
        run("postinst", "configure", "1.0-1")
    assert not (doc / "xx.dpkg-backup").is_symlink()
