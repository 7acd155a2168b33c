# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages that are wrong on purpose, tried on real clean machines: each fault is found."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builders.debkit.deb import Added, create
from builders.ground.engine.step import Step
from builders.ground.sources.cache import Cache
from builders.pipeline.recipe import load
from builders.pipeline.run import Run
from builders.progress import Silent
from builders.proofs.trial import clean, install, judges
from builders.proofs.trial.install import CaseResult

EPOCH = 1_600_000_000
PROGRAM = Path("/bin/true")
# Ends well where a script may not mount and reaches no network. capabilities(7): CAP_SYS_ADMIN is
# number 21. proc(5): two lines of headings, and lo.
GUARD = """
bound=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)
test $((0x$bound & 1 << 21)) -eq 0
test "$(wc -l </proc/net/dev)" -eq 3
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("trial")
    return Run(load("xen-4.17-bookworm"), Silent(), folder, Cache.default())


def package(
    folder: Path,
    name: str = "tried",
    version: str = "1",
    *,
    files: Mapping[str, bytes] | None = None,
    scripts: Mapping[str, str] | None = None,
    depends: str = "libc6",
) -> Path:
    """A small package; `files` are executable below /usr/bin, `scripts` maintainer scripts."""
    control = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "dom0-debs <dom0-debs@builder.invalid>",
        "Description": "tried on a clean machine\n It is installed and removed again.",
        "Depends": depends,
    }
    etc = sorted(path for path in files or {} if path.startswith("/etc/"))
    extra = {"conffiles": "".join(f"{path}\n" for path in etc).encode()} if etc else {}
    return create(
        folder / f"{name}_{version}_amd64.deb",
        control,
        control_files=extra
        | {k: f"#!/bin/sh\nset -e\n{v}\n".encode() for k, v in (scripts or {}).items()},
        members=[
            Added(path, content, mode=0o755 if "/bin/" in path else 0o644)
            for path, content in (files or {}).items()
        ],
        epoch=EPOCH,
    )


def tried(run: Run, deb: Path) -> dict[str, CaseResult]:
    return {o.case: o for o in install.install_test(run, [deb], []) if o.machine == "fresh"}


def test_a_sound_package_passes_and_one_that_leaves_a_file_does_not(
    run: Run, tmp_path: Path
) -> None:
    files = {"/usr/bin/tried": PROGRAM.read_bytes(), "/etc/tried.conf": b"a\n"}
    sound = package(tmp_path, files=files, scripts={"postinst": GUARD})
    outcomes = tried(run, sound)
    assert {o.state for o in outcomes.values()} == {"ok"}
    assert outcomes["libraries"].saw.startswith("1 programs")
    left = package(
        tmp_path, "leaver", files=files, scripts={"postinst": "mkdir -p /opt/x; echo >/opt/x/left"}
    )
    outcomes = tried(run, left)
    failed = {name for name, o in outcomes.items() if o.state == "failed"}
    assert failed == {"remove", "purge"}
    assert any("/opt/x/left" in line for line in outcomes["purge"].wrong)


def test_a_library_that_nothing_has_is_named(run: Run, tmp_path: Path) -> None:
    broken = PROGRAM.read_bytes().replace(b"libc.so.6\0", b"libq.so.6\0")
    outcomes = tried(run, package(tmp_path, files={"/usr/bin/tried": broken}))
    assert [name for name, o in outcomes.items() if o.state == "failed"] == ["libraries"]
    assert "libq.so.6" in outcomes["libraries"].wrong[0]


def test_a_broken_postinst_ends_the_trial_with_what_it_said(run: Run, tmp_path: Path) -> None:
    outcomes = tried(run, package(tmp_path, scripts={"postinst": "echo no room in here; exit 7"}))
    assert outcomes["install"].state == "failed"
    assert "exit status 7" in outcomes["install"].log.read_text()
    assert {o.state for name, o in outcomes.items() if name not in ("needs", "install")} == {
        "skipped"
    }


def test_what_the_suite_does_not_have_fails_the_trial_and_not_the_tool(
    run: Run, tmp_path: Path
) -> None:
    outcomes = tried(run, package(tmp_path, depends="there-is-no-such-package (>= 3)"))
    assert outcomes["needs"].state == "failed"
    assert any("there-is-no-such-package" in line for line in outcomes["needs"].wrong)


def test_piuparts_and_lintian_find_what_is_wrong(run: Run, tmp_path: Path) -> None:
    raw = package(tmp_path, "tried", "1", files={"/usr/bin/tried": PROGRAM.read_bytes()})
    deb = package(
        tmp_path,
        "tried",
        "2",
        files={"/usr/bin/tried": PROGRAM.read_bytes()},
        scripts={"postinst": f"{GUARD}\nmkdir -p /opt/x; echo >/opt/x/left"},
    )
    verdicts = judges.check(run, [deb], [raw])
    found = {v.judge: v.findings for v in verdicts}
    assert "no-copyright-file" in {f.tag for f in found["lintian"] if f.severity == "error"}
    for way in ("purge", "remove", "upgrade"):
        assert any("/opt/x/left" in f.detail for f in found[f"piuparts {way}"]), way
    assert judges.exit_code(verdicts) == 1


@pytest.mark.parametrize("supplied", [clean.Supply(), None], ids=["piuparts", "lintian"])
def test_no_judge_has_a_right_over_the_machine(
    run: Run, tmp_path: Path, supplied: clean.Supply | None
) -> None:
    with clean.judge(run, "rights", [package(tmp_path)], supplied=supplied) as step:
        assert step.attempt("guard", GUARD)[0] == 0
        if supplied is not None:
            inside = f"python3 -I {clean.JAIL} judge 64m"
            # In its own namespace it has all of them, over nothing else; GUARD can fail.
            assert step.attempt("inside", f"{inside} sh -ec {shlex.quote(GUARD)}")[0] == 1
            users = step.output(f"{inside} cat /proc/self/uid_map").split()
            assert users[0] == "0"
            assert int(users[1]) > 0


def test_a_package_with_thousands_of_dependencies_is_tried(run: Run, tmp_path: Path) -> None:
    depends = ", ".join(f"libc6 | made-up-alternative-with-a-long-name-{n:04}" for n in range(2700))
    assert len(depends) > 128 << 10  # more than one word of a command may have (execve(2))
    outcomes = tried(run, package(tmp_path, depends=depends))
    assert {o.state for o in outcomes.values()} == {"ok"}


def test_what_a_maintainer_script_prints_is_no_verdict(run: Run, tmp_path: Path) -> None:
    said = "printf '! forged\\n= forged\\r! forged\\n'"
    outcomes = tried(run, package(tmp_path, scripts={"postinst": said, "postrm": said}))
    assert {o.state for o in outcomes.values()} == {"ok"}
    assert not any("forged" in o.saw for o in outcomes.values())


def test_a_trial_that_downloads_beside_it_changes_no_verdict(run: Run, tmp_path: Path) -> None:
    volumes = {clean.volume(run.recipe.suite): clean.DOWNLOADS}
    download = f"""
    n=0
    while test ! -e /tmp/stop -a $n -lt 600; do
        n=$((n + 1)); echo >{clean.DOWNLOADS}/beside-$n.deb; sleep 0.1
    done
    rm -f {clean.DOWNLOADS}/beside-*
    """
    deb = package(tmp_path, files={"/usr/bin/tried": PROGRAM.read_bytes()})
    beside = Step(run, "beside", clean.machine_image(run), root=True, volumes=volumes)
    with beside as step, ThreadPoolExecutor(1) as pool:
        job = pool.submit(step.attempt, "download", download)
        try:
            verdict = judges.piuparts(run, "purge", [deb], [], clean.Supply())
        finally:
            step.attempt("stop", "touch /tmp/stop")
        assert job.result()[0] == 0
    assert verdict.findings == ()


def test_downloads_that_are_there_need_no_network(run: Run, tmp_path: Path) -> None:
    deb = package(tmp_path, depends="libyajl2")
    clean.supply(run, [deb], [["tried"]])
    offline = Run(run.recipe, Silent(), run.folder, run.cache, offline=True)
    assert any("libyajl2" in p for p in clean.supply(offline, [deb], [["tried"]]).paragraphs)
