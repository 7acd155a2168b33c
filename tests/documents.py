# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the list of rules in docs/audit.md anew: `python -m tests.documents`, after a new rule."""

from __future__ import annotations

from builders import ROOT
from builders.show import rules

PAGE = ROOT / "docs" / "audit.md"
_BEGIN = "tests/unit/test_audit_rules.py -->\n"
_END = "<!-- end of the rules"


def with_rules(text: str) -> str:
    """The page `text` with the rules that there are between its two marks."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError("docs/audit.md has lost the marks around its list of rules")
    return f"{before}{begin}{rules.markdown()}{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_rules(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
