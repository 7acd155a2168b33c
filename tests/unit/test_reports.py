# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verbs say for programs, held against its schema."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from invoke.collection import Collection

import tasks
from builders import ROOT
from builders.debkit.audit import RULES
from builders.errors import BuildError
from builders.ground.sources.cache import CachedFile, Fetched
from builders.ground.suite.image import Image
from builders.pipeline import run
from builders.pipeline.artifacts import Package
from builders.pipeline.stages import State
from builders.progress import Silent
from builders.proofs.rebuild.reproduce import Compared
from builders.show import reports
from builders.show.reports import Report
from builders.verbs import builds, ci, hosts, inspect, rebuild, testing, upkeep

SCHEMA = json.loads((ROOT / "docs/schemas/reports.schema.json").read_text())
NAMES = sorted(Collection.from_module(tasks).task_names)
ALONE = {"shell"}  # it is a terminal
RECIPE = "xen-4.17-bookworm"


def said(report: Report, kind: str) -> dict[str, Any]:
    """The report's JSON, which is as the schema has it."""
    document: dict[str, Any] = json.loads(report.said("json"))
    wanted = {"$schema": SCHEMA["$schema"], "$defs": SCHEMA["$defs"]}
    jsonschema.validate(document, wanted | {"$ref": f"#/$defs/{kind}"})
    return document


@pytest.mark.parametrize("name", sorted(set(NAMES) - ALONE))
def test_every_verb_that_reports_has_a_form_for_programs(name: str) -> None:
    body = Collection.from_module(tasks)[name].body
    assert "format" in signature(body).parameters
    told = re.findall(r"^\| ([^|]*) \|", (ROOT / "docs/json.md").read_text(), re.MULTILINE)
    assert f"`{name}`" in " ".join(told)


@pytest.mark.parametrize("name", sorted(set(NAMES) - ALONE))
def test_an_unknown_form_is_refused_before_anything_is_done(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOM0_DEBS_ARTIFACTS", str(tmp_path / "artifacts"))
    command = [sys.executable, "-m", "invoke", name, "--format", "xml"]
    command += ["guest"] if name == "domu-config" else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--format xml: no such format" in done.stderr
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
    assert made.said("table") == f"{deb}  1 KiB\n  note: a note"


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


def test_rules() -> None:
    assert len(said(inspect.explain("", "json"), "rules")["rules"]) == len(RULES)
    name = next(iter(RULES))
    (one,) = said(inspect.explain(name, "json"), "rules")["rules"]
    assert one["rule"] == name
    with pytest.raises(BuildError, match="--explain and --rules with --format sarif"):
        inspect.explain("", "sarif")


def test_a_hosts_settings(tmp_path: Path) -> None:
    asked = {"memory": "4096M", "vcpus": "", "vnc": "", "save": True}
    it = builds.begin(RECIPE, [], Silent())
    document = said(hosts.dom0_config(it, ["02:00.0"], asked, "1", str(tmp_path)), "dom0-config")
    assert Path(document["file"]).is_file()
    assert document["xen_options"] == "dom0_mem=4096M,max:4096M"


def test_a_guest(tmp_path: Path) -> None:
    asked = {"name": "g", "memory": "1024M", "disks": ["/dev/vg/g"]}
    it = builds.begin(RECIPE, [], Silent())
    shown = hosts.domu_config(it, asked, "")
    document = said(shown, "domu-config")
    assert document["file"] is None
    assert document["text"] == shown.said("table") + "\n"
    out = tmp_path / "g.cfg"
    document = said(hosts.domu_config(it, asked, str(out)), "domu-config")
    assert document["file"] == str(out)
    assert document["text"] == out.read_text()


def test_what_was_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOM0_DEBS_ARTIFACTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with run.alone_in(tmp_path / "one"):
        pass
    old = said(upkeep.clean(Silent(), "", old=True, images=False, cache=False), "clean")
    assert old["artifacts"] == [{"recipe": "one", "replaced": 0}]
    done = said(upkeep.clean(Silent(), "", old=False, images=False, cache=True), "clean")
    assert done["artifacts"] == [{"recipe": "one", "replaced": None}]
    assert (done["engine"], done["freed"]) == (None, 0)


def test_a_job() -> None:
    summary = ci.Summary("x", [ci.Stage("build", "failed", 1.5, "no disk")])
    assert said(summary.report(), "ci")["stages"][0]["state"] == "failed"
    assert summary.report().said("table") == ""


def test_the_tests(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    quick = [[sys.executable, "-c", "print('what a tool says')"]]
    monkeypatch.setattr(testing, "_PARTS", {"lint": quick})
    (part,) = said(testing.run(Silent(), "lint", build=False), "test")["parts"]
    assert (part["part"], part["state"]) == ("lint", "passed")
    out, error = capfd.readouterr()
    assert (out, error) == ("", "what a tool says\n")


def test_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = "show([Row('a', [1.0, 2.0], [4.0, 4.0], 0.5), Row('b', [3.0], [], 2.0)], load=1.5)"
    program = f"from benchmarks.machine import Row, show; {figures}"
    monkeypatch.setattr(testing, "_PYTHON", [sys.executable, "-c", program])
    found = said(testing.bench(Silent(), "idle", "json"), "bench")["benchmarks"]["idle"]
    assert [(row["figure"], row["met"]) for row in found["rows"]] == [(0.375, True), (3.0, False)]
    assert found["load"] == 1.5


def test_a_build_that_was_made_again(tmp_path: Path) -> None:
    same, other = "a" * 64, "b" * 64
    one = Compared("xen.deb", same, same)
    assert rebuild.report([one], tmp_path) == f"same     xen.deb  {same[:16]}"
    lines = rebuild.report([one, Compared("k.deb", same, other, ("why",))], tmp_path).splitlines()
    assert lines[1:] == [
        f"DIFFERS  k.deb  {same[:16]}",
        "         why",
        f"the second build is kept: {tmp_path}",
    ]


@pytest.mark.parametrize(
    ("only", "form", "message"),
    [("", "xml", "--format xml: no such format"), ("qemu", "json", "--only qemu: there is no")],
)
def test_what_cannot_be_made_again(only: str, form: str, message: str) -> None:
    it = builds.begin("xen-4.17-bookworm", [], Silent())
    with pytest.raises(BuildError, match=message):
        rebuild.reproduce(it, "minimal", only, 1, form)
