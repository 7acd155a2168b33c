# SPDX-License-Identifier: GPL-2.0-or-later
"""The reports of the audit as workflow commands, which GitHub Actions shows as annotations."""

from __future__ import annotations

from collections.abc import Sequence

from builders.debkit.audit import Report, Severity
from builders.show.findings import grouped, summary
from builders.text import printable

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def to_commands(reports: Sequence[Report]) -> str:
    """A command for each row of the table, and a summary. GitHub shows ten of a kind in a step."""
    lines = []
    for report in reports:
        path = _property(printable(str(report.path)))
        for group in grouped(report):
            command = _COMMANDS[group.severity]
            title = _property(f"{report.package} {group.rule}".strip())
            lines.append(f"::{command} file={path},title={title}::{_data(group.text)}")
    return "\n".join([*lines, summary(reports)]) + "\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
