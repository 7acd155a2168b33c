# SPDX-License-Identifier: GPL-2.0-or-later
"""Write anew what documents have from the code: `python -m tests.documents`.

That is the list of rules in docs/audit.md, docs/schemas/ and the manual page docs/inv.1.
"""

from __future__ import annotations

from builders import ROOT
from builders.show import rules, schemas
from builders.verbs import manual

PAGE = ROOT / "docs" / "audit.md"
MANUAL = ROOT / "docs" / "inv.1"
SCHEMAS = ROOT / "docs" / "schemas"
_BEGIN = "tests/unit/test_audit_rules.py -->\n"
_END = "<!-- end of the rules"


def with_rules(text: str) -> str:
    """The page `text` with the rules that there are between its two marks."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError("docs/audit.md has lost the marks around its list of rules")
    return f"{before}{begin}{rules.markdown()}{end}{after}"


def files() -> dict[str, str]:
    """The files of docs/schemas/ by name, with their content."""
    return {f"{vars(d)['kind']}.schema.json": schemas.text(d) for d in schemas.DOCUMENTS}


if __name__ == "__main__":
    PAGE.write_text(with_rules(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    MANUAL.write_text(manual.page(), encoding="utf-8")
    for path in SCHEMAS.iterdir():
        path.unlink()
    for name, text in files().items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")
