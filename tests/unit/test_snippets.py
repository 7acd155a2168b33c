# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines that `finish` adds to maintainer scripts: they run, and the script's own part as before."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builders.debkit.corrections import Corrections
from builders.debkit.deb import Deb
from builders.debkit.finish import Finished, finish
from builders.debkit.finish.snippets import joined
from tests.unit import debs
from tests.unit.debs import Item, symlink

SH = "#!/bin/sh\nset -e\n"


def ran(tmp_path: Path, script: str, *, shell: str = "sh") -> tuple[int, str]:
    """Exit status and output of a script that is configured; `tool` fails, `good` does not."""
    for name, status in (("tool", 1), ("good", 0)):
        command = tmp_path / name
        command.write_text(f"#!/bin/sh\nexit {status}\n")
        command.chmod(0o755)
    path = tmp_path / "postinst"
    path.write_text(script)
    done = subprocess.run(
        [shell, str(path), "configure"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "body",
    [
        "echo own\n",
        "echo own\nexit 0\n",
        "echo own\nexit 0",
        "echo own\ntool || exit 0\n",
        "echo own\ngood && exit 0\n",
        "echo own\ngood || exit 0\n",
        "echo own\nif good; then exit 0; fi\necho never\n",
        "echo own\nif good\nthen\n    exit 0\nfi\n",
        'echo own\ncase "$1" in\n    configure) exit 0 ;;\nesac\n',
        'echo own\ncase "$1" in\nconfigure)\n  exit 0\n  ;;\n*)\n  exit 1\n  ;;\nesac\nexit 0\n',
        "go() { echo own; exit 0; }\ngo\n",
        "go() {\n    echo own\n    return 0\n}\ngo\n",
        "(echo own; exit 0)\n",
        "echo own\nexec good\n",
        "exec echo own\nexit 0\n",
        "trap 'echo own' EXIT\n",
        "echo own\nexit $?\n",
        "cat >/dev/null <<EOF\nexit 0\nEOF\necho own\n",
        "set -- a b\necho own\n",
        "cat <<-'END'\n\town\n\tEND\nexit 0\n",
        "cat <<EOF\nown",
        "echo own\nshift\n",
        "echo own # exit 0\n",
        "echo 'own' && \\\nexit 0\n",
        "echo own\nwhile true; do exit 0; done\n",
        "echo own\n{ good; exit 0; }\n",
        "x=$(exit 0)\necho own\n",
        "echo own\ntest -e /nothing || \\\n    exit 0\n",
    ],
)
def test_what_is_added_runs_however_a_script_ends(tmp_path: Path, body: str) -> None:
    script = joined("postinst", SH + body, "echo added\n", before=False)
    assert script is not None
    status, output = ran(tmp_path, script)
    assert (status, output.split()) == (0, ["own", "added"])


@pytest.mark.parametrize(
    ("first", "body", "status", "output"),
    [
        (SH, "tool\necho own\n", 1, []),
        (SH, "echo own\nexit 3\n", 3, ["own"]),
        (SH, "echo own\nif good; then exit 3; fi\nexit 0\n", 3, ["own"]),
        (SH, "echo own\ntool || exit 7\nexit 0\n", 7, ["own"]),
        ("#!/bin/sh -e\n", "exec tool\n", 1, []),
        # It goes on after what fails, as it did.
        ("#!/bin/sh\n", "tool\necho own\nif good; then exit 0; fi\n", 0, ["own", "added"]),
        ("#!/bin/sh\n", "echo own\nif good; then exit 0; fi\ntool\n", 0, ["own", "added"]),
    ],
)
def test_a_failure_of_its_own_counts(
    tmp_path: Path, first: str, body: str, status: int, output: list[str]
) -> None:
    script = joined("postinst", first + body, "echo added\n", before=False)
    assert script is not None
    assert ran(tmp_path, script) == (status, "".join(f"{word}\n" for word in output))


def test_the_words_exit_0_alone_are_never_taken(tmp_path: Path) -> None:
    script = joined("postinst", f"{SH}tool || exit 0\n", "echo added\n", before=False)
    assert script is not None
    assert "tool || exit 0\n" in script
    assert ran(tmp_path, script) == (0, "added\n")


def test_debconf_stays_at_the_top() -> None:
    head = f"{SH}. /usr/share/debconf/confmodule\n"
    script = joined("postinst", f"{head}db_get x || exit 0\n", "echo added\n", before=False)
    assert script is not None
    assert script.startswith(head)
    assert script.index("confmodule") < script.index("\n(\n") < script.index("db_get")
    inside = f"{SH}if good; then\n    . /usr/share/debconf/confmodule\n    exit 0\nfi\n"
    assert joined("postinst", inside, "echo added\n", before=False) is None


@pytest.mark.parametrize(
    "script",
    [
        "#!/usr/bin/perl\nexit 0;\n",
        "#!/usr/bin/env bash -e\n",
        "#!/bin/sh\r\nset -e\r\n",
        f"{SH}if true; then\n",
        "\x7fELF",
    ],
)
def test_nothing_is_added_to_what_is_no_script_of_a_shell(script: str) -> None:
    assert joined("postinst", script, "echo added\n", before=False) is None


def made(tmp_path: Path, *items: Item, **files: bytes) -> tuple[Finished, Deb]:
    raw = debs.make(
        tmp_path / "raw.deb", items, files=files, extra=[("_gpgbuilder", b"a signature")]
    )
    corrections = Corrections(maintainer="Some One <some.one@example.org>")
    done = finish(
        raw, corrections, elf_depends=(), destination_dir=tmp_path / "out", epoch=1_200_000_000
    )
    return done, Deb.open(done.path)


def test_what_dpkg_would_refuse_is_mended(tmp_path: Path) -> None:
    done, package = made(
        tmp_path,
        Item("./etc/x.conf", b"1"),
        symlink("./lib/modules/6.1-x/build", "/home/me/linux"),
        symlink("./lib/modules/6.1-x/source", "../../../build/linux"),
        symlink("./lib/modules/6.1-y/build", "/usr/src/linux-headers-6.1-y"),
        conffiles=b"etc/x.conf\nkeep-on-upgrade /etc/x.conf\n/etc/none\n"
        b"remove-on-upgrade /etc/old x",
        triggers=b"# a comment\r\nactivate-noawait x\r",
        postinst=b"#!/bin/sh\nset -e\n",
        prerm=b"#!/bin/sh\r\nset -e\r\n",
        postrm=b"#!/bin/sh\nprintf 'a\r\n'\n",
    )
    files = package.control_files
    assert files["conffiles"] == b"remove-on-upgrade /etc/old x\n/etc/x.conf\n"
    assert files["triggers"] == b"# a comment\nactivate-noawait x\n"
    assert files["prerm"] == b"#!/bin/sh\nset -e\n"
    assert files["postrm"] == b"#!/bin/sh\nprintf 'a\r\n'\n"
    assert package.control_modes["postinst"] == 0o755
    links = {e.path for e in package.index.entries if e.info.issym()}
    assert links == {"/lib/modules/6.1-y/build"}
    assert "_gpgbuilder" not in {member.name for member in package.members}
    for words in ("_gpgbuilder", "/home/me/linux", "../../../build/linux", "triggers", "/etc/none"):
        assert any(words in note for note in done.notes), words


def test_a_signature_of_what_stays_as_it_is_stays(tmp_path: Path) -> None:
    from builders.debkit import deb

    raw = debs.make(tmp_path / "raw.deb", extra=[("_gpgbuilder", b"a signature")])
    once = deb.rewrite(raw, tmp_path / "once.deb", deb.Edit())
    again = deb.rewrite(once, tmp_path / "again.deb", deb.Edit())
    assert again.read_bytes() == once.read_bytes()


@pytest.mark.parametrize("epoch", [0, -1, 253_402_300_800, 999_999_999_999])
def test_a_time_that_is_no_date(tmp_path: Path, epoch: int) -> None:
    raw = debs.make(tmp_path / "raw.deb", [Item("./usr/share/x/y", b"1")])
    done = finish(raw, Corrections(), elf_depends=(), destination_dir=tmp_path / "out", epoch=epoch)
    assert Deb.open(done.path).control["Package"] == "sample"
