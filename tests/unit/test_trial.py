# SPDX-License-Identifier: GPL-2.0-or-later
"""Clean machines without an engine: the index of their repository, and what can fail."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.debkit.deb import Added, create
from builders.errors import BuildError, Exit, Interrupted
from builders.ground.sources.cache import Cache
from builders.ground.suite import downloads, image, mirror
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.progress import Silent
from builders.proofs.trial import cases, clean, install, judges
from builders.proofs.trial.install import FAILED, OK, SKIPPED, CaseResult
from builders.show import trials
from tests.unit import debs
from tests.unit.containers import Client, Played

SHOWN = """\
Package: libyajl2
Version: 2:2.1.0-3+deb12u2
Architecture: amd64
Depends: libc6
Filename: pool/main/y/yajl/libyajl2_2.1.0-3+deb12u2_amd64.deb
Size: 22

Package: libyajl2
Version: 1.0
Architecture: amd64
Filename: pool/main/y/yajl/libyajl2_1.0_amd64.deb
"""


@pytest.fixture(autouse=True)
def _mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mirror.MAIN, "http://mirror.invalid/debian")
    monkeypatch.setenv(mirror.SECURITY, "")


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Client], Run]:
    def start(client: Client) -> Run:
        monkeypatch.setattr(image, "exists", lambda *_: True)
        run = Run(load("xen-4.17-bookworm"), Silent(), tmp_path, Cache(tmp_path / "cache"), jobs=2)
        run._client = client  # type: ignore[assignment]
        run._swept = True
        return run

    return start


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    control = {
        "Package": "tried",
        "Version": "1:2",
        "Architecture": "amd64",
        "Maintainer": "a <a@b.invalid>",
        "Description": "short\n long",
        "Depends": "libc6 (>= 2.3), tried-data (= 1)",
        "Recommends": "one | two:any, tried",
    }
    members = [Added("/usr/sbin/xl", b"x", 0o755), Added("/usr/share/man/man1/xl.1", b"x")]
    return create(tmp_path / "tried.deb", control, members=members, epoch=1)


def test_the_index_names_the_file_its_size_and_digest(deb: Path) -> None:
    lines = clean.paragraph(deb).splitlines()
    assert "Package: tried" in lines
    assert "Filename: trial/tried.deb" in lines
    assert f"Size: {deb.stat().st_size}" in lines
    assert [len(line) for line in lines if line.startswith("SHA256: ")] == [len("SHA256: ") + 64]
    assert " long" in lines  # a field of many lines keeps its form


def playing(simulate: int = 0, download: int = 0) -> Client:
    def play(script: str) -> Played:
        if "--simulate" in script:
            return Played(status=simulate)
        if "--download-only" in script:
            return Played([b"E: Failed to fetch\n"], download)
        if "--print-uris" in script:
            return Played([b"libyajl2_2%3a2.1.0-3+deb12u2_amd64.deb\n"])
        if "apt-cache show" in script:
            return Played([SHOWN.encode()])
        return Played()

    return Client(play)


def test_downloads_are_offered_by_the_names_that_they_have_here(
    started: Callable[[Client], Run], deb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = playing()
    compared: list[object] = []
    monkeypatch.setattr(downloads, "check", lambda *words: compared.append(words[2:]))
    (found,) = clean.supply(started(client), [deb], [["tried"]]).paragraphs
    assert compared == [("/downloads", ["libyajl2_2%3a2.1.0-3+deb12u2_amd64.deb"])]
    assert "Filename: downloads/libyajl2_2%3a2.1.0-3+deb12u2_amd64.deb\n" in found
    asked = next(e[0][-1] for e in client.execs if "apt-cache show" in e[0][-1])
    assert "-- libyajl2:amd64=2:2.1.0-3+deb12u2" in asked
    (_, created), *_ = client.created
    assert created["network_mode"] is None
    assert [v["mode"] for v in created["volumes"].values()] == ["rw"]


def test_what_apt_cannot_install_at_all_is_left_to_the_trial(
    started: Callable[[Client], Run], deb: Path
) -> None:
    client = playing(simulate=100)
    assert clean.supply(started(client), [deb], [["tried"]]).paragraphs == ()
    assert not any("--download-only" in e[0][-1] for e in client.execs)


def test_a_download_that_fails_is_tried_with_new_lists_and_then_told(
    started: Callable[[Client], Run], deb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anew = []

    def made(_: Run, *, refresh: bool = False) -> str:
        anew.append(refresh)
        return "image"

    monkeypatch.setattr(clean, "machine_image", made)
    with pytest.raises(BuildError) as caught:
        clean.supply(started(playing(download=100)), [deb], [["tried"]])
    assert anew == [False, True]
    assert caught.value.exit == Exit.SOURCE
    assert "mirror" in caught.value.hint
    assert "Failed to fetch" in caught.value.excerpt


def test_offline_nothing_is_made_that_needs_the_network(
    started: Callable[[Client], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(Client())
    run.offline = True
    monkeypatch.setattr(image, "exists", lambda *_: False)
    for make in (clean.machine_image, clean.judge_image):
        with pytest.raises(BuildError, match="needs the network") as caught:
            make(run)
        assert caught.value.exit == Exit.ENGINE


def test_a_machine_has_no_network_and_only_reads_the_downloads(
    started: Callable[[Client], Run], deb: Path
) -> None:
    client = Client()
    with clean.machine(started(client), "m", [deb], clean.Supply(("Package: a\n",))):
        pass
    (_, created), *_ = client.created
    assert created["network_mode"] == "none"
    assert [v["mode"] for v in created["volumes"].values()] == ["ro"]
    assert "cap_add" not in created
    assert b"Package: a\n\nPackage: tried\n" in client.put["/trial"]


def test_no_judge_may_do_more_than_a_container(started: Callable[[Client], Run], deb: Path) -> None:
    client = Client()
    run = started(client)
    with clean.judge(run, "lintian", [deb]), clean.judge(run, "p", [deb], [], clean.Supply()):
        pass
    lintian, piuparts = (created for _, created in client.created)
    assert lintian["cap_drop"] == ["ALL"]
    assert piuparts["cap_drop"] == ["ALL"]
    assert piuparts["cap_add"] == ["SETUID", "SETGID"]
    assert (piuparts["MaskedPaths"], piuparts["ReadonlyPaths"]) == ([], [])
    assert [bind["mode"] for bind in piuparts["binds"].values()] == ["ro"]
    (profile,) = (o for o in piuparts["security_opt"] if o.startswith("seccomp="))
    (rule,) = json.loads(profile.removeprefix("seccomp="))["syscalls"]
    assert {"bpf", "keyctl", "open_by_handle_at", "init_module"} <= set(rule["names"])
    assert {c["network_mode"] for c in (lintian, piuparts)} == {"none"}


def test_where_the_machine_allows_no_namespace_there_is_no_verdict(
    started: Callable[[Client], Run], deb: Path
) -> None:
    def play(script: str) -> Played:
        if script.endswith(f"{clean.JAIL} probe"):
            return Played([b"jail: making a user namespace: Operation not permitted\n"], 97)
        return Played()

    client = Client(play)
    with pytest.raises(BuildError, match="making a user namespace: Operation not perm") as caught:
        judges.piuparts(started(client), "purge", [deb], [], clean.Supply())
    assert caught.value.exit == Exit.ENGINE
    assert "user.max_user_namespaces" in caught.value.hint
    assert not any("--basetgz" in command[-1] for command, _ in client.execs)


@pytest.mark.parametrize(
    ("tool", "said", "status"),
    [
        ("lintian", b"Can't exec: no such file\n", 255),
        ("piuparts", b"Traceback\n", 1),
        ("piuparts", b"0m1.0s ERROR: Command failed (status=97): ['chroot']\n  jail: no\n", 1),
    ],
)
def test_a_judge_that_crashed_has_given_no_verdict(
    started: Callable[[Client], Run], deb: Path, tool: str, said: bytes, status: int
) -> None:
    def play(script: str) -> Played:
        if "dpkg-query" in script:
            return Played([b"1.2"])
        return Played() if script.endswith(" probe") else Played([said], status)

    run = started(Client(play))
    asked: dict[str, Callable[[], object]] = {
        "lintian": lambda: judges.lintian(run, [deb]),
        "piuparts": lambda: judges.piuparts(run, "purge", [deb], [], clean.Supply()),
    }
    with pytest.raises(BuildError, match=f"{tool} could not do its work") as caught:
        asked[tool]()
    assert caught.value.exit == Exit.STEP
    assert caught.value.log


@pytest.mark.parametrize(
    ("said", "status", "sound"),
    [
        (b"O: a: no-manual-page [usr/bin/x]\n", 2, True),  # what --show-overrides does to it
        (b"O: a: no-manual-page [usr/bin/x]\n", 1, False),
        (b"E: a: no-copyright-file\n", 1, True),  # as before --fail-on
        (b"N: nothing\n", 2, False),
    ],
)
def test_the_status_of_lintian(
    started: Callable[[Client], Run], deb: Path, said: bytes, status: int, sound: bool
) -> None:
    def play(script: str) -> Played:
        return Played([b"1.2"]) if "dpkg-query" in script else Played([said], status)

    run = started(Client(play))
    if sound:
        assert len(judges.lintian(run, [deb]).findings) == 1
    else:
        with pytest.raises(BuildError, match="could not do its work"):
            judges.lintian(run, [deb])


def test_what_piuparts_passed_over_is_no_pass(started: Callable[[Client], Run], deb: Path) -> None:
    said = (
        b"0m1.0s INFO: Can't test upgrade: packages not known by apt-get.\n"
        b"0m1.0s INFO: PASS: All tests.\n"
    )
    run = started(Client(lambda _: Played([said])))
    verdict = judges.piuparts(run, "upgrade", [deb], [deb], clean.Supply())
    assert [f.tag for f in verdict.findings] == ["upgrade: it was not tried"]
    assert judges.exit_code([verdict]) == 1


def test_the_first_failure_ends_the_others(started: Callable[[Client], Run]) -> None:
    run = started(Client())
    ended = threading.Event()

    def fails() -> None:
        raise BuildError("it broke", exit=Exit.ENGINE)

    def waits() -> None:
        assert run.live.stopping.wait(10)
        ended.set()

    begun = time.monotonic()
    with pytest.raises(BuildError, match="it broke"):
        clean.together(run, [waits, fails])
    assert ended.is_set()
    assert time.monotonic() - begun < 5


def test_a_stop_ends_what_runs_and_is_told_as_one(
    started: Callable[[Client], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(Client())

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clean, "wait", stopped)
    with pytest.raises(Interrupted):
        clean.together(run, [lambda: run.live.stopping.wait(10)])
    assert run.live.stopping.is_set()


# Cases


def test_every_script_of_a_case_is_run_somewhere() -> None:
    subject = cases.Subject(
        names=("tried",),
        versions=("1",),
        raw=(("raw", "1"),),
        paths=frozenset(
            {
                "/usr/sbin/xl",
                "/usr/lib/python3/dist-packages/xen.py",
                "/usr/share/man/man1/xl.1.gz",
                "/etc/init.d/xen",
                "/boot/vmlinuz-6.1",
                "/usr/src/linux-headers-6.1/Makefile",
            }
        ),
    )
    run = {c.script for machine in cases.machines(subject) for c in machine.cases}
    run.add(cases.FUNCTIONS)
    names = {path.stem for path in Path(cases.__file__).with_name("scripts").iterdir()}
    assert len(names) == 22
    assert {n for n in names if not any(cases.script(n) in text for text in run)} == set()


def test_what_a_package_needs_leaves_the_packages_on_trial_out(deb: Path) -> None:
    subject = install.examine([deb], [])
    told = cases.variables(subject)
    assert "get satisfy 'libc6 (>= 2.3)' 'tried-data (= 1)' 'one | two:any' man-db;" in told
    assert "exact=tried=1:2\n" in told
    names = [machine.name for machine in cases.machines(subject)]
    assert names == ["fresh", "debian"]  # it has xl, and no raw package was given
    fresh = cases.machines(subject)[0]
    assert fresh.groups == (("tried", "one", "man-db"),)
    assert "kernel" not in {case.name for case in fresh.cases}
    assert {"programs", "manual"} <= {case.name for case in fresh.cases}


@pytest.mark.slow
def test_thousands_of_relations_fit_into_the_command_lines(
    started: Callable[[Client], Run], tmp_path: Path
) -> None:
    names = [f"a-package-with-a-name-of-some-length-{n:05}" for n in range(4000)]
    control = {
        "Package": "tried",
        "Version": "1",
        "Architecture": "amd64",
        "Maintainer": "a <a@b.invalid>",
        "Description": "short",
        "Depends": ", ".join(f"{name} (>= 1)" for name in names),
        "Recommends": ", ".join(f"{name}-too" for name in names),
    }
    deb = create(tmp_path / "tried.deb", control, members=[], epoch=1)
    client = Client(lambda _: Played())
    outcomes(started(client), deb)
    assert max(len(word) for command, _ in client.execs for word in command) < 128 << 10
    put = b"".join(client.put.values())
    words = shlex.split(cases.variables(install.examine([deb], [])))
    assert max(map(len, words)) < 128 << 10
    assert f"'{names[-1]} (>= 1)'".encode() in put
    assert f"{names[-1]}-too".encode() in put


@pytest.mark.parametrize(
    ("field", "value"),
    [("Package", "a;touch /x"), ("Package", "-oX=1"), ("Version", "1;reboot"), ("Package", "$(x)")],
)
def test_a_name_that_dpkg_refuses_reaches_no_command_line(
    started: Callable[[Client], Run], tmp_path: Path, field: str, value: str
) -> None:
    control = {"Package": "tried", "Version": "1", "Architecture": "amd64"} | {field: value}
    deb = debs.make(tmp_path / "a.deb", [], control=control)
    client = Client()
    for trial in (judges.check, install.install_test):
        with pytest.raises(BuildError, match=f"a.deb: {field}") as caught:
            trial(started(client), [deb], [])
        assert caught.value.exit == Exit.USAGE
    assert client.created == []


def test_words_of_a_package_are_quoted_or_are_no_names(
    started: Callable[[Client], Run], tmp_path: Path
) -> None:
    control = {"Package": "tried", "Version": "1", "Recommends": "x;reboot, -oDebug::x=1, y"}
    deb = debs.make(tmp_path / "a b;c.deb", [], control=control)
    client = Client(lambda _: Played())
    run = started(client)
    install.install_test(run, [deb], [])
    judges.lintian(run, [deb])
    scripts = [command[-1] for command, _ in client.execs]
    assert any("-- tried y" in script for script in scripts)
    assert not any("reboot" in script or "-oDebug" in script for script in scripts)
    assert any("'./a b;c.deb'" in script for script in scripts)


def test_the_index_has_the_digest_of_the_box_alone(tmp_path: Path) -> None:
    fields = {"Filename": "x", "SHA256": "0", "size": "1"}
    deb = debs.make(tmp_path / "a.deb", [], control={"Package": "a", "Version": "1"} | fields)
    lines = clean.paragraph(deb).splitlines()
    named = [line for line in lines if line.lower().startswith(("filename:", "size:", "sha256:"))]
    assert len(named) == 3
    assert named[0] == "Filename: trial/a.deb"


def test_only_a_whole_line_of_a_case_says_what_is_wrong(
    started: Callable[[Client], Run], deb: Path
) -> None:
    said = b"  ! printed by a package\n= fine\r! and this\x0b! this\xe2\x80\xa8! this too\n"
    cases_say = Client(lambda script: Played([said] if "installed()" in script else []))
    found = outcomes(started(cases_say), deb)
    assert {o.state for o in found} == {OK}


def test_what_apt_prints_is_indented_and_its_status_kept(tmp_path: Path) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho '! x'; echo '= y' >&2; exit $STATUS\n")
    (tmp_path / "apt-get").chmod(0o755)
    for status in (0, 100):
        done = subprocess.run(
            ["sh", "-ec", f"exec 2>&1\n{cases.FUNCTIONS}\nget install x\necho after"],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "STATUS": str(status)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status
        assert done.stdout.splitlines() == ["  ! x", "  = y", *([] if status else ["after"])]


def outcomes(run: Run, deb: Path) -> list[CaseResult]:
    found = install.install_test(run, [deb], [])
    return [outcome for outcome in found if outcome.machine == "fresh"]


def test_a_case_fails_by_what_it_says_or_by_its_status(
    started: Callable[[Client], Run], deb: Path
) -> None:
    def play(script: str) -> Played:
        if script.endswith(cases.script("digests")):
            return Played([b"= 3 files\n! one is wrong\n! another\n"])
        if script.endswith(cases.script("reinstall")):
            return Played([b"something\nE: the last line\n"], 100)
        return Played([b"= fine\n"] if "installed()" in script else [])

    found = {o.case: o for o in outcomes(started(Client(play)), deb)}
    assert found["install"].state == OK
    assert (found["digests"].state, found["digests"].saw) == (FAILED, "3 files")
    assert found["digests"].wrong == ("one is wrong", "another")
    assert found["reinstall"].wrong[0] == "it ended with status 100"
    assert found["reinstall"].wrong[-1] == "E: the last line"
    assert found["purge"].state == OK  # what does not stand on another goes on
    assert install.exit_code(list(found.values())) == 1


def test_what_stands_on_a_failed_case_is_skipped(
    started: Callable[[Client], Run], deb: Path
) -> None:
    def play(script: str) -> Played:
        return Played([b"no\n"], 1) if script.endswith(cases.script("install")) else Played()

    found = outcomes(started(Client(play)), deb)
    states = [o.state for o in found]
    assert states[:2] == [OK, FAILED]
    assert set(states[2:]) == {SKIPPED}
    shown = [line for _, line in trials.case_rows(found)]
    assert any(line.startswith("fresh  install") for line in shown)
    assert shown[-1].startswith("log: ")
    assert trials.cases_in_brief(found) == (
        f"{len(found)} cases on 1 machines: 1 ok, 1 failed, {len(found) - 2} skipped"
    )


def test_a_full_disk_of_the_engine_is_no_fault_of_the_package(
    started: Callable[[Client], Run], deb: Path
) -> None:
    def play(script: str) -> Played:
        full = script.endswith(cases.script("install"))
        return Played([b"dpkg: error: No space left on device\n"], 1) if full else Played()

    with pytest.raises(BuildError, match="no space left") as caught:
        outcomes(started(Client(play)), deb)
    assert caught.value.exit == Exit.ENGINE
