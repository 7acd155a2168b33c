# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from builders import ROOT
from builders.errors import BuildError, Exit, Interrupted
from builders.pipeline import online
from builders.pipeline.online import Address
from builders.pipeline.recipe import DEFAULT, load, names
from builders.progress import Silent
from builders.release import signing
from builders.show.jobs import PartEntry, PartsDocument
from builders.verbs import ci, test
from builders.verbs.catalogue import VERBS
from tests.unit.engines import Heard
from tests.unit.releases import keyring
from tests.unit.samples import kernel_of


def passed() -> ci._Done:
    return ci._Done(Exit.DONE, "3 | packages <b>", "not to be said")


def failed() -> ci._Done:
    return ci._Done(Exit.AUDIT, "2 errors", "etc: /etc/x is no conffile\n2 errors\n")


def raises() -> ci._Done:
    raise BuildError("no disk", exit=Exit.ENGINE)


def stops() -> ci._Done:
    raise Interrupted


def test_each_stage_is_in_the_summary_as_soon_as_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "summary.md"
    place.write_text("what another command said\n")
    monkeypatch.setenv(ci.SUMMARY, str(place))
    summary, heard = ci.Summary("a recipe"), Heard()
    assert ci._stage(summary, heard, "audit", passed) == 0
    assert ci._stage(summary, heard, "check", failed) == 1
    with pytest.raises(BuildError, match="no disk"):
        ci._stage(summary, heard, "build", raises)
    with pytest.raises(Interrupted):
        ci._stage(summary, heard, "boot", stops)
    lines = place.read_text().splitlines()
    assert lines[:2] == ["what another command said", "## a recipe"]
    assert any(
        re.match(r"\| audit \| passed \| \S+ \| 3 \\\| packages &lt;b> \|$", x) for x in lines
    )
    assert any(x.startswith("| build | failed |") and "no disk" in x for x in lines)
    assert any(x.startswith("| boot | stopped |") for x in lines)
    assert [s.state for s in summary.document().stages] == [
        *("passed", "failed", "failed", "stopped")
    ]
    # A line for each; all that there is to say only of what failed.
    assert heard.lines == [
        "audit: passed in 0:00; 3 | packages <b>",
        "etc: /etc/x is no conffile\n2 errors",
        "check: failed in 0:00; 2 errors",
        "build: failed in 0:00; no disk",
    ]


def test_no_page_for_a_summary_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ci.SUMMARY, str(tmp_path / "gone" / "x"))
    ci.Summary("x").write()
    monkeypatch.delenv(ci.SUMMARY)
    ci.Summary("x").write()


def run(part: str) -> int:
    options = ci.Options(part=part, recipe="xen-4.17-bookworm", flavour="minimal")
    return ci.job(options, Silent(), ci.Summary())


def test_an_unknown_part() -> None:
    with pytest.raises(BuildError, match="--part x: no such part"):
        VERBS["ci"].run(part="x")


def test_tests_are_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[test.Options] = []

    def tested(options: test.Options, _: object) -> PartsDocument:
        asked.append(options)
        return PartsDocument([PartEntry("unit", "passed", 61.0)])

    monkeypatch.setattr(test, "test", tested)
    assert run("tests") == 0
    assert asked == [test.Options(build=True)]


def test_a_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ci.KEY, " 0123ABCD ")
    with ci._key() as key:
        assert key == "0123ABCD"
    monkeypatch.setenv(ci.KEY, "-----BEGIN PGP PRIVATE KEY BLOCK-----\nsecret\n")
    with ci._key() as key:
        path = Path(key)
        assert "secret" in path.read_text()
        assert path.stat().st_nlink == 0  # on no disk
    assert not path.exists()
    monkeypatch.delenv(ci.KEY)
    with ci._key() as key:
        assert key == ""


@pytest.mark.skipif(not shutil.which("gpg"), reason="needs gpg")
def test_an_armored_key_of_the_environment_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with keyring() as keys:
        fingerprint = keys.make("Alice <alice@example.org>")
        secret = keys.export(fingerprint, tmp_path / "secret", secret=True)
        monkeypatch.setenv(ci.KEY, secret.read_text())
    with ci._key() as key, signing.signer(key, Silent()) as signer:
        assert signer.fingerprint == fingerprint
        assert signing.check(signer.public(), signer.clear(b"x\n")) == (fingerprint, b"x\n")


@pytest.mark.parametrize("name", [".github/workflows/ci.yml", ".gitlab-ci.yml"])
def test_the_workflows_name_what_there_is_and_call_nothing_else(name: str) -> None:
    text = (ROOT / name).read_text()
    (recipes,) = re.findall(r"(?i)recipe: \[(.*)\]", text)
    (flavours,) = re.findall(r"(?i)flavour: \[(.*)\]", text)
    for recipe in recipes.split(", "):
        assert recipe in names()
        assert set(flavours.split(", ")) <= set(kernel_of(load(recipe)).flavours)
    assert "{{ github.workspace" not in text  # it is no path inside of a container
    calls = re.findall(r"^[^#\n]*(\./inv .*)", text, re.MULTILINE)
    assert calls
    assert all(re.match(r"\./inv ci --part (tests|release)", call) for call in calls)
    used = re.findall(r"uses: (\S+)", text)
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)


@pytest.mark.parametrize("name", [".github/workflows/ci.yml", ".gitlab-ci.yml"])
def test_the_default_recipe_is_run_from_the_real_archive_by_schedule(name: str) -> None:
    indent = "  " if name.startswith(".github") else ""
    parts = re.split(rf"(?m)^{indent}([\w.-]+):\n", (ROOT / name).read_text())
    jobs = dict(zip(parts[1::2], parts[2::2], strict=True))
    (flavour,) = kernel_of(load(DEFAULT)).flavours
    call = f"./inv ci --part release --recipe {DEFAULT} --flavour {flavour}\n"
    assert call in jobs["reference"]
    assert "schedule" in jobs["reference"]
    assert "cache" not in jobs["reference"]  # all of it is fetched
    for job in ("tests", "release"):  # these are of what was pushed
        assert re.search(r"!= 'schedule'|extends: \.unscheduled|needs: tests", jobs[job])


def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *states: str) -> tuple[int, list[str]]:
    """The exit status of a job on the default recipe whose addresses are as said, and its lines."""
    found = [Address("source xen", f"http://{n}/x", s, "why") for n, s in enumerate(states)]
    monkeypatch.setattr(online, "examine", lambda *_, **__: found)
    monkeypatch.setenv("DOM0_DEBS_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("builders.verbs.builds.make_image", lambda _: raises())
    heard = Heard()
    try:
        code = ci.job(ci.Options(part="release", recipe=DEFAULT), heard, ci.Summary())
    except BuildError as error:
        code = int(error.exit)
    return code, heard.lines


def test_a_job_says_which_address_stops_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, lines = asked(monkeypatch, tmp_path, "failed", "failed")
    assert code == Exit.SOURCE
    assert any("nobody serves source xen" in line for line in lines)
    assert any("http://1/x" in line for line in lines)
    code, lines = asked(monkeypatch, tmp_path, "failed", "pinned")
    assert code == Exit.ENGINE  # it went on to the image
    assert any("http://0/x" in line for line in lines)


def test_only_what_names_addresses_is_asked() -> None:
    assert online.names_addresses(load(DEFAULT))
    assert not online.names_addresses(load("xen-4.17-bookworm"))
