# SPDX-License-Identifier: GPL-2.0-or-later
"""What may stand where the cursor is: ./inv --complete, which the completion of a shell asks.

Everything comes from the options of the verbs and from the recipes; a wrong recipe has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from builders.errors import BuildError
from builders.verbs.catalogue import GROUPS, VERBS, plain
from builders.verbs.option import Option

if TYPE_CHECKING:
    from builders.pipeline.recipe import Recipe

FILES = (":files", "")  # the shell completes a path
Candidate = tuple[str, str]  # and what it means


def candidates(words: Sequence[str]) -> list[Candidate]:
    """What the last of the words after ./inv may become, each with a few words on it."""
    current = words[-1] if words else ""
    found = list(dict.fromkeys(_all(list(words[:-1]), current)))
    fitting = [each for each in found if each[0].startswith(current) and each != FILES]
    return fitting or [each for each in found if each == FILES]


def _all(before: Sequence[str], current: str) -> Iterator[Candidate]:
    if not before or before[0] == "help":
        yield from _verbs(with_help=not before, dotted="." in current)
        return
    command = VERBS.get(plain(before[0]))
    if command is None:
        return
    options = command.options.values()
    flags = {f"--{name}": each for each in options for name in (each.long, *each.hidden)}
    flags |= {f"-{each.short}": each for each in options if each.short}
    last = flags.get(before[-1])
    flag, equals, value = current.partition("=")
    if last and last.value and not (last.words or last.required):
        yield from _values(last, before, current)
    elif equals and flag in flags:
        for candidate, about in _values(flags[flag], before, value):
            yield (candidate, about) if candidate == FILES[0] else (f"{flag}={candidate}", about)
    else:
        free = [each for each in options if each.words or each.required]
        if not current.startswith("-"):
            for each in free:
                yield from _values(each, before, current)
        if current.startswith("-") or not free:
            for each in options:
                if each not in free and (each.kind is list or each.flag not in before):
                    yield each.flag, each.metadata["help"]
            yield "--help", "what the verb does and its options"


def _verbs(*, with_help: bool, dotted: bool) -> Iterator[Candidate]:
    """Verbs by their plain names; by those of their collections where a dot is typed."""
    for group in GROUPS:
        for name in group.names:
            if dotted and group.collection:
                yield group.dotted(name), VERBS[name].summary
            elif not dotted:
                yield name, VERBS[name].summary
    if with_help and not dotted:
        yield "help", "the options of a verb"
        yield "--list", "every verb with what it does"
        yield "--version", "which version this is"


def _values(option: Option, before: Sequence[str], current: str) -> Iterator[Candidate]:
    """The values of an option that are known, or FILES."""
    if option.choices:
        yield from ((choice, "") for choice in option.choices)
    elif option.name == "recipe":
        from builders.pipeline import recipe

        if current[:1] in (".", "/", "~"):
            yield FILES
        for name in recipe.names():
            yield name, ""
    elif option.name == "flavour":
        loaded = _recipe(before)
        for name in sorted(loaded.kernel.flavours) if loaded and loaded.kernel else ():
            yield name, ""
    elif option.name == "tree":
        yield from (("xen=", ""), ("linux=", ""))
    elif option.name == "set":
        loaded = _recipe(before)
        if loaded:
            yield from ((f"{key}=", shown) for key, shown in keys(loaded))
    elif option.value == "RULE":
        from builders.debkit.audit import RULES

        yield from ((rule.name, str(rule.severity)) for rule in RULES.values())
    elif option.name == "suite":
        from builders.debkit.deb.suites import SUITES

        yield from ((suite, "") for suite in SUITES)
    elif option.value in ("FILE", "FOLDER") or option.value.startswith("PATH"):
        yield FILES


def _recipe(before: Sequence[str]) -> Recipe | None:
    """The recipe that the words name, else the default one; None where it is not usable."""
    from builders.pipeline import chosen, recipe

    name = ""
    for n, word in enumerate(before):
        flag, _, value = word.partition("=")
        if flag == "--recipe" or word == "-r":
            name = value or (before[n + 1] if n + 1 < len(before) else name)
    with suppress(BuildError):
        return recipe.load(chosen.to_build(name).value)
    return None


def keys(loaded: Recipe) -> Iterator[Candidate]:
    """The keys of a recipe that --set takes, each with its value where that is short."""
    from builders.pipeline.recipe.schema import RESERVED

    tables = ((name, value) for name, value in _items(loaded) if name not in RESERVED)
    yield from _keys("", tables)


def _items(table: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(table, Mapping):
        return table.items()
    return ((each.name, getattr(table, each.name)) for each in fields(table))


def _keys(prefix: str, items: Iterable[tuple[str, Any]]) -> Iterator[Candidate]:
    from builders.pipeline.recipe.schema import dotted

    for name, value in items:
        key = dotted(prefix, name)
        if value is None or '"' in key:  # a key in quotes is for who knows it
            continue
        if is_dataclass(value) or (isinstance(value, Mapping) and value):
            yield from _keys(key, _items(value))
        else:
            shown = value if isinstance(value, str) else ""
            yield key, shown if len(shown) <= 40 and shown.isprintable() else ""
