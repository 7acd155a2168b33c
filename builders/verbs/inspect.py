# SPDX-License-Identifier: GPL-2.0-or-later
"""Audit any .deb, or the recipe's packages.

Exit status 1 where there are errors. With --diff, compare two packages or two folders of them.
With --rules or --explain, tell of the rules and audit nothing. docs/inspect.md and docs/audit.md
say more.
"""

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
from builders.verbs.option import OfRecipe, option, recipe_read

if TYPE_CHECKING:
    from builders.debkit.audit import Expectations, Report
    from builders.show.outcome import Document, Outcome

FORMS = ("table", "json", "sarif", "github")


@dataclass(frozen=True, kw_only=True)
class Options(OfRecipe):
    recipe: str = recipe_read()
    path: tuple[str, ...] = option(
        "a .deb, or a folder of them; none: those of the recipe", (), value="FILE", words=True
    )
    format: str = option("how to say it; the last two only of findings", "table", choices=FORMS)
    diff: bool = option("compare two packages, or two folders, the old one first", False)
    fail_on: str = option(
        "exit status 1 from this severity on",
        "error",
        value="SEVERITY",
        choices=("error", "warning", "info", "never"),
        what="severity",
    )
    only: tuple[str, ...] = option("tell only of this rule, with every row", (), value="RULE")
    skip: tuple[str, ...] = option("leave this rule out", (), value="RULE")
    baseline: str = option(
        "a report written with --format json, whose findings are accepted", value="FILE"
    )
    fast: bool = option("only rules that need no contents of files", False)
    suite: str = option("judge by its dpkg and apt, and say which dependencies it has not")
    explain: str = option(
        "tell what this rule looks for, on what it rests and what to do", value="RULE"
    )
    rules: bool = option("list all rules", False)


def run(options: Options) -> Outcome:
    if options.explain or options.rules:
        return explain(options)
    return diff(options) if options.diff else audit(options)


def explain(options: Options) -> Outcome:
    """One rule in words, or where none is named, all of them in a line each."""
    from builders.debkit.audit import RULES
    from builders.show import rules
    from builders.show.outcome import Outcome

    _no_findings(options, "--explain and --rules with ")
    name = options.explain
    chosen = [rules.known(name)] if name else list(RULES.values())
    text = rules.text(name, face.width()) if name else rules.listing(face.width())
    return Outcome(lambda: rules.document(chosen), text)


def audit(options: Options) -> Outcome:
    """The audit of the .debs that are named, else of the recipe's."""
    from builders.debkit import audit
    from builders.debkit.audit import selection
    from builders.show.outcome import Outcome

    selected = selection.selection(options.only, options.skip, options.baseline)
    debs = [Path(path) for path in options.path if path]
    expectations, suite = audit.Expectations(), ""
    if not debs:
        from builders.pipeline import chosen, current, recipe, run

        name = chosen.to_read(options.recipe).value
        folder = run.artifacts() / recipe.load(name, options.set).name
        targets = current.manifest(folder, name).targets.values()
        loaded = recipe.load(name, current.merged(current.recorded(targets), options.set))
        # What is current, and nothing else that lies there.
        debs = sorted(folder / file for target in targets for file in target.packages)
        expectations = audit.Expectations(kernel_options=loaded.audit.kernel_options)
        suite = loaded.suite.name
    files = audit.expand(debs)
    expectations = _with_archive(expectations, options.suite, suite, files)
    pairs = [selected.apply(r) for r in audit.audit_all(files, expectations, fast=options.fast)]
    reports, known = [report for report, _ in pairs], sum(known for _, known in pairs)

    def document() -> Document:
        from builders.debkit.audit.document import document_of

        return document_of(reports, known)

    return Outcome(
        document,
        lambda: _text(options, reports, known),
        selection.exit_code(reports, options.fail_on),
    )


def _text(options: Options, reports: Sequence[Report], known: int) -> str:
    if options.format == "sarif":
        from builders.show import sarif

        return sarif.to_sarif(reports, VERSION)
    if options.format == "github":
        from builders.show import github

        return github.to_commands(reports)
    from builders.show import findings

    return findings.table(
        reports, face.width(), face.coloured(), full=bool(options.only), known=known
    )


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


def diff(options: Options) -> Outcome:
    """What differs between two packages or two folders of them."""
    from builders.debkit import compare
    from builders.show import changes
    from builders.show.outcome import Outcome

    _no_findings(options, "--diff with ")
    if len(options.path) != 2:
        raise BuildError(
            f"--diff compares two packages or folders, {len(options.path)} named",
            hint="./inv inspect --diff OLD NEW",
        )
    pairs = compare.pairs(*map(Path, options.path))
    comparisons = [compare.compare(old, new) for old, new in pairs.pairs]
    unpaired = pairs.only_old, pairs.only_new
    return Outcome(
        lambda: changes.document(comparisons, *unpaired),
        lambda: changes.table(comparisons, *unpaired, face.width(), face.coloured()),
        compare.exit_code(comparisons),
    )


def _no_findings(options: Options, where: str) -> None:
    """BuildError where the format is one of findings alone."""
    forms = FORMS[:2]
    if options.format not in forms:
        raise BuildError(
            f"{where}--format {options.format}: no such format", hint=f"one of: {', '.join(forms)}"
        )
