# SPDX-License-Identifier: GPL-2.0-or-later
"""The reports as a document: what programs read, and what a release keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar

from builders.debkit.audit.model import RULES, Report, Severity

_NAME = "^[a-z][a-z0-9-]*$"


@dataclass(frozen=True)
class AuditSummary:
    packages: Annotated[int, "packages that were audited", {"minimum": 0}]
    error: Annotated[int, "findings that are errors", {"minimum": 0}]
    warning: Annotated[int, "findings that are warnings", {"minimum": 0}]
    info: Annotated[int, "findings that are notes", {"minimum": 0}]
    known: Annotated[
        int, "findings that --baseline accepted, and that are not among the others", {"minimum": 0}
    ]


@dataclass(frozen=True)
class AuditFinding:
    rule: Annotated[str, "stable name of the rule", {"pattern": _NAME}]
    severity: Annotated[str, "how bad it is", {"enum": [str(severity) for severity in Severity]}]
    message: Annotated[str, "one line for people; it may change from version to version"]
    subject: Annotated[str, "absolute path inside the package, or empty"]


@dataclass(frozen=True)
class AuditPackage:
    path: Annotated[str, "the file, as it was named"]
    package: Annotated[
        str,
        "Package field, empty where it could not be read; control characters are spaces",
    ]
    version: Annotated[str, "Version field, likewise"]
    architecture: Annotated[str, "Architecture field, likewise"]
    findings: Sequence[AuditFinding]


@dataclass(frozen=True)
class AuditRule:
    explanation: Annotated[str, "what the rule looks for, and why"]
    reference: Annotated[str, "Policy section or manual page that it rests on"]
    remedy: Annotated[str, "what to do"]


@dataclass(frozen=True)
class AuditDocument:
    """The audit of one or more Debian binary packages."""

    kind: ClassVar[str] = "inspect"
    schema: ClassVar[int] = 1  # it grows when a key changes its meaning or goes
    summary: AuditSummary
    packages: Sequence[AuditPackage]
    rules: Annotated[
        Mapping[str, AuditRule],
        "the rules that found something, by name",
        {"propertyNames": {"pattern": _NAME}},
    ]


def document_of(reports: Sequence[Report], known: int = 0) -> AuditDocument:
    """The reports for programs, as docs/schemas/inspect.schema.json has it.

    known: findings that a baseline accepted.
    """
    used = {finding.rule for report in reports for finding in report.findings}
    counts = {severity: sum(report.count(severity) for report in reports) for severity in Severity}
    return AuditDocument(
        AuditSummary(
            packages=len(reports),
            error=counts[Severity.ERROR],
            warning=counts[Severity.WARNING],
            info=counts[Severity.INFO],
            known=known,
        ),
        [
            AuditPackage(
                str(report.path),
                report.package,
                report.version,
                report.architecture,
                [
                    AuditFinding(f.rule, str(f.severity), f.message, f.subject)
                    for f in report.findings
                ],
            )
            for report in reports
        ],
        {
            name: AuditRule(RULES[name].explanation, RULES[name].reference, RULES[name].remedy)
            for name in sorted(used)
        },
    )


def to_json(reports: Sequence[Report], known: int = 0) -> str:
    """The document as `inspect --format json` says it."""
    it = document_of(reports, known)
    return json.dumps({"schema": it.schema, "kind": it.kind, **asdict(it)}, indent=2)
