# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verb `inspect` does: audit packages, or compare them, and say it in one of its forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builders import face, recipe, run
from builders.errors import BuildError
from builders.verbs import width

FORMS = ("table", "json", "sarif", "github")
DIFF_FORMS = ("table", "json")


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    fail_on: the least severity that makes the exit status 1, or "never".
    only, skip: names of rules. baseline: a report whose findings are accepted.
    """

    form: str = "table"
    fail_on: str = "error"
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    baseline: str = ""


def inspect(
    paths: Sequence[str], wanted: Wanted, name: str, overrides: Sequence[str]
) -> tuple[str, int]:
    """The audit of the .debs at `paths`, else of the recipe's, as text; the exit status."""
    from builders import audit, program
    from builders.audit import github, sarif, selection

    _known(wanted.form, FORMS)
    selection.known_threshold(wanted.fail_on)
    selected = selection.selection(wanted.only, wanted.skip, wanted.baseline)
    debs = [Path(path) for path in paths if path]
    expectations = audit.Expectations()
    if not debs:
        loaded = recipe.load(name, overrides)
        debs = [run.artifacts() / loaded.name]
        expectations = audit.Expectations(kernel_options=loaded.audit.kernel_options)
    pairs = [selected.apply(audit.audit(path, expectations)) for path in audit.expand(debs)]
    reports, known = [report for report, _ in pairs], sum(known for _, known in pairs)
    if wanted.form == "json":
        text = audit.to_json(reports, known)
    elif wanted.form == "sarif":
        text = sarif.to_sarif(reports, program.VERSION)
    elif wanted.form == "github":
        text = github.to_commands(reports)
    else:
        full = bool(wanted.only)
        text = audit.table(reports, width(), face.coloured(), full=full, known=known)
    return text, selection.exit_code(reports, wanted.fail_on)


def diff(paths: Sequence[str], form: str) -> tuple[str, int]:
    """What differs between two packages or two folders of them, as text; the exit status."""
    from builders import compare

    _known(form, DIFF_FORMS, "--diff with ")
    if len(paths) != 2:
        raise BuildError(
            f"--diff compares two packages or folders, {len(paths)} named",
            hint="inspect --diff OLD NEW",
        )
    found = compare.pairs(*map(Path, paths))
    comparisons = [compare.compare(old, new) for old, new in found.pairs]
    if form == "json":
        text = compare.to_json(comparisons, found.only_old, found.only_new)
    else:
        text = compare.table(comparisons, found.only_old, found.only_new, width(), face.coloured())
    return text, compare.exit_code(comparisons)


def _known(form: str, forms: Sequence[str], where: str = "") -> None:
    if form not in forms:
        raise BuildError(
            f"{where}--format {form}: no such format", hint=f"one of: {', '.join(forms)}"
        )
