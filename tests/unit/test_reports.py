# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs say for programs, held against its schema."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from builders import ROOT, program
from builders.debkit.audit import RULES
from builders.errors import BuildError, Exit
from builders.ground.sources.cache import CachedFile, Fetched
from builders.ground.suite.image import Image
from builders.host import devices
from builders.pipeline import doctor, run
from builders.pipeline.artifacts import Package
from builders.pipeline.stages import State
from builders.progress import Silent
from builders.proofs.boot.checks import Boot, Check
from builders.proofs.rebuild.reproduce import Compared
from builders.proofs.trial import install, judges
from builders.release.notes import Changed, Row
from builders.release.publish import Made
from builders.release.verify import Problem, Verdict
from builders.show import boots, face, hosts, jobs, releases, reports, trials, upkeep
from builders.show.outcome import Outcome
from builders.verbs import (
    bench,
    builds,
    ci,
    clean,
    dom0_config,
    domu_config,
    inspect,
    recipes,
    test,
)
from builders.verbs.catalogue import VERBS

ALONE = {"shell", "completion"}  # the one is a terminal, the other a script
RECIPE = "xen-4.17-bookworm"


def said(outcome: Outcome, kind: str) -> dict[str, Any]:
    """The outcome's JSON, which is as the schema has it."""
    document: dict[str, Any] = json.loads(outcome.said("json"))
    assert list(document)[:2] == ["schema", "kind"]
    schema = json.loads((ROOT / f"docs/schemas/{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    for broken in ({**document, "more": 1}, {**document, "schema": 0}, {**document, "kind": ""}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)
    return document


@pytest.mark.parametrize("name", sorted(set(VERBS) - ALONE))
def test_every_verb_that_reports_has_a_form_for_programs(name: str) -> None:
    assert "json" in VERBS[name].options["format"].choices
    told = re.findall(r"^\| ([^|]*) \|", (ROOT / "docs/json.md").read_text(), re.MULTILINE)
    assert f"`{name}`" in " ".join(told)


@pytest.mark.parametrize("name", sorted(set(VERBS) - ALONE))
def test_an_unknown_form_is_refused_before_anything_is_done(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DOM0_DEBS_ARTIFACTS", str(tmp_path / "artifacts"))
    words = [name, "--format", "xml", *(["guest"] if name == "domu-config" else [])]
    assert face.status(program._run, words) == Exit.USAGE
    out, error = capsys.readouterr()
    assert out == ""
    assert "--format xml: no such format" in error
    assert not (tmp_path / "artifacts").exists()


def test_packages(tmp_path: Path) -> None:
    deb = tmp_path / "x_1_all.deb"
    deb.write_bytes(b"x")
    made = reports.packages([Package(deb, "x", "1", "all", "00", ("a note",))])
    (package,) = said(made, "packages")["packages"]
    assert package["file"] == str(deb)
    assert package["size"] == 1
    assert package["sha256"].startswith("2d711642")  # of what is there, whatever was noted
    assert package["notes"] == ["a note"]
    assert made.said("table") == f"{deb}  1 B\n  note: a note"


def test_stages() -> None:
    made = reports.stages([State("image", "hit", "0f"), State("xen-build", "miss", "never made")])
    assert [s["state"] for s in said(made, "stages")["stages"]] == ["hit", "miss"]
    assert "never made" in made.said("table")


def test_sources(tmp_path: Path) -> None:
    file = CachedFile("x.tar", "ab" * 32, 7, tmp_path / "x")
    made = reports.sources({"xen": Fetched("xen", "4.17", (file,))})
    (source,) = said(made, "sources")["sources"]
    assert (source["source"], source["files"][0]["size"]) == ("xen", 7)
    assert made.said("table") == "xen  4.17  x.tar"


def test_an_image() -> None:
    made = reports.image(Image("builder:1", "gcc 4:12 amd64\nperl 5 all\n"))
    assert [p["name"] for p in said(made, "image")["packages"]] == ["gcc", "perl"]
    assert made.said("table") == "builder:1: 2 packages"


@pytest.mark.slow
def test_rules() -> None:
    assert len(said(inspect.run(inspect.Options(rules=True)), "rules")["rules"]) == len(RULES)
    name = next(iter(RULES))
    (one,) = said(inspect.run(inspect.Options(explain=name)), "rules")["rules"]
    assert one["rule"] == name
    with pytest.raises(BuildError, match="--explain and --rules with --format sarif"):
        inspect.run(inspect.Options(rules=True, format="sarif"))


def test_a_hosts_settings(tmp_path: Path) -> None:
    it = builds.begin(RECIPE, [], Silent())
    options = dom0_config.Options(
        hide=("02:00.0",), dom0_mem="4096M", version="1", out=str(tmp_path)
    )
    document = said(dom0_config.package(it, options), "dom0-config")
    assert Path(document["file"]).is_file()
    assert document["xen_options"] == "dom0_mem=4096M,max:4096M"


@pytest.mark.slow
def test_a_guest(tmp_path: Path) -> None:
    options = domu_config.Options(name="g", memory="1024M", disk=("/dev/vg/g",))
    it = builds.begin(RECIPE, [], Silent())
    shown = domu_config.write(it, options)
    document = said(shown, "domu-config")
    assert document["file"] is None
    assert document["text"] == shown.said("table") + "\n"
    out = tmp_path / "g.cfg"
    document = said(domu_config.write(it, replace(options, out=str(out))), "domu-config")
    assert document["file"] == str(out)
    assert document["text"] == out.read_text()


def test_what_was_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOM0_DEBS_ARTIFACTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with run.alone_in(tmp_path / "one"):
        pass
    old = said(clean.clean(clean.Options(old=True), Silent()), "clean")
    assert old["artifacts"] == [{"recipe": "one", "replaced": 0}]
    done = said(clean.clean(clean.Options(recipe="one", cache=True), Silent()), "clean")
    assert done["artifacts"] == [{"recipe": "one", "replaced": None}]
    assert (done["engine"], done["freed"]) == (None, 0)


def test_a_job() -> None:
    summary = ci.Summary("x", [jobs.JobStageEntry("build", "failed", 1.5, "no disk")])
    outcome = Outcome(summary.document())
    assert said(outcome, "ci")["stages"][0]["state"] == "failed"
    assert outcome.said("table") == ""


def test_the_tests(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    quick = [[sys.executable, "-c", "print('what a tool says')"]]
    monkeypatch.setattr(test, "_PARTS", {"lint": quick})
    outcome = Outcome(test.test(test.Options(only=("lint",)), Silent()))
    (part,) = said(outcome, "test")["parts"]
    assert (part["part"], part["state"]) == ("lint", "passed")
    out, error = capfd.readouterr()
    assert (out, error) == ("", "what a tool says\n")


@pytest.mark.slow
def test_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = "show([Row('a', [1.0, 2.0], [4.0, 4.0], 0.5), Row('b', [3.0], [], 2.0)], load=1.5)"
    program = f"from benchmarks.machine import Row, show; {figures}"
    monkeypatch.setattr(bench, "_PYTHON", [sys.executable, "-c", program])
    outcome = Outcome(bench.bench(bench.Options(only=("idle",), format="json"), Silent()))
    found = said(outcome, "bench")["benchmarks"]["idle"]
    assert [(row["figure"], row["met"]) for row in found["rows"]] == [(0.375, True), (3.0, False)]
    assert found["load"] == 1.5


def test_a_build_that_was_made_again(tmp_path: Path) -> None:
    same, other = "a" * 64, "b" * 64
    one = Compared("xen.deb", same, same)
    outcome = boots.rebuild([one], "a later clock", tmp_path)
    assert outcome.said("table").splitlines()[1:] == [f"same     xen.deb  {same[:16]}"]
    assert outcome.code == 0
    outcome = boots.rebuild(
        [one, Compared("k.deb", same, other, ("why",))], "a later clock", tmp_path
    )
    assert outcome.code == 1
    assert [p["second"] for p in said(outcome, "reproduce")["packages"]] == [same, other]
    assert outcome.said("table").splitlines()[2:] == [
        f"DIFFERS  k.deb  {same[:16]}",
        "         why",
        f"the second build is kept: {tmp_path}",
    ]


def test_what_cannot_be_made_again() -> None:
    with pytest.raises(BuildError, match="--target qemu: no such target"):
        VERBS["reproduce"].run(recipe="xen-4.17-bookworm", target="qemu")


# The other documents


def test_boots(tmp_path: Path) -> None:
    made = Boot("no-xen", (Check("xen", False, ""),), 1.26, tmp_path, frozenset({"xen"}))
    outcome = boots.boots([made])
    (one,) = said(outcome, "boot-test")["boots"]
    assert (one["good"], one["seconds"], one["must_fail"]) == (True, 1.3, ["xen"])
    assert outcome.code == 0
    assert boots.boots([replace(made, wanted=frozenset())]).code == 1


def test_what_the_doctor_found() -> None:
    outcome = upkeep.checks(
        [doctor.Check("git", "fail", "not installed", "install it")], 4, "r cannot", "r"
    )
    (one,) = said(outcome, "doctor")["checks"]
    assert one == {"name": "git", "state": "fail", "why": "not installed", "remedy": "install it"}
    assert outcome.code == 4
    assert outcome.said("table").endswith("\nr cannot")
    good = (
        upkeep.checks([doctor.Check("git", "ok", "2")], 0, "r can be built here", "r")
        .said("table")
        .splitlines()
    )
    assert good[-2:] == ["r can be built here", "next: ./inv build-all --recipe r"]


@pytest.mark.slow
def test_recipes_usable_or_not() -> None:
    listed = upkeep.RecipesDocument(
        [
            upkeep.RecipeEntry("a", True, "bookworm", "x", ["minimal"]),
            upkeep.UnusableEntry("b", False, "c", "d"),
        ]
    )
    assert said(Outcome(listed), "recipes")["recipes"][1]["error"] == "c"
    assert said(recipes.run(recipes.Options()), "recipes")["recipes"]


@pytest.mark.slow
def test_a_release_its_check_and_its_changes(tmp_path: Path) -> None:
    made = Made(tmp_path, "AB", "me", True, ({"target": "xen", "files": []},), ("a boot",), ())
    document = said(releases.release(made), "release")
    assert document["key"] == {"fingerprint": "AB", "uid": "me", "ephemeral": True}
    bad = Verdict("", False, 2, [Problem("x", "is missing")])
    outcome = releases.verification("f", bad)
    assert said(outcome, "verify")["problems"] == [{"file": "x", "why": "is missing"}]
    assert outcome.code == 1
    assert releases.verification("f", Verdict("AB", True, 2)).code == 0
    rows = (Row("package", "x", "1", "2"),)
    (build,) = said(releases.changes([Changed("xen", "1", "2", rows)]), "diff")["builds"]
    assert build["rows"][0]["judgement"] == ""


@pytest.mark.slow
def test_devices() -> None:
    card = hosts.DeviceEntry(
        "0000:01:00.0", "030000", "VGA", "10de", "1234", "x", "", None, True, False,
        [], [], [], [], devices.Verdict.FINE, [], False, False,
        [hosts.BarEntry(0, "memory", 64, 1 << 28, f"{1 << 38:016x}", True, [1 << 28])], 0, None,
        None, hosts.InterruptsEntry(None, None, 0, False), hosts.LinkEntry(8, 16, 16, 16), "",
    )  # fmt: skip
    document = said(Outcome(hosts.DevicesDocument(False, 0, [], [card], [["a"]], [])), "devices")
    assert document["devices"][0]["class"] == "030000"


def test_trials(tmp_path: Path) -> None:
    case = install.CaseResult("clean", "install", "failed", 1.0, "saw", ("wrong",), tmp_path)
    assert said(trials.cases([case]), "install-test")["cases"][0]["wrong"] == ["wrong"]
    verdict = judges.Verdict(
        "lintian", "2", 1.0, (judges.Finding("lintian", "error", "p", "t", "d"),), tmp_path
    )
    assert said(trials.verdicts([verdict]), "check")["verdicts"][0]["findings"][0]["tag"] == "t"
