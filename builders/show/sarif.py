# SPDX-License-Identifier: GPL-2.0-or-later
"""The reports of the audit as SARIF 2.1.0 (OASIS), as code scanning and editors read it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from builders.debkit.audit import RULES, Finding, Report, Severity

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def to_sarif(reports: Sequence[Report], version: str) -> str:
    """One run. version: of this tool.

    A result is located in its .deb, and by its path inside as a logical location. Paths below
    the working directory are written relative to it, which is what code scanning wants.
    """
    used = sorted({finding.rule for report in reports for finding in report.findings})
    place = {name: number for number, name in enumerate(used)}
    document = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/"
        "sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "dom0-debs",
                        "version": version,
                        "rules": [_rule(name) for name in used],
                    }
                },
                "artifacts": [{"location": {"uri": uri(report.path)}} for report in reports],
                "results": [
                    _result(report, number, finding, place[finding.rule])
                    for number, report in enumerate(reports)
                    for finding in report.findings
                ],
                "columnKind": "unicodeCodePoints",
            }
        ],
    }
    return json.dumps(document, indent=2)


def uri(path: Path) -> str:
    """A relative reference for a path below the working directory, else a file URI (RFC 8089)."""
    here = Path.cwd()
    whole = path if path.is_absolute() else here / path
    if whole.is_relative_to(here):
        return quote(str(whole.relative_to(here)), errors="replace")
    return "file://" + quote(str(whole), errors="replace")


def _rule(name: str) -> dict[str, Any]:
    it = RULES[name]
    return {
        "id": name,
        "shortDescription": {"text": it.explanation.partition(". ")[0].rstrip(".") + "."},
        "fullDescription": {"text": f"{it.explanation} ({it.reference})"},
        "help": {"text": f"{it.explanation}\n\nRests on: {it.reference}\nWhat to do: {it.remedy}"},
        "defaultConfiguration": {"level": _LEVELS[it.severity]},
    }


def _result(report: Report, number: int, finding: Finding, rule: int) -> dict[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": uri(report.path), "index": number},
            "region": {"startLine": 1},  # code scanning shows no result without one
        }
    }
    text = finding.message
    if finding.subject:
        text = f"{finding.subject}: {text}"
        location["logicalLocations"] = [
            {"fullyQualifiedName": f"{report.package}:{finding.subject}", "kind": "resource"}
        ]
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [location],
        "partialFingerprints": {"finding/v1": fingerprint(report, finding)},
    }


def fingerprint(report: Report, finding: Finding) -> str:
    """What stays the same of a finding from one version of a package to the next."""
    parts = (report.package, report.architecture, finding.rule, finding.subject, finding.message)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
