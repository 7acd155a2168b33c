# SPDX-License-Identifier: GPL-2.0-or-later
"""What ./inv says of itself: the page of ./inv alone, the list of all verbs, the help of one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from builders.verbs.catalogue import FIRST, GROUPS, VERBS
from builders.verbs.command import Command
from builders.verbs.option import Option

_COLUMN = 26  # at most of the flags; longer ones have their help on the next line
START = "./inv doctor --recipe xen-4.17-bookworm"


def page() -> str:
    """What a newcomer sees: the verbs that matter, all groups, and where to begin."""
    lines = ["dom0-debs builds Debian packages of Xen and of a dom0 kernel.", ""]
    lines += [f"  ./inv {name:<12}{VERBS[name].summary}" for name in FIRST]
    lines += ["", "All verbs:"]
    for group in GROUPS:
        lines.append(f"  {group.title + ':':<14}{' '.join(group.names)}")
    lines += [
        "",
        "./inv --list says what each does, ./inv help VERB which options it has.",
        "A recipe says what is built: ./inv recipes lists them, --recipe NAME takes one.",
        f"Start here: {START}",
    ]
    return "\n".join(lines)


def listing() -> str:
    """Every verb with what it does, by groups."""
    lines: list[str] = []
    for group in GROUPS:
        also = f" (also {group.dotted(group.names[0])} and so on)" if group.collection else ""
        lines += [f"{group.title}{also}:"]
        lines += [f"  {name:<14}{VERBS[name].summary}" for name in group.names]
        lines.append("")
    return "\n".join([*lines, "./inv help VERB tells the options of a verb."])


def usage(command: Command) -> str:
    """The command line of a verb."""
    words = []
    for option in command.options.values():
        if option.required:
            words.append(option.value)
        elif option.words:
            words.append(f"[{option.value}]...")
    return " ".join(["./inv", command.name, *words, "[OPTIONS]"])


def verb(command: Command, width: int) -> str:
    """The help of a verb, in lines of at most `width` columns (60 at least)."""
    width = max(60, min(width, 100))
    lines = [usage(command), ""]
    for paragraph in command.about.split("\n\n"):
        lines += [*textwrap.wrap(paragraph, width, break_on_hyphens=False), ""]
    for option in ordered(command):
        lines += _option(option, width)
    return "\n".join(lines)


def ordered(command: Command) -> list[Option]:
    """Its options: its words, then those that have a letter, then the rest."""

    def place(option: Option) -> tuple[bool, bool]:
        return not (option.required or option.words), not option.short

    return sorted(command.options.values(), key=place)


def flags(option: Option) -> str:
    """How an option is given: its letter, its flag and its value; a word has no flag."""
    if option.required or option.words:
        return option.value
    letter = f"-{option.short}, " if option.short else "    "
    return f"{letter}{option.flag} {option.value}".rstrip()


def _option(option: Option, width: int) -> Iterator[str]:
    indent = " " * (_COLUMN + 4)
    head = f"  {flags(option)}"
    if len(head) > _COLUMN + 2:
        yield head
        head = ""
    text = textwrap.wrap(
        option.help,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    yield head.ljust(len(indent)) + text[0].lstrip()
    yield from text[1:]
