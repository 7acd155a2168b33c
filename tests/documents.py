# SPDX-License-Identifier: GPL-2.0-or-later
"""Write anew what documents have from the code: `python -m tests.documents`.

That is the list of rules in docs/audit.md, the keys of a recipe in docs/recipes.md, docs/schemas/,
the manual page docs/inv.1, and the example of a host's devices, docs/examples/devices.json.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from builders import ROOT
from builders.host import devices
from builders.show import hosts, recipes, rules, schemas
from builders.verbs import manual
from tests.unit import machines

RULES = ROOT / "docs" / "audit.md"
KEYS = ROOT / "docs" / "recipes.md"
MANUAL = ROOT / "docs" / "inv.1"
SCHEMAS = ROOT / "docs" / "schemas"
SCHEMA = SCHEMAS / "recipe.schema.json"  # of a recipe; the others are of what verbs say
EXAMPLE = ROOT / "docs" / "examples" / "devices.json"
AGAIN = "run .venv/bin/python -m tests.documents"


def between(text: str, kind: str, made: str) -> str:
    """The page `text` with what was made between its two marks for that kind."""
    before, begin, rest = text.partition(f"<!-- {kind}: ")
    mark, line, rest = rest.partition(" -->\n")
    _, end, after = rest.partition(f"<!-- end of the {kind}")
    if not begin or not line or not end:
        raise ValueError(f"the page has lost the marks around its {kind}")
    return f"{before}{begin}{mark}{line}{made}{end}{after}"


def made() -> Iterator[tuple[Path, str]]:
    """Each file that is made of the code, and the text that it has to have."""
    yield RULES, between(RULES.read_text(encoding="utf-8"), "rules", rules.markdown())
    yield KEYS, between(KEYS.read_text(encoding="utf-8"), "keys", recipes.markdown())
    yield MANUAL, manual.page()
    yield EXAMPLE, example()
    for name, text in files().items():
        yield SCHEMAS / name, text


def files() -> dict[str, str]:
    """The files of docs/schemas/ by name, with their content."""
    of_verbs = {f"{vars(d)['kind']}.schema.json": schemas.text(d) for d in schemas.DOCUMENTS}
    return of_verbs | {SCHEMA.name: recipes.schema_text()}


def example() -> str:
    """What `devices --format json` says of a host that is an example."""
    with tempfile.TemporaryDirectory() as folder:
        machine = devices.look(machines.nine(Path(folder)).sysfs, [Path(folder) / "pci.ids"])
    return hosts.devices(machine).said("json").rstrip() + "\n"


if __name__ == "__main__":
    for path in SCHEMAS.iterdir():
        path.unlink()
    for path, text in made():
        path.write_text(text, encoding="utf-8")
