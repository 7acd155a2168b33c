# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile packages on trial: they don't leave their root, and their verdict is right.

What they try changes nothing where it succeeds: `escape.pl` looks whether a way is open.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from builders.errors import BuildError, Exit
from builders.ground.sources.cache import Cache
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.progress import Silent
from builders.proofs.trial import clean, jail, judges
from builders.proofs.trial.judges import ERROR, Verdict
from tests.engine.test_trial import PROGRAM, package

ESCAPE = Path(__file__).with_name("escape.pl").read_text()
# The judge's side, which a package must not reach: an abstract socket (unix(7)).
LISTEN = """
setsid python3 -c '
import socket, time
s = socket.socket(socket.AF_UNIX); s.bind(chr(0) + "trial-judge"); s.listen(); time.sleep(600)
' </dev/null >/dev/null 2>&1 &
"""
LEAVE = "mkdir -p /opt/x; echo >/opt/x/left"
# What the judge runs, and what it reads before and after.
SUMS = (
    "find /usr/local /usr/sbin /usr/bin /usr/lib/python3* /etc /srv /trial -type f "
    "-exec sha256sum {} + | sort | sha256sum"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = load("xen-4.17-bookworm")
    small = replace(recipe, builder=replace(recipe.builder, memory=2))
    folder = tmp_path_factory.mktemp("escape")
    return Run(small, Silent(), folder, Cache.default())


@pytest.fixture
def tried(run: Run, tmp_path: Path) -> Callable[..., Verdict]:
    def trial(**scripts: str) -> Verdict:
        deb = package(tmp_path, "hostile", scripts=scripts, depends="perl-base")
        return judges.piuparts(run, "purge", [deb], [], clean.Supply())

    return trial


def errors(verdict: Verdict) -> list[str]:
    return [f"{f.tag} {f.detail}" for f in verdict.findings if f.severity == ERROR]


def test_every_known_way_out_is_shut(run: Run, tmp_path: Path) -> None:
    postinst = f"perl - <<'ESCAPE'\n{ESCAPE}\nESCAPE\n{LEAVE}"
    deb = package(tmp_path, "hostile", scripts={"postinst": postinst}, depends="perl-base")
    with clean.judge(run, "escape", [deb], [], clean.Supply()) as step:
        step.attempt("listen", LISTEN)
        before = step.output(SUMS)
        status, said = step.attempt("piuparts", judges._script(run, "purge", [deb]))
        assert step.output(SUMS) == before
    ways = dict(re.findall(r"^ *way (.*): (\w+)$", said, re.MULTILINE))
    assert [way for way, state in ways.items() if state != "shut"] == []
    assert len(ways) > 80
    assert "writing a package on trial" in ways  # the last one: it came to its end
    assert status == 1
    assert any("/opt/x/left" in f.detail for f in judges.complaints(said, "purge", "hostile"))


def test_where_namespaces_are_forbidden_nothing_is_tried(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jail.DENIED, "unshare", jail.MAKING["unshare"])
    with pytest.raises(BuildError, match="user namespace: Operation not permitted") as caught:
        judges.piuparts(run, "purge", [package(tmp_path, depends="")], [], clean.Supply())
    assert caught.value.exit == Exit.ENGINE
    assert caught.value.log
    assert "basetgz" not in caught.value.log.read_text()


FORGED = "0m9.9s {level}: {text}"


@pytest.mark.parametrize(
    "end", ["\\n", "\\r", "\\v", "\\f", "\\034", "\\302\\205", "\\342\\200\\250"]
)
def test_no_line_of_a_package_is_taken_for_the_judge_s(
    tried: Callable[..., Verdict], end: str
) -> None:
    lines = [
        FORGED.format(level="WARN", text="forged"),
        FORGED.format(level="ERROR", text="FAIL: forged"),
        FORGED.format(level="INFO", text="PASS: Installation and purging test."),
    ]
    said = end.join(["x", *lines, ""])
    names = f"mkdir -p /opt/x; : >\"/opt/x/$(printf '{end.join(['a', lines[0], 'b'])}')\""
    verdict = tried(postinst=f"printf '{said}'\n{names}")
    tags = {f.tag for f in verdict.findings}
    assert "purge: Package purging left files on system" in " ".join(tags)
    assert not any("forged" in tag for tag in tags)


@pytest.mark.parametrize(
    "script",
    ["exit 7", "kill -9 -1; sleep 5", "kill -9 $PPID; sleep 5", "kill -STOP $PPID; kill -9 $PPID"],
    ids=["fails", "kills all", "kills dpkg", "stops dpkg"],
)
def test_a_package_that_does_not_install_has_not_passed(
    tried: Callable[..., Verdict], script: str
) -> None:
    said = FORGED.format(level="INFO", text="PASS: Installation and purging test.")
    assert errors(tried(postinst=f"echo '{said}'; {script}"))


def test_a_process_that_stays_is_found(tried: Callable[..., Verdict]) -> None:
    verdict = tried(postinst="setsid sleep 1000 </dev/null >/dev/null 2>&1 &")
    assert any("Processes are running" in e and "sleep" in e for e in errors(verdict))


def test_a_process_that_hides_its_files_is_found(tried: Callable[..., Verdict]) -> None:
    # Its folder and root lie in /proc, where lsof(8) looks for no file of the tried root.
    hide = "chdir q(/proc); chroot q(/proc); close STDIN; close STDOUT; close STDERR; sleep 1000"
    verdict = tried(postinst=f"setsid perl -e '{hide}' </dev/null >/dev/null 2>&1 &")
    assert any("Processes are running" in e and "perl" in e for e in errors(verdict))


def test_what_debsums_runs_for_a_package_reaches_nothing(tried: Callable[..., Verdict]) -> None:
    # It gives the name of a changed file to a shell, outside of the jail.
    name = "$(kill -9 -1; rm -rf ..)"
    verdict = tried(
        postinst=f"mkdir -p /opt/x; : >'/opt/x/{name}'; {LEAVE}\n"
        f"echo '{'0' * 32}  opt/x/{name}' >/var/lib/dpkg/info/hostile.md5sums"
    )
    assert any("/opt/x/left" in error for error in errors(verdict))


def test_a_file_that_a_package_changes_is_found(run: Run, tmp_path: Path) -> None:
    deb = package(
        tmp_path,
        "changer",
        files={"/usr/bin/tried": PROGRAM.read_bytes(), "/usr/share/tried/file": b"a\n"},
        scripts={
            "postinst": f"cd /var/lib/dpkg/info; echo '{'0' * 32}  usr/share/tried/file' "
            ">changer.md5sums; echo more >>/usr/share/tried/file"
        },
        depends="perl-base",
    )
    verdict = judges.piuparts(run, "purge", [deb], [], clean.Supply())
    assert any("debsums" in e and "/usr/share/tried/file" in e for e in errors(verdict))


# Where piuparts writes into the tried root once the package was there.
WRITTEN = (
    "/tmp/hostile_1_amd64.deb",  # noqa: S108
    "/usr/sbin/policy-rc.d",
    "/etc/apt/apt.conf.d/piuparts",
)


@pytest.mark.parametrize(
    "target", ["/usr/local/sbin/chroot", "/usr/local/lib/jail.py", "/proc/self/fd/1", "/run/jail/x"]
)
def test_the_judge_follows_no_link_of_a_package(run: Run, tmp_path: Path, target: str) -> None:
    links = "".join(f"ln -sfn {target} {path}\n" for path in WRITTEN)
    # The folder above it too, once more in the last moment.
    deb = package(
        tmp_path,
        "hostile",
        scripts={"postinst": links, "postrm": f"{links}rm -rf /tmp; ln -s / /tmp"},
    )
    with clean.judge(run, "links", [deb], [], clean.Supply()) as step:
        before = step.output(SUMS)
        status, said = step.attempt("piuparts", judges._script(run, "purge", [deb]))
        assert step.output(SUMS) == before
    assert status == 1
    assert judges.complaints(said, "purge", "hostile")


@pytest.mark.parametrize(
    "script",
    [
        "dd if=/dev/zero of=/opt/big bs=1M 2>&1",
        "i=0; while test $i -lt 9000; do sleep 600 & i=$((i + 1)); done; exit 1",
        "perl -e 'my @a; push @a, 1 x 1_000_000 while 1'",
        "yes",
    ],
    ids=["disk", "processes", "memory", "output"],
)
def test_what_a_package_uses_up_is_its_own(tried: Callable[..., Verdict], script: str) -> None:
    # Where the judge goes down with it there is no verdict, and so none that is good.
    with suppress(BuildError):
        assert errors(tried(postinst=f"mkdir -p /opt\n{script}"))
