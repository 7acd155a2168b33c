# SPDX-License-Identifier: GPL-2.0-or-later
"""The reports as JSON: what programs read, and what a release keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence

from builders.debkit.audit.model import RULES, Report, Severity

SCHEMA = 1  # of to_json; it grows when a key changes its meaning or goes


def to_json(reports: Sequence[Report], known: int = 0) -> str:
    """The reports for programs, as docs/schemas/inspect.schema.json has it.

    known: findings that a baseline accepted.
    """
    used = {finding.rule for report in reports for finding in report.findings}
    document = {
        "schema": SCHEMA,
        "summary": {
            "packages": len(reports),
            **{str(s): sum(report.count(s) for report in reports) for s in Severity},
            "known": known,
        },
        "packages": [
            {
                "path": str(report.path),
                "package": report.package,
                "version": report.version,
                "architecture": report.architecture,
                "findings": [
                    {
                        "rule": finding.rule,
                        "severity": str(finding.severity),
                        "message": finding.message,
                        "subject": finding.subject,
                    }
                    for finding in report.findings
                ],
            }
            for report in reports
        ],
        "rules": {
            name: {
                "explanation": RULES[name].explanation,
                "reference": RULES[name].reference,
                "remedy": RULES[name].remedy,
            }
            for name in sorted(used)
        },
    }
    return json.dumps(document, indent=2)
