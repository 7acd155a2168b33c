# SPDX-License-Identifier: GPL-2.0-or-later
"""What the audit says, to people and to programs."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builders import ROOT
from builders.debkit.audit import RULES, Finding, Report, Severity, audit, exit_code
from builders.debkit.audit.document import to_json
from builders.debkit.audit.selection import Selection, selection
from builders.errors import BuildError, Exit
from builders.show.findings import table
from builders.show.github import to_commands
from builders.show.sarif import to_sarif, uri
from builders.verbs import inspect
from builders.verbs.catalogue import VERBS
from tests.unit import debs
from tests.unit.debs import Item, symlink

REPORTS = [
    Report(
        Path("pool/xen.deb"),
        "xen-upstream-4.17.5",
        "4.17.5",
        "amd64",
        (
            Finding(
                "md5sums", Severity.WARNING, "the package has none: dpkg --verify cannot check it"
            ),
            *(
                Finding("etc-not-conffile", Severity.ERROR, "is not listed as a conffile", path)
                for path in ("/etc/xen/xl.conf", "/etc/xen/cpupool", "/etc/init.d/xencommons")
            ),
            Finding("installed-size", Severity.INFO, "Installed-Size is missing"),
        ),
    ),
    Report(Path("pool/bad.deb"), "", "", "", (Finding("unreadable", Severity.ERROR, "cut short"),)),
    Report(Path("pool/good.deb"), "good", "1.0", "all", ()),
]


def test_json() -> None:
    document = json.loads(to_json(REPORTS))
    assert document["schema"] == 1
    assert document["summary"] == {"packages": 3, "error": 4, "warning": 1, "info": 1, "known": 0}
    assert document["packages"][0]["findings"][1] == {
        "rule": "etc-not-conffile",
        "severity": "error",
        "message": "is not listed as a conffile",
        "subject": "/etc/xen/xl.conf",
    }
    assert document["packages"][1]["path"] == "pool/bad.deb"
    assert set(document["rules"]) == {"md5sums", "etc-not-conffile", "installed-size", "unreadable"}
    assert set(document["rules"]["md5sums"]) == {"explanation", "reference", "remedy"}


def test_table_wide() -> None:
    assert table(REPORTS, 120, colour=False) == (
        "xen-upstream-4.17.5 4.17.5 amd64: 3 errors, 1 warning, 1 note\n"
        "  error    etc-not-conffile  /etc/xen/xl.conf and 2 more: is not listed as a conffile\n"
        "                             -> leave conffiles = true in the recipe's corrections\n"
        "  warning  md5sums           the package has none: dpkg --verify cannot check it\n"
        "  info     installed-size    Installed-Size is missing\n"
        "\n"
        "pool/bad.deb: 1 error\n"
        "  error    unreadable  cut short\n"
        "                       -> fetch or build it again\n"
        "\n"
        "good 1.0 all: nothing found\n"
        "\n"
        "3 packages: 4 errors, 1 warning, 1 note\n"
    )


@pytest.mark.parametrize("width", [10, 40, 60, 80, 200])
def test_table_keeps_to_its_width(tmp_path: Path, width: int) -> None:
    reports = [*REPORTS, audit(debs.mkdeb(tmp_path / "a.deb"))]
    plain = table(reports, width, colour=False)
    assert max(map(len, plain.splitlines())) <= max(width, 40)
    assert "\033" not in plain
    coloured = table(reports, width, colour=True)
    stripped = coloured
    for code in ("\033[1;31m", "\033[33m", "\033[2m", "\033[1m", "\033[0m"):
        stripped = stripped.replace(code, "")
    assert stripped == plain
    assert coloured != plain


def test_nothing_in_a_package_can_move_the_cursor(tmp_path: Path) -> None:
    path = debs.make(
        tmp_path / "a.deb",
        [Item("./etc/\033[2Jx"), symlink("./boot/xen.gz", "\033]0;title\007")],
        control={"Maintainer": "\033[31m"},
    )
    report = audit(path)
    assert len(report.findings) >= 3
    assert "\033" not in table([report], 80, colour=False)
    assert "\\u001b" not in to_json([report])


def schema(name: str) -> Any:
    return json.loads((ROOT / "docs/schemas" / f"{name}.schema.json").read_text())


@pytest.mark.slow
def test_the_json_is_as_its_schema_says(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schema("inspect"))
    real = [audit(debs.mkdeb(tmp_path / "a.deb")), audit(debs.make(tmp_path / "b.deb"))]
    (tmp_path / "c.deb").write_bytes(b"no package")
    for reports in ([], REPORTS, [*real, audit(tmp_path / "c.deb")]):
        document = json.loads(to_json(reports, 3))
        jsonschema.validate(document, schema("inspect"))
        assert document["summary"]["known"] == 3
    for broken in ({}, {**document, "more": 1}, {**document, "schema": 2}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema("inspect"))


def test_a_rule_with_much_to_say_is_cut_short() -> None:
    findings = [Finding("md5sums", Severity.ERROR, f"message {n}", f"/{n}") for n in range(9)]
    report = Report(Path("a.deb"), "a", "1", "all", tuple(findings))
    short = table([report], 80, colour=False)
    assert [n for n in range(9) if f"message {n}" in short] == [0, 1, 2]
    assert "and 6 more: --only md5sums shows all" in short
    assert "9 errors" in short
    full = table([report], 80, colour=False, full=True)
    assert all(f"message {n}" in full for n in range(9))
    four = Report(Path("a.deb"), "a", "1", "all", tuple(findings[:4]))
    assert "message 3" in table([four], 80, colour=False)


def test_packages_without_findings_stand_together() -> None:
    good = [Report(Path(f"{n}.deb"), n, "1", "all", ()) for n in "abc"]
    assert table([good[0], REPORTS[1], *good[1:]], 80, colour=False) == (
        "a 1 all: nothing found\n"
        "\n"
        "pool/bad.deb: 1 error\n"
        "  error    unreadable  cut short\n"
        "                       -> fetch or build it again\n"
        "\n"
        "b 1 all: nothing found\n"
        "c 1 all: nothing found\n"
        "\n"
        "4 packages: 1 error\n"
    )


# SARIF


def sarif(reports: list[Report]) -> Any:
    return json.loads(to_sarif(reports, "1.2"))


def test_sarif(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    document = sarif(REPORTS)
    assert document["version"] == "2.1.0"
    [run] = document["runs"]
    assert run["tool"]["driver"]["version"] == "1.2"
    listed = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in listed] == sorted({rule["id"] for rule in listed})
    assert [a["location"]["uri"] for a in run["artifacts"]] == [str(r.path) for r in REPORTS]
    results = run["results"]
    assert len(results) == sum(len(r.findings) for r in REPORTS)
    for result in results:
        assert listed[result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert run["artifacts"][place["index"]]["location"]["uri"] == place["uri"]
    assert [r["level"] for r in results] == ["warning", "error", "error", "error", "note", "error"]
    assert results[1]["message"]["text"] == "/etc/xen/xl.conf: is not listed as a conffile"
    assert results[1]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == (
        "xen-upstream-4.17.5:/etc/xen/xl.conf"
    )
    prints = {result["partialFingerprints"]["finding/v1"] for result in results}
    assert len(prints) == len(results)


def test_a_fingerprint_outlives_the_version() -> None:
    findings = REPORTS[0].findings
    newer = Report(Path("new.deb"), REPORTS[0].package, "5", "amd64", findings)
    prints = [
        [r["partialFingerprints"] for r in sarif([report])["runs"][0]["results"]]
        for report in (REPORTS[0], newer)
    ]
    assert prints[0] == prints[1]


def test_uris(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert uri(Path("a b/x#1+~.deb")) == "a%20b/x%231%2B~.deb"
    assert uri(tmp_path / "x.deb") == "x.deb"
    assert uri(Path("/pool/\udcff.deb")) == "file:///pool/%3F.deb"


# The official schema is OASIS' and not part of this project.
OFFICIAL = os.environ.get("SARIF_SCHEMA", "")


@pytest.mark.skipif(not OFFICIAL, reason="SARIF_SCHEMA names no file with the official schema")
def test_sarif_by_its_official_schema(tmp_path: Path) -> None:
    official = json.loads(Path(OFFICIAL).read_text())
    for reports in ([], REPORTS, [audit(debs.mkdeb(tmp_path / "a.deb"))]):
        jsonschema.validate(sarif(list(reports)), official)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": "2.1.0"}, official)


# GitHub


def test_workflow_commands() -> None:
    lines = to_commands(REPORTS).splitlines()
    assert lines[0] == (
        "::error file=pool/xen.deb,title=xen-upstream-4.17.5 etc-not-conffile::"
        "/etc/xen/xl.conf and 2 more: is not listed as a conffile"
    )
    assert [line.split(" ")[0] for line in lines[:-1]] == [
        "::error",
        "::warning",
        "::notice",
        "::error",
    ]
    assert lines[-1] == "3 packages: 4 errors, 1 warning, 1 note"


@given(st.text(), st.text(), st.text())
@example("a", "100%0A::error::x", "50%2C")
def test_nothing_in_a_package_makes_a_workflow_command(
    name: str, message: str, subject: str
) -> None:
    finding = Finding("md5sums", Severity.ERROR, message, subject)
    report = Report(Path(f"x{name}".replace("\0", "")), name, "", "", (finding,))
    command, *rest = to_commands([report]).split("\n")
    assert rest == ["1 package: 1 error", ""]
    match = re.fullmatch(r"::error file=([^:,\r]*),title=([^:,\r]*)::([^\r]*)", command)
    assert match
    told = match[3].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    assert told == (f"{subject}: {message}" if subject else message)


# What is told, and what makes the exit status


def test_thresholds() -> None:
    def code(severity: Severity, threshold: str) -> Exit:
        finding = Finding("md5sums", severity, "x")
        return exit_code([Report(Path("x"), "x", "1", "all", (finding,))], threshold)

    order = [Severity.ERROR, Severity.WARNING, Severity.INFO]
    for place, severity in enumerate(order):
        for at, threshold in enumerate(order):
            wanted = Exit.AUDIT if place <= at else Exit.DONE
            assert code(severity, threshold) is wanted
        assert code(severity, "never") is Exit.DONE
    with pytest.raises(BuildError, match="no such severity") as caught:
        exit_code([], "errors")
    assert caught.value.hint == "one of: error, warning, info, never"


def rules_of(selected: Selection) -> list[str]:
    return [f.rule for report in REPORTS for f in selected.apply(report)[0].findings]


def test_selection() -> None:
    assert rules_of(selection(["md5sums"], [])) == ["md5sums", "unreadable"]
    assert rules_of(selection([], ["etc-not-conffile,md5sums"])) == ["installed-size", "unreadable"]
    # A package that cannot be read never looks like a good one.
    assert "unreadable" in rules_of(selection([], ["unreadable"]))
    with pytest.raises(BuildError, match="--skip md5sum: no such rule") as caught:
        selection([], ["md5sum"])
    assert caught.value.hint == "did you mean md5sums?"
    with pytest.raises(BuildError, match="no such rule") as caught:
        selection(["qqq"], [])
    assert "md5sums" in caught.value.hint


def test_a_baseline(tmp_path: Path) -> None:
    baseline = tmp_path / "known.json"
    baseline.write_text(to_json(REPORTS))
    selected = selection([], [], str(baseline))
    applied = [selected.apply(report) for report in REPORTS]
    assert [known for _, known in applied] == [5, 0, 0]
    assert [len(report.findings) for report, _ in applied] == [0, 1, 0]
    other = Finding("md5sums", Severity.ERROR, "is not what its sum says", "/usr/bin/x")
    report = Report(Path("x"), REPORTS[0].package, "9", "amd64", (*REPORTS[0].findings, other))
    assert selected.apply(report)[0].findings == (other,)
    assert "5 accepted by the baseline" in table([], 80, colour=False, known=5)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"packages": 3}', "[" * 100_000, '"x"', "\udcff"])
def test_bad_baselines(tmp_path: Path, text: str) -> None:
    baseline = tmp_path / "known.json"
    baseline.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BuildError, match="is no report of inspect"):
        selection([], [], str(baseline))
    with pytest.raises(BuildError, match="No such file"):
        selection([], [], str(tmp_path / "none"))


# The verb


@pytest.mark.parametrize("form", inspect.FORMS)
def test_forms_of_the_verb(tmp_path: Path, form: str) -> None:
    path = debs.mkdeb(tmp_path / "a.deb")
    options = inspect.Options(path=(str(path),), format=form)
    outcome = inspect.run(options)
    assert outcome.code == Exit.AUDIT
    assert "stray-boot-link" in outcome.said(form)
    outcome = inspect.run(replace(options, fail_on="never", only=("md5sums",)))
    assert outcome.code == Exit.DONE
    assert "stray-boot-link" not in outcome.said(form)
    assert "md5sums" in outcome.said(form)


def test_an_unknown_form_is_told_before_the_work() -> None:
    with pytest.raises(BuildError, match="--format xml: no such format") as caught:
        VERBS["inspect"].run(path=["/nowhere.deb"], format="xml")
    assert caught.value.hint == "one of: table, json, sarif, github"
    with pytest.raises(BuildError, match="--format sarif") as caught:
        inspect.run(inspect.Options(path=("/a", "/b"), diff=True, format="sarif"))
    assert caught.value.hint == "one of: table, json"
    for paths in ((), ("/a",), ("/a", "/b", "/c")):
        with pytest.raises(BuildError, match="compares two packages"):
            inspect.run(inspect.Options(path=paths, diff=True))


def test_every_rule_has_a_name_that_the_schema_takes() -> None:
    pattern = schema("inspect")["properties"]["rules"]["propertyNames"]["pattern"]
    assert all(re.search(pattern, name) for name in RULES)
