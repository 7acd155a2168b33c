# SPDX-License-Identifier: GPL-2.0-or-later
"""What the verb `inspect` does: audit packages, or compare them, and say it in one of its forms."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders import VERSION
from builders.errors import BuildError
from builders.show import face

if TYPE_CHECKING:
    from builders.debkit.audit import Expectations
    from builders.show.reports import Report

FORMS = ("table", "json", "sarif", "github")
DIFF_FORMS = ("table", "json")


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    fail_on: the least severity that makes the exit status 1, or "never".
    only, skip: names of rules. baseline: a report whose findings are accepted.
    fast: only rules that need no contents of files. suite: whose packages can be depended on;
        "" for that of the recipe where its packages are meant, otherwise none.
    """

    form: str = "table"
    fail_on: str = "error"
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    baseline: str = ""
    fast: bool = False
    suite: str = ""


def explain(name: str, form: str) -> Report:
    """One rule in words, or where none is named, all of them in a line each."""
    from builders.debkit.audit import RULES
    from builders.show import rules as words
    from builders.show.reports import Report

    _known(form, DIFF_FORMS, "--explain and --rules with ")
    rules = [words.known(name)] if name else list(RULES.values())
    text = words.text(name, face.width()) if name else words.listing(face.width())
    return Report(text, {"rules": [words.document(rule) for rule in rules]})


def inspect(
    paths: Sequence[str], wanted: Wanted, name: str, overrides: Sequence[str]
) -> tuple[str, int]:
    """The audit of the .debs at `paths`, else of the recipe's, as text; the exit status."""
    from builders.debkit import audit
    from builders.debkit.audit import selection

    _known(wanted.form, FORMS)
    selection.known_threshold(wanted.fail_on)
    selected = selection.selection(wanted.only, wanted.skip, wanted.baseline)
    debs = [Path(path) for path in paths if path]
    expectations, suite = audit.Expectations(), ""
    if not debs:
        from builders.pipeline import current, recipe, run

        name = name or recipe.DEFAULT
        folder = run.artifacts() / recipe.load(name, overrides).name
        targets = current.manifest(folder, name).targets.values()
        loaded = recipe.load(name, current.merged(current.recorded(targets), overrides))
        # What is current, and nothing else that lies there.
        debs = sorted(folder / file for target in targets for file in target.packages)
        expectations = audit.Expectations(kernel_options=loaded.audit.kernel_options)
        suite = loaded.suite.name
    files = audit.expand(debs)
    expectations = _with_archive(expectations, wanted.suite, suite, files)
    found = audit.audit_all(files, expectations, fast=wanted.fast)
    pairs = [selected.apply(report) for report in found]
    reports, known = [report for report, _ in pairs], sum(known for _, known in pairs)
    if wanted.form == "json":
        text = audit.to_json(reports, known)
    elif wanted.form == "sarif":
        from builders.show import sarif

        text = sarif.to_sarif(reports, VERSION)
    elif wanted.form == "github":
        from builders.show import github

        text = github.to_commands(reports)
    else:
        from builders.show import findings

        full = bool(wanted.only)
        text = findings.table(reports, face.width(), face.coloured(), full=full, known=known)
    return text, selection.exit_code(reports, wanted.fail_on)


def _with_archive(
    expectations: Expectations, named: str, usual: str, files: Sequence[Path]
) -> Expectations:
    """What a suite has, for the rule on dependencies; the packages themselves are part of it."""
    suite = named or usual
    if not suite:
        return expectations
    expectations = dataclasses.replace(expectations, suite=suite)
    from builders.debkit.audit import archive
    from builders.debkit.deb import Deb
    from builders.debkit.deb.suites import SUITES
    from builders.ground.sources.cache import Cache

    there = archive.of_box(suite, Cache.default().root / "suites")
    if there is None and named and named not in SUITES:
        raise BuildError(
            f"--suite {named}: the box's apt has no package lists of it",
            hint=f"name the suite of the box, or one of: {', '.join(SUITES)}",
        )
    if there is None:
        return dataclasses.replace(expectations, unknown=suite)
    for path in files:
        with contextlib.suppress(BuildError):  # the audit says what is wrong with it
            control = Deb.open(path).control
            words = (str(control.get(name, "")) for name in ("Package", "Version", "Provides"))
            there.add(*words)
    return dataclasses.replace(expectations, archive=there)


def diff(paths: Sequence[str], form: str) -> tuple[str, int]:
    """What differs between two packages or two folders of them, as text; the exit status."""
    from builders.debkit import compare
    from builders.show import changes

    _known(form, DIFF_FORMS, "--diff with ")
    if len(paths) != 2:
        raise BuildError(
            f"--diff compares two packages or folders, {len(paths)} named",
            hint="inspect --diff OLD NEW",
        )
    found = compare.pairs(*map(Path, paths))
    comparisons = [compare.compare(old, new) for old, new in found.pairs]
    if form == "json":
        text = changes.to_json(comparisons, found.only_old, found.only_new)
    else:
        text = changes.table(
            comparisons, found.only_old, found.only_new, face.width(), face.coloured()
        )
    return text, compare.exit_code(comparisons)


def _known(form: str, forms: Sequence[str], where: str = "") -> None:
    if form not in forms:
        raise BuildError(
            f"{where}--format {form}: no such format", hint=f"one of: {', '.join(forms)}"
        )
